//! A group of orders in one transaction.
//!
//! While this replica is alone it takes one trip to the database: its beginning, everything that
//! is written, and the commit. That needs no answer in between, because the transaction fails by
//! itself when something is not as this replica believes: when it is not alone any more, its turn
//! ([`super::turn`]); when a message was moved meanwhile, the statement that appends.
//!
//! Beside other replicas, and with a message that this one has not written of, it takes two: the
//! first one begins and looks, the second one writes and commits. An idempotency key is a trip of
//! its own. Messages that came in and receipts are counted before they are committed, so their
//! commit is one too. What travels together is sent in the order in which it is named here.
//!
//! A group that the database rejects is applied part by part: a part in a savepoint of its own,
//! halved as long as it is rejected, until the rejected value is found.

use std::sync::Arc;

use super::agent_leases::AgentHolders;
use super::connection::Connection;
use super::group::{Group, GroupResult};
use super::lanes::OpenLanes;
use super::lease::Lease;
use super::memory::OwnMessages;
use super::receive::Receiving;
use super::record::{Appending, KnownMessages};
use super::report::{ReportedMessages, Reporting};
use super::turn::{self, WriteTurn};
use super::writes::{InDoubt, Writes, is_in_doubt};
use super::{accept, lanes, receive, record, report, writes};
use crate::message::{Receipt, Received};
use crate::store::received::SentBy;
use crate::store::{Arrived, Record, Recorded, Reported, StoreError, Submission, Verdict};

/// What others listen to: that something is to be picked up by this replica, that it appended.
const CLAIMS: &str = "sipost_claims";
const EVENTS: &str = "sipost_events";

/// Writes groups, under the number of this replica.
pub(super) struct GroupWriter {
    pub(super) lease: Arc<Lease>,
    pub(super) agent_holders: Arc<AgentHolders>,
    pub(super) epoch: u64,
    /// The next turn, where it is known.
    pub(super) turn: Option<WriteTurn>,
    pub(super) own: OwnMessages,
}

/// Why a group was not written.
pub(super) enum WriteFailure {
    /// It left no trace.
    Refused(StoreError),
    /// Another transaction moved one of its messages; nothing of it was written.
    Raced,
    /// Others have begun to take over what this replica held, or it is not alone any more; nothing
    /// of it was written.
    Outdated,
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
#[derive(Default)]
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

    /// Whether what is written depends on an answer of the database also while no other replica is
    /// there.
    fn has_questions(self) -> bool {
        self.has_arrivals() || self.submissions.iter().any(|one| one.key.is_some())
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
        &mut self,
        connection: &Arc<Connection>,
        group: &mut Group,
    ) -> Result<GroupResult, WriteFailure> {
        let turn = self.begin(connection).await?;
        let written = self.write_whole(connection, group, turn).await;
        self.ended(turn, written)
    }

    /// Writes a group that the database rejects when it is written at once.
    pub(super) async fn write_apart(
        &mut self,
        connection: &Connection,
        group: &mut Group,
    ) -> Result<GroupResult, WriteFailure> {
        let turn = self.begin(connection).await?;
        let written = self.write_parts(connection, group, turn).await;
        self.ended(turn, written)
    }

    /// The turn of the next transaction.
    async fn begin(&self, connection: &Connection) -> Result<WriteTurn, StoreError> {
        prepare(connection).await?;
        let me = self.lease.number();
        match self.turn.filter(|turn| turn.replica() == me) {
            Some(turn) => Ok(turn),
            None => WriteTurn::next(connection, me).await,
        }
    }

    /// Whatever failed, what is believed of the messages may be to blame.
    fn ended(
        &mut self,
        turn: WriteTurn,
        written: Result<GroupResult, WriteFailure>,
    ) -> Result<GroupResult, WriteFailure> {
        self.turn = match &written {
            Ok(_) => Some(turn.following()),
            Err(WriteFailure::Outdated | WriteFailure::InDoubt(_)) => None,
            Err(WriteFailure::Refused(_) | WriteFailure::Raced) => Some(turn),
        };
        if written.is_err() || !self.lease.is_alone() {
            self.own.forget_all();
        }
        written
    }

