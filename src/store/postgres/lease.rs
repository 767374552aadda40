//! This replica's right to what it holds: a number, and until when it holds.
//!
//! A replica renews its lease in good time. One that does not, because its process stands still or
//! it cannot reach the database, loses what it holds to the others: they fence its number and take
//! over. Its own clock tells it first: a lease counts from before it was asked for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::clock;
use crate::message::{ByMessage, MessageId};
use crate::store::session::{Session, SqlValue};
use crate::store::{Holder, StoreError};

/// What this replica may do, and for how long.
#[derive(Debug)]
pub(super) struct Lease {
    name: String,
    length: Duration,
    held: Mutex<Held>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    number: i64,
    valid_until: Instant,
    /// Since when it was never late with renewing it.
    steady_since: Instant,
}

impl Lease {
    pub(super) async fn join(
        connection: &Connection,
        name: String,
        length: Duration,
    ) -> Result<Self, StoreError> {
        let before = clock::now();
        let held = Held {
            number: enter(connection, &name, length).await?,
            valid_until: before + length,
            steady_since: before,
        };
        Ok(Self {
            name,
            length,
            held: Mutex::new(held),
        })
    }

    /// The number that this replica writes under.
    pub(super) fn number(&self) -> i64 {
        self.lock().number
    }

    /// How long a lease lasts.
    pub(super) fn length(&self) -> Duration {
        self.length
    }

    /// Whether it holds, by a clock that is never later than the others'.
    pub(super) fn is_valid(&self) -> bool {
        clock::now() < self.lock().valid_until
    }

    /// Whether this replica has renewed its lease in time for as long as a lease lasts. When the
    /// database was away every replica is late, and none is dead because of it.
    pub(super) fn is_steady(&self) -> bool {
        let held = *self.lock();
        let now = clock::now();
        now < held.valid_until && now.saturating_duration_since(held.steady_since) >= self.length
    }

    /// Renews the lease; under another number when others have begun to take over.
    pub(super) async fn renew(&self, connection: &Connection) -> Result<(), StoreError> {
        let before = clock::now();
        let number = self.number();
        let statement = connection
            .prepare(
                "UPDATE replicas SET lease_until = clock_timestamp() + $2 * interval '1 second' \
                 WHERE number = $1 AND NOT fenced",
            )
            .await?;
        let seconds = self.length.as_secs_f64();
        let renewed = connection
            .client()
            .execute(&statement, &[&number, &seconds])
            .await?;
        if renewed == 1 {
            let mut held = self.lock();
            if held.valid_until < before {
                held.steady_since = before;
            }
            held.valid_until = held.valid_until.max(before + self.length);
            return Ok(());
        }
        let new = enter(connection, &self.name, self.length).await?;
        tracing::warn!(
            replica = %self.name,
            "the lease was lost: others have taken over what this replica held"
        );
        let mut held = self.lock();
        // Two tasks may have found out at once; the later number stands, the other one holds
        // nothing.
        if held.number < new {
            *held = Held {
                number: new,
                valid_until: before + self.length,
                steady_since: before,
            };
        }
        Ok(())
    }

    /// Whether this replica is the leader, which posts webhooks: the oldest there is.
    /// Another one becomes it when this one's lease is over, and this one knows first.
    pub(super) async fn leads(&self, connection: &Connection) -> Result<bool, StoreError> {
        let statement = connection
            .prepare(
                "SELECT min(number) FROM replicas WHERE NOT fenced \
                 AND lease_until > clock_timestamp()",
            )
            .await?;
        let row = connection.client().query_one(&statement, &[]).await?;
        let oldest: Option<i64> = row.try_get(0)?;
        Ok(oldest == Some(self.number()) && self.is_valid())
    }

    /// Leaves: what this replica holds can be taken over at once.
    pub(super) async fn leave(&self, connection: &Connection) -> Result<(), StoreError> {
        let number = self.number();
        let client = connection.client();
        client
            .execute(
                "UPDATE replicas SET fenced = true, lease_until = clock_timestamp() \
                 WHERE number = $1",
                &[&number],
            )
            .await?;
        client
            .execute(
                "UPDATE states SET claimed = false WHERE owner = $1 AND claimed \
                 AND completed_at IS NULL",
                &[&number],
            )
            .await?;
        client
            .execute("SELECT pg_notify('sipost_claims', '')", &[])
            .await?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which replicas have these messages to send, as far as they wait and `me` knows nothing of them.
pub(super) fn holders(
    session: &dyn Session,
    me: i64,
    ids: &[MessageId],
) -> Result<ByMessage<Holder>, StoreError> {
    let ids: Vec<_> = ids.iter().map(|id| *id.as_bytes()).collect();
    // Scheduled or queued.
    let found = session.all(
        "SELECT s.id, r.name, (extract(epoch FROM r.lease_until) * 1000)::int8 \
         FROM states s JOIN replicas r ON r.number = s.owner WHERE s.id = ANY ($1) \
         AND s.status IN (0, 1) AND (s.owner <> $2 OR NOT s.claimed)",
        &[SqlValue::Ids(&ids), SqlValue::from(me)],
        |row| {
            let holder = Holder {
                replica: row.text(1)?.to_owned(),
                until: row.time(2)?,
            };
            Ok((row.message_id(0)?, holder))
        },
    )?;
    Ok(found.into_iter().collect())
}

async fn enter(connection: &Connection, name: &str, length: Duration) -> Result<i64, StoreError> {
    let row = connection
        .client()
        .query_one(
            "INSERT INTO replicas (name, lease_until) \
             VALUES ($1, clock_timestamp() + $2 * interval '1 second') RETURNING number",
            &[&name, &length.as_secs_f64()],
        )
        .await?;
    Ok(row.try_get(0)?)
}
