//! A group of orders in one transaction.
//!
//! It takes two trips to the database as a rule: a look, which writes nothing; and everything that
//! is written, with the commit. What travels together is sent in the order in which it is named
//! here. The commit goes along because nothing has to be decided before it: when a message was
//! moved meanwhile, the statement that appends fails by itself. Messages that came in and receipts
//! are counted before they are committed, so theirs is a trip of its own.
//!
//! A group that the database rejects is applied part by part: a part in a savepoint of its own,
//! halved as long as it is rejected, until the rejected value is found.

use std::sync::Arc;

use tokio_postgres::types::ToSql;

use super::accept::OpenLanes;
use super::agent_leases::AgentHolders;
use super::connection::{self, Connection};
use super::group::{Group, GroupResult};
use super::lease::Lease;
use super::receive::Receiving;
use super::record::{Appending, KnownMessages};
use super::report::{ReportedMessages, Reporting};
use super::writes::{InDoubt, Writes, is_in_doubt};
use super::{accept, receive, record, report, writes};
use crate::message::{Receipt, Received};
use crate::store::received::SentBy;
use crate::store::{Arrived, Record, Recorded, Reported, StoreError, Submission, Verdict};

/// The lock keeps others from fencing this replica while the transaction runs.
const NAME: &str = "SELECT pg_current_xact_id()::text, pg_advisory_xact_lock_shared($1, $2)";
/// A statement of its own behind the lock: it sees what those we waited for have committed.
const FENCED: &str = "SELECT fenced FROM replicas WHERE number = $1";
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
    /// Others have begun to take over what this replica held; nothing of it was written.
    Fenced,
    /// The connection broke while this transaction was committed.
    InDoubt(Box<InDoubt>),
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

/// Some of what a group takes in and appends.
#[derive(Clone, Copy, Default)]
struct Part<'g> {
    submissions: &'g [&'g Submission],
    records: &'g [&'g Record],
    received: &'g [&'g Received],
    receipts: &'g [&'g Receipt],
}

/// What is known before anything of a part is written.
struct Looked {
    lanes: OpenLanes,
    messages: KnownMessages,
    sent_by: SentBy,
    reported: ReportedMessages,
}

impl Part<'_> {
    fn has_arrivals(self) -> bool {
        !self.received.is_empty() || !self.receipts.is_empty()
    }

    fn len(self) -> usize {
        self.submissions.len() + self.records.len() + self.received.len() + self.receipts.len()
    }

    /// Two smaller parts, in their order: one kind of things and the others, or the halves of one
    /// kind. `None` when it is one thing alone.
    fn halves(self) -> Option<(Self, Self)> {
        let (mut first, mut second) = (Self::default(), self);
        let all = self.len();
        if !self.submissions.is_empty() {
            (first.submissions, second.submissions) = split(self.submissions, all);
        } else if !self.records.is_empty() {
            (first.records, second.records) = split(self.records, all);
        } else if !self.received.is_empty() {
            (first.received, second.received) = split(self.received, all);
        } else {
            (first.receipts, second.receipts) = split(self.receipts, all);
        }
        (all > 1).then_some((first, second))
    }

    /// Answers the one thing that the database rejects.
    fn reject(self, error: &str, done: &mut GroupResult) {
        if !self.submissions.is_empty() {
            done.verdicts.push_back(Verdict::Rejected(error.to_owned()));
        }
        for record in self.records {
            tracing::error!(message.id = %record.event.message_id, error, "an event is rejected");
            done.recorded.push_back(Recorded::Rejected);
        }
        for received in self.received {
            tracing::error!(message.id = %received.id, error, "a received message is rejected");
            done.arrived.push_back(Arrived::Rejected);
        }
        for receipt in self.receipts {
            tracing::error!(message.id = %receipt.message_id, error, "a receipt is rejected");
            done.reported.push_back(Reported::Rejected);
        }
    }
}

