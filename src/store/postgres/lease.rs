//! This replica's right to what it holds: a number, and until when it holds.
//!
//! A replica renews its lease in good time. One that does not, because its process stands still or
//! it cannot reach the database, loses what it holds to the others: they fence its number and take
//! over. Its own clock tells it first: a lease counts from before it was asked for. What a replica
//! may do beside others is the business of [`Membership`]; here are its questions to the database.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::connection::Connection;
use super::membership::{FoundReplicas, Membership};
use crate::clock;
use crate::message::{ByMessage, MessageId};
use crate::store::session::{Lock, Session, SqlRow as _, SqlValue};
use crate::store::{Holder, StoreError};

/// How often a newcomer asks whether the others know of it.
const JOINING: Duration = Duration::from_millis(20);
/// How often it renews its lease meanwhile, so that it knows of those that came after it.
const RENEWING: Duration = Duration::from_millis(250);
/// After so long the log says for which replicas it waits.
const LONG: Duration = Duration::from_secs(5);

/// What this replica may do, and for how long.
#[derive(Debug)]
pub(super) struct Lease {
    name: String,
    length: Duration,
    membership: Mutex<Membership>,
    /// Another replica waits for a renewal.
    news: Notify,
}

impl Lease {
    /// Gets a number. Nothing may be taken in under it before [`Self::join`].
    pub(super) async fn enter(
        connection: &Connection,
        name: String,
        length: Duration,
    ) -> Result<Self, StoreError> {
        let before = clock::now();
        let number = enter(connection, &name, length).await?;
        Ok(Self {
            name,
            length,
            membership: Mutex::new(Membership::joining(number, length, before)),
            news: Notify::new(),
        })
    }

    /// Waits until every other replica knows of this one, or has a lease that is over; no longer
    /// than `patience`.
    pub(super) async fn join(
        &self,
        connection: &Connection,
        patience: Option<Duration>,
    ) -> Result<(), StoreError> {
        let begun = clock::now();
        let mut told_at = begun + LONG;
        let mut renew_at = begun;
        while !self.has_joined() {
            let number = self.number();
            let awaited = awaited(connection, number).await?;
            let now = clock::now();
            if awaited.is_empty() && self.is_valid() {
                self.lock().joined(number);
                break;
            }
            if patience.is_some_and(|patience| now >= begun + patience) {
                let text = format!("replicas do not know of this one yet: {awaited:?}");
                return Err(StoreError::Away(text));
            }
            if told_at <= now {
                told_at = now + LONG;
                tracing::info!(replicas = ?awaited, "waiting until other replicas know of this one");
            }
            if renew_at <= now {
                renew_at = now + RENEWING.min(self.length / 6);
                self.renew(connection).await?;
            }
            sleep(JOINING).await;
        }
        Ok(())
    }

    /// The number that this replica writes under.
    pub(super) fn number(&self) -> i64 {
        self.lock().number()
    }

    /// How long a lease lasts.
    pub(super) fn length(&self) -> Duration {
        self.length
    }

    /// Whether it holds, by a clock that is never later than the others'.
    pub(super) fn is_valid(&self) -> bool {
        self.lock().is_valid(clock::now())
    }

    /// Whether it was renewed in time for as long as it lasts.
    pub(super) fn is_steady(&self) -> bool {
        self.lock().is_steady(clock::now())
    }

    /// Whether messages may be taken in under this number.
    pub(super) fn has_joined(&self) -> bool {
        self.lock().has_joined()
    }

    /// Whether another replica was there at the last renewal.
    pub(super) fn has_others(&self) -> bool {
        self.lock().has_others()
    }

    /// Whether a request could be sent now before its record is durable.
    pub(super) fn is_alone(&self) -> bool {
        self.lock().is_alone(clock::now())
    }

    /// While this replica is alone, the highest number that it knows of: it is alone as long as no
    /// replica with a higher one is there.
    pub(super) fn alone_up_to(&self) -> Option<i64> {
        self.lock().alone_up_to(clock::now())
    }

    /// The same; when it can, no other replica begins until [`Self::settled`].
    pub(super) fn send_early(&self) -> bool {
        self.lock().send_early(clock::now())
    }

    /// All that was sent early is durable, or refused and no longer in flight.
    pub(super) fn settled(&self) {
        let mut membership = self.lock();
        membership.settled();
        if membership.has_news(clock::now()) {
            self.news.notify_one();
        }
    }

    /// Resolves when a renewal is due because another replica waits for it.
    pub(super) async fn has_news(&self) {
        self.news.notified().await;
    }