    async fn write_whole(
        &mut self,
        connection: &Arc<Connection>,
        group: &mut Group,
        turn: WriteTurn,
    ) -> Result<GroupResult, WriteFailure> {
        let (submissions, records) = (group.submissions(), group.records());
        let whole = Part {
            submissions: &submissions,
            records: &records,
            received: &group.received(),
            receipts: &group.receipts(),
        };
        let lanes = lanes::of(whole.submissions);
        let mut done = GroupResult::default();
        let is_alone = group.alone.is_none() && !whole.has_questions();
        let alone_up_to = self.lease.alone_up_to().filter(|_| is_alone);
        if let Some(newest) = alone_up_to
            && let Some(messages) = self.own.of(whole.records, whole.submissions)
        {
            let looked = Looked {
                lanes: lanes::own(turn.replica(), &lanes),
                messages,
                ..Looked::default()
            };
            let begun = turn.begin(connection, &lanes, newest);
            let applied = self.apply(connection, whole, looked, turn, true, &mut done);
            return match futures_util::future::join(begun, applied).await {
                // The commit may have gone through all the same.
                (_, Err(doubt @ WriteFailure::InDoubt(_))) => Err(doubt),
                (begun, applied) => begun.and(applied).map(|()| done),
            };
        }
        let (begun, looked) = futures_util::future::join(
            turn.begin(connection, &lanes, i64::MAX),
            look(connection, turn.replica(), whole, &lanes),
        )
        .await;
        begun?;
        let commits = group.alone.is_none() && !whole.has_arrivals();
        self.apply(connection, whole, looked?, turn, commits, &mut done)
            .await?;
        if commits {
            return Ok(done);
        }
        if let Some(work) = &mut group.alone {
            work.apply(connection).await?;
        }
        commit(connection, turn, done).await
    }

    async fn write_parts(
        &mut self,
        connection: &Connection,
        group: &mut Group,
        turn: WriteTurn,
    ) -> Result<GroupResult, WriteFailure> {
        let client = connection.client();
        let whole = Part {
            submissions: &group.submissions(),
            records: &group.records(),
            received: &group.received(),
            receipts: &group.receipts(),
        };
        // Every lane is locked at once, in their order, and stays so for the transaction.
        let lanes = lanes::of(whole.submissions);
        turn.begin(connection, &lanes, i64::MAX).await?;
        let mut done = GroupResult::default();
        let mut parts = vec![whole];
        while let Some(part) = parts.pop() {
            client.batch_execute("SAVEPOINT part").await?;
            let applied = async {
                let lanes = lanes::of(part.submissions);
                let looked = look(connection, turn.replica(), part, &lanes).await?;
                self.apply(connection, part, looked, turn, false, &mut done)
                    .await
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
        commit(connection, turn, done).await
    }

    /// Takes in and appends a part, and commits along with that where it `commits`. What was done
    /// is only told when all of it was.
    async fn apply(
        &mut self,
        connection: &Connection,
        part: Part<'_>,
        mut looked: Looked,
        turn: WriteTurn,
        commits: bool,
        done: &mut GroupResult,
    ) -> Result<(), WriteFailure> {
        let me = turn.replica();
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
        let (written, committed) = writes.send(connection, me, commits).await;
        match committed {
            Err(error) if is_in_doubt(&error) => Err(writes.in_doubt(self.epoch, turn, error)),
            committed => {
                let written = written?;
                committed?;
                // Beside other replicas everything is looked at, whatever is known.
                if self.lease.is_alone() {
                    writes.teach(&written, &mut self.own);
                }
                writes.finish(self.epoch, &written, done);
                Ok(())
            }
        }
    }
}

/// Looks at the lanes of a part, which are locked, and at the messages that it is about.
async fn look(
    connection: &Connection,
    me: i64,
    part: Part<'_>,
    lanes: &[i64],
) -> Result<Looked, StoreError> {
    let (lanes, messages, sent_by, reported) = futures_util::future::join4(
        lanes::look(connection, me, lanes),
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

async fn commit(
    connection: &Connection,
    turn: WriteTurn,
    done: GroupResult,
) -> Result<GroupResult, WriteFailure> {
    match connection.client().batch_execute("COMMIT").await {
        Ok(()) => Ok(done),
        Err(error) if is_in_doubt(&error) => Err(WriteFailure::InDoubt(Box::new(InDoubt {
            turn,
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
    for sql in turn::STATEMENTS
        .iter()
        .chain(&writes::STATEMENTS)
        .chain(&lanes::STATEMENTS)
        .chain(&accept::STATEMENTS)
        .chain(&record::STATEMENTS)
        .chain(&receive::STATEMENTS)
        .chain(&report::STATEMENTS)
    {
        connection.prepare(sql).await?;
    }
    Ok(())
}
