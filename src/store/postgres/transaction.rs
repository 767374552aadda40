//! A group of orders in one transaction.
//!
//! It takes three trips to the database as a rule: a look, which writes nothing; everything that is
//! written; and the commit. What travels together is sent in the order in which it is named here.

use std::sync::Arc;

use super::accept;
use super::claim;
use super::connection::Connection;
use super::group::Done;
use super::group::Group;
use super::lease::Lease;
use super::record;
use super::record::Appending;
use super::seats::Seating;
use crate::store::StoreError;

const NAME: &str = "SELECT pg_current_xact_id()::text";
const NOTIFY: &str = "SELECT pg_notify(u.channel, u.number) \
     FROM unnest($1::text[], $2::text[]) AS u (channel, number)";
/// What others listen to: that something is to be picked up by this replica, that it appended.
const CLAIMS: &str = "sipost_claims";
const EVENTS: &str = "sipost_events";

/// Who writes, and where.
pub(super) struct Desk {
    pub(super) lease: Arc<Lease>,
    pub(super) seating: Arc<Seating>,
    pub(super) epoch: u64,
}

/// Why a group was not written.
pub(super) enum Failure {
    /// It left no trace.
    Refused(StoreError),
    /// Somebody else moved what it is about; nothing of it was written.
    Raced,
    /// The connection broke while this transaction was committed.
    InDoubt(String, Box<Done>, StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl Desk {
    /// Writes a group, and commits it.
    pub(super) async fn write(
        &self,
        connection: &Connection,
        group: &Group,
    ) -> Result<Done, Failure> {
        prepare(connection).await?;
        let me = self.lease.number();
        let submissions = group.submissions();
        let records = group.records();
        let (transaction, taken, known) = futures_util::future::join3(
            begin(connection),
            accept::look(connection, me, &submissions),
            record::look(connection, me, &records),
        )
        .await;
        let transaction = transaction?;
        let mut known = known?;
        let accepted = accept::decide(connection, &self.seating, taken?, &submissions).await?;
        accepted.make_known(&mut known);
        let mut done = Done::default();
        self.apply_alone(connection, group, &mut done).await?;
        let appending = Appending::new(&records, &known);
        let mut told: Vec<_> = accepted.to_wake.iter().map(|to| (CLAIMS, *to)).collect();
        if !appending.is_empty() {
            told.push((EVENTS, me));
        }
        let (inserted, appended, told) = futures_util::future::join3(
            accepted.insert(connection),
            appending.insert(connection, me),
            notify(connection, &told),
        )
        .await;
        inserted?;
        let appended = appended?.map_err(|_raced| Failure::Raced)?;
        told?;
        done.verdicts = accepted.verdicts.into();
        let (answers, events) = appending.finish(self.epoch, &appended);
        done.recorded = answers.into();
        done.events = events;
        match connection.client().batch_execute("COMMIT").await {
            Ok(()) => Ok(done),
            Err(error) if error.is_closed() || error.as_db_error().is_none() => {
                Err(Failure::InDoubt(transaction, Box::new(done), error.into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is in a transaction of its own.
    async fn apply_alone(
        &self,
        connection: &Connection,
        group: &Group,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        for limit in group.claims() {
            let claimed = claim::claim(connection, &self.lease, limit).await?;
            done.claimed.push_back(claimed);
        }
        if let Some(stranded) = group.stranded() {
            done.handed_over = claim::hand_over(connection, &self.seating, stranded).await?;
        }
        if let Some(verb) = group.endpoint() {
            done.endpoint = Some(verb.apply(connection).await?);
        }
        Ok(())
    }
}

/// Prepares what is sent together with something else: preparing takes a trip of its own, in which
/// others would overtake.
async fn prepare(connection: &Connection) -> Result<(), StoreError> {
    let own = [NAME, NOTIFY];
    for sql in own
        .iter()
        .chain(&accept::STATEMENTS)
        .chain(&record::STATEMENTS)
    {
        connection.prepare(sql).await?;
    }
    Ok(())
}

/// Begins a transaction; its name, for asking what became of it.
async fn begin(connection: &Connection) -> Result<String, StoreError> {
    let client = connection.client();
    let number = connection.prepare(NAME).await?;
    let (begun, number) = futures_util::future::join(
        client.batch_execute("BEGIN"),
        client.query_one(&number, &[]),
    )
    .await;
    begun?;
    Ok(number?.try_get(0)?)
}

/// Tells everybody who listens, when this transaction is durable.
async fn notify(connection: &Connection, told: &[(&str, i64)]) -> Result<(), StoreError> {
    if told.is_empty() {
        return Ok(());
    }
    let statement = connection.prepare(NOTIFY).await?;
    let (channels, numbers): (Vec<_>, Vec<_>) = told
        .iter()
        .map(|(channel, number)| (*channel, number.to_string()))
        .unzip();
    connection
        .client()
        .execute(&statement, &[&channels, &numbers])
        .await?;
    Ok(())
}