    /// Renews the lease; under another number when others have begun to take over.
    pub(super) async fn renew(&self, connection: &Connection) -> Result<(), StoreError> {
        loop {
            let before = clock::now();
            let renewal = self.lock().renewal(before);
            let statement = connection.prepare(RENEW).await?;
            let seconds = self.length.as_secs_f64();
            let renewed = connection
                .client()
                .query_opt(&statement, &[&renewal.number, &seconds, &renewal.knows])
                .await?;
            let Some(row) = renewed else {
                return self.enter_anew(connection, renewal.number).await;
            };
            let found = FoundReplicas {
                newest: row.integer(0)?,
                has_others: row.try_get(1)?,
            };
            let mut membership = self.lock();
            let now = clock::now();
            membership.renewed(renewal, found, now);
            // A newcomer that this renewal found begins after the next one.
            if !membership.has_news(now) {
                return Ok(());
            }
        }
    }

    async fn enter_anew(&self, connection: &Connection, lost: i64) -> Result<(), StoreError> {
        let before = clock::now();
        let new = enter(connection, &self.name, self.length).await?;
        tracing::warn!(
            replica = %self.name,
            "the lease was lost: others have taken over what this replica held"
        );
        // Two tasks may have found out at once; the first one that is back stands.
        let is_first = {
            let mut membership = self.lock();
            let is_first = membership.number() == lost;
            if is_first {
                membership.rejoin(new, before);
            }
            is_first
        };
        if !is_first {
            let sql = "UPDATE replicas SET fenced = true WHERE number = $1";
            connection.client().execute(sql, &[&new]).await?;
        }
        Ok(())
    }

    /// Asks whether this replica is alone, when it may be.
    pub(super) async fn look_around(&self, connection: &Connection) -> Result<(), StoreError> {
        let Some(inquiry) = self.lock().inquiry(clock::now()) else {
            return Ok(());
        };
        let statement = connection.prepare(OWNS_ALL).await?;
        let number = inquiry.number();
        let row = connection
            .client()
            .query_one(&statement, &[&number])
            .await?;
        if row.try_get(0)? {
            self.lock().owns_all(inquiry, clock::now());
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

    fn lock(&self) -> MutexGuard<'_, Membership> {
        self.membership
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

const RENEW: &str = "UPDATE replicas SET \
     lease_until = clock_timestamp() + $2 * interval '1 second', knows = greatest(knows, $3) \
     WHERE number = $1 AND NOT fenced RETURNING (SELECT max(number) FROM replicas), \
     EXISTS (SELECT FROM replicas o WHERE o.number <> $1 AND NOT o.fenced)";
/// Three looks into an index of what is open.
const OWNS_ALL: &str = "SELECT NOT EXISTS (SELECT FROM states WHERE owner < $1 \
     AND completed_at IS NULL) AND NOT EXISTS (SELECT FROM states WHERE owner > $1 \
     AND completed_at IS NULL) AND NOT EXISTS (SELECT FROM states WHERE owner = $1 \
     AND NOT claimed AND completed_at IS NULL)";
const AWAITED: &str = "SELECT name FROM replicas WHERE number < $1 AND NOT fenced \
     AND lease_until >= clock_timestamp() AND knows < $1";

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

/// The names of the replicas that have to know of this one before it may begin.
async fn awaited(connection: &Connection, number: i64) -> Result<Vec<String>, StoreError> {
    let statement = connection.prepare(AWAITED).await?;
    let rows = connection.client().query(&statement, &[&number]).await?;
    let names = rows.iter().map(|row| Ok(row.try_get(0)?));
    names.collect()
}

/// Gets a number that is higher than all that were given, and tells the others. Under a lock, so
/// that a replica that finds a number finds every lower one.
async fn enter(connection: &Connection, name: &str, length: Duration) -> Result<i64, StoreError> {
    let client = connection.client();
    client.batch_execute("BEGIN").await?;
    let entered = async {
        connection.lock(Lock::Entering).await?;
        let sql = "WITH entered AS (INSERT INTO replicas (name, lease_until) \
             VALUES ($1, clock_timestamp() + $2 * interval '1 second') RETURNING number) \
             INSERT INTO turns (replica, taken) SELECT number, 0 FROM entered RETURNING replica";
        let seconds = length.as_secs_f64();
        let row = client.query_one(sql, &[&name, &seconds]).await?;
        let number: i64 = row.try_get(0)?;
        client
            .batch_execute("SELECT pg_notify('sipost_replicas', '')")
            .await?;
        Ok(number)
    };
    let entered = entered.await;
    let end = if entered.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    client.batch_execute(end).await?;
    entered
}