/// Things of one kind and nothing of it, where there are `all` together; else both halves.
fn split<T>(things: &[T], all: usize) -> (&[T], &[T]) {
    let is_alone = things.len() == all;
    things.split_at(if is_alone { all / 2 } else { things.len() })
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
            received: &group.received(),
            receipts: &group.receipts(),
        };
        let me = self.lease.number();
        let begun = begin(connection, me);
        let (transaction, looked) =
            futures_util::future::join(begun, self.look(connection, whole)).await;
        let transaction = transaction?.ok_or(WriteFailure::Fenced)?;
        let mut done = GroupResult::default();
        let may_commit = group.alone.is_none() && !whole.has_arrivals();
        let along = may_commit.then_some(&*transaction);
        self.apply(connection, whole, looked?, along, &mut done)
            .await?;
        if may_commit {
            return Ok(done);
        }
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
            received: &group.received(),
            receipts: &group.receipts(),
        };
        let transaction = begin(connection, self.lease.number()).await?;
        let transaction = transaction.ok_or(WriteFailure::Fenced)?;
        // Every lane is locked at once, in their order, and stays so for the transaction.
        self.look(connection, whole).await?;
        let mut done = GroupResult::default();
        let mut parts = vec![whole];
        while let Some(part) = parts.pop() {
            client.batch_execute("SAVEPOINT part").await?;
            let applied = async {
                let looked = self.look(connection, part).await?;
                self.apply(connection, part, looked, None, &mut done).await
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

    /// Locks the lanes of a part, and looks at the messages that it is about.
    async fn look(&self, connection: &Connection, part: Part<'_>) -> Result<Looked, StoreError> {
        let me = self.lease.number();
        let (lanes, messages, sent_by, reported) = futures_util::future::join4(
            accept::look(connection, me, part.submissions),
            record::look(connection, me, part.records),
            receive::look(connection, part.received),
            report::look(connection, part.receipts),
        )
        .await;
        Ok(Looked {
            lanes: lanes?,
            messages: messages?,
            sent_by: sent_by?,
            reported: reported?,
        })
    }

    /// Takes in and appends a part, and commits the transaction of this name `along`, if there is
    /// one. What was done is only told when all of it was.
    async fn apply(
        &self,
        connection: &Connection,
        part: Part<'_>,
        mut looked: Looked,
        along: Option<&str>,
        done: &mut GroupResult,
    ) -> Result<(), WriteFailure> {
        let me = self.lease.number();
        let accepted = accept::decide(
            connection,
            &self.agent_holders,
            looked.lanes,
            part.submissions,
        )
        .await?;
        accepted.make_known(&mut looked.messages);
        let mut told: Vec<_> = accepted.to_wake.iter().map(|to| (CLAIMS, *to)).collect();
        let mut writes = Writes {
            accepted,
            appending: Appending::new(part.records, &looked.messages),
            receiving: Receiving::new(part.received, &looked.sent_by),
            reporting: Reporting::new(part.receipts, looked.reported),
            told: Vec::new(),
        };
        if (writes.has_arrivals() || writes.has_records()) && self.lease.has_others() {
            told.push((EVENTS, me));
        }
        writes.told = told;
        let (written, committed) = writes.send(connection, me, along.is_some()).await;
        match (along, committed) {
            (Some(transaction), Err(error)) if is_in_doubt(&error) => {
                Err(writes.in_doubt(self.epoch, transaction, error))
            }
            (_, committed) => {
                let written = written?;
                committed?;
                writes.finish(self.epoch, &written, done);
                Ok(())
            }
        }
    }
}

async fn commit(
    connection: &Connection,
    transaction: String,
    done: GroupResult,
) -> Result<GroupResult, WriteFailure> {
    match connection.client().batch_execute("COMMIT").await {
        Ok(()) => Ok(done),
        Err(error) if is_in_doubt(&error) => Err(WriteFailure::InDoubt(Box::new(InDoubt {
            transaction,
            error: error.into(),
            is_unplaced: false,
            done,
        }))),
        Err(error) => Err(error.into()),
    }
}

/// Prepares the statements that are sent together: preparing takes a trip of its own, in which the
/// others would overtake.
async fn prepare(connection: &Connection) -> Result<(), StoreError> {
    let own = [NAME, FENCED];
    for sql in own
        .iter()
        .chain(&writes::STATEMENTS)
        .chain(&accept::STATEMENTS)
        .chain(&record::STATEMENTS)
        .chain(&receive::STATEMENTS)
        .chain(&report::STATEMENTS)
    {
        connection.prepare(sql).await?;
    }
    Ok(())
}

/// Begins a transaction of this replica; its name, for asking what became of it. `None` when the
/// replica is fenced. Until the transaction has ended nobody fences it.
async fn begin(connection: &Connection, me: i64) -> Result<Option<String>, StoreError> {
    let client = connection.client();
    let (name, fenced) = (
        connection.prepare(NAME).await?,
        connection.prepare(FENCED).await?,
    );
    let (class, key) = connection::fence_lock(me);
    let name_params: [&(dyn ToSql + Sync); 2] = [&class, &key];
    let fenced_params: [&(dyn ToSql + Sync); 1] = [&me];
    let (begun, name, fenced) = futures_util::future::join3(
        client.batch_execute("BEGIN"),
        client.query_one(&name, &name_params),
        client.query_opt(&fenced, &fenced_params),
    )
    .await;
    begun?;
    let name = name?.try_get(0)?;
    let is_fenced = fenced?.map_or(Ok(true), |row| row.try_get(0))?;
    Ok((!is_fenced).then_some(name))
}
