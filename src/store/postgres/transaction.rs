//! A group of orders in one transaction.
//!
//! It takes three trips to the database as a rule: a look, which writes nothing; everything that is
//! written; and the commit. What travels together is sent in the order in which it is named here.
//!
//! A group that the database rejects is applied part by part: a part in a savepoint of its own,
//! halved as long as it is rejected, until the rejected value is found.

use std::sync::Arc;

use super::accept::OpenLanes;
use super::agent_leases::AgentHolders;
use super::connection::Connection;
use super::group::{Group, GroupResult};
use super::lease::Lease;
use super::record::{Appending, KnownMessages};
use super::{accept, record};
use crate::store::{Record, Recorded, StoreError, Submission, Verdict};

const NAME: &str = "SELECT pg_current_xact_id()::text";
const NOTIFY: &str = "SELECT pg_notify(u.channel, u.number) \
     FROM unnest($1::text[], $2::text[]) AS u (channel, number)";
/// What others listen to: that something is to be picked up by this replica, that it appended.
const CLAIMS: &str = "sipost_claims";
const EVENTS: &str = "sipost_events";

/// Writes groups, under the number of this replica.
pub(super) struct GroupWriter {
    pub(super) lease: Arc<Lease>,
    pub(super) agent_holders: Arc<AgentHolders>,
    pub(super) epoch: u64,
}

/// Why a group was not written.
pub(super) enum WriteFailure {
    /// It left no trace.
    Refused(StoreError),
    /// Another transaction moved one of its messages; nothing of it was written.
    Raced,
    /// The connection broke while this transaction was committed.
    InDoubt(String, Box<GroupResult>, StoreError),
}

impl From<StoreError> for WriteFailure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<tokio_postgres::Error> for WriteFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Refused(error.into())
    }
}

/// Some of what a group takes in and records.
#[derive(Clone, Copy)]
struct Part<'g> {
    submissions: &'g [&'g Submission],
    records: &'g [&'g Record],
}

impl Part<'_> {
    /// Both halves, in their order; `None` when it is one thing alone.
    fn halves(self) -> Option<(Self, Self)> {
        let Self {
            submissions,
            records,
        } = self;
        let (first, second) = if submissions.is_empty() {
            let (first, second) = records.split_at(records.len() / 2);
            ((submissions, first), (submissions, second))
        } else if records.is_empty() {
            let (first, second) = submissions.split_at(submissions.len() / 2);
            ((first, records), (second, records))
        } else {
            ((submissions, &records[..0]), (&submissions[..0], records))
        };
        let part = |(submissions, records)| Self {
            submissions,
            records,
        };
        (self.submissions.len() + self.records.len() > 1).then(|| (part(first), part(second)))
    }

    /// Answers the one submission or record that the database rejects.
    fn reject(self, text: &str, done: &mut GroupResult) {
        if !self.submissions.is_empty() {
            done.verdicts.push_back(Verdict::Rejected(text.to_owned()));
        }
        for record in self.records {
            tracing::error!(message.id = %record.event.message_id, error = text, "an event is rejected");
            done.recorded.push_back(Recorded::Rejected);
        }
    }
}

impl GroupWriter {
    /// Writes a group, and commits it.
    pub(super) async fn write(
        &self,
        connection: &Arc<Connection>,
        group: &mut Group,
    ) -> Result<GroupResult, WriteFailure> {
        prepare(connection).await?;
        let whole = Part {
            submissions: &group.submissions(),
            records: &group.records(),
        };
        let (transaction, looked) =
            futures_util::future::join(begin(connection), self.look(connection, whole)).await;
        let transaction = transaction?;
        let mut done = GroupResult::default();
        self.apply(connection, whole, looked?, &mut done).await?;
        if let Some(work) = &mut group.alone {
            work.apply(connection).await?;
        }
        commit(connection, transaction, done).await
    }

    /// Writes a group that the database rejects when it is written at once.
    pub(super) async fn write_apart(
        &self,
        connection: &Connection,
        group: &mut Group,
    ) -> Result<GroupResult, WriteFailure> {
        let client = connection.client();
        let whole = Part {
            submissions: &group.submissions(),
            records: &group.records(),
        };
        let transaction = begin(connection).await?;
        // Every lane is locked at once, in their order, and stays so for the transaction.
        self.look(connection, whole).await?;
        let mut done = GroupResult::default();
        let mut parts = vec![whole];
        while let Some(part) = parts.pop() {
            client.batch_execute("SAVEPOINT part").await?;
            let applied = async {
                let looked = self.look(connection, part).await?;
                self.apply(connection, part, looked, &mut done).await
            };
            match applied.await {
                Ok(()) => client.batch_execute("RELEASE part").await?,
                Err(WriteFailure::Refused(StoreError::Rejected(text))) => {
                    client
                        .batch_execute("ROLLBACK TO part; RELEASE part")
                        .await?;
                    match part.halves() {
                        Some((first, second)) => parts.extend([second, first]),
                        None => part.reject(&text, &mut done),
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        commit(connection, transaction, done).await
    }

    /// Locks the lanes of a part, and looks at the messages of its records.
    async fn look(
        &self,
        connection: &Connection,
        part: Part<'_>,
    ) -> Result<(OpenLanes, KnownMessages), StoreError> {
        let me = self.lease.number();
        let (taken, known) = futures_util::future::join(
            accept::look(connection, me, part.submissions),
            record::look(connection, me, part.records),
        )
        .await;
        Ok((taken?, known?))
    }

    /// Takes in and records a part. What was done is only told when all of it was.
    async fn apply(
        &self,
        connection: &Connection,
        part: Part<'_>,
        (taken, mut known): (OpenLanes, KnownMessages),
        done: &mut GroupResult,
    ) -> Result<(), WriteFailure> {
        let me = self.lease.number();
        let accepted =
            accept::decide(connection, &self.agent_holders, taken, part.submissions).await?;
        accepted.make_known(&mut known);
        let appending = Appending::new(part.records, &known);
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
        let appended = appended?.map_err(|_raced| WriteFailure::Raced)?;
        told?;
        done.verdicts.extend(accepted.verdicts);
        let (answers, events) = appending.finish(self.epoch, &appended);
        done.recorded.extend(answers);
        done.events.extend(events);
        Ok(())
    }
}

async fn commit(
    connection: &Connection,
    transaction: String,
    done: GroupResult,
) -> Result<GroupResult, WriteFailure> {
    match connection.client().batch_execute("COMMIT").await {
        Ok(()) => Ok(done),
        Err(error) if error.is_closed() || error.as_db_error().is_none() => Err(
            WriteFailure::InDoubt(transaction, Box::new(done), error.into()),
        ),
        Err(error) => Err(error.into()),
    }
}

/// Prepares the statements that are sent together: preparing takes a trip of its own, in which the
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

/// Notifies the replicas that listen, once this transaction is durable.
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
