//! What is written of a part of a group, in one trip, and with the commit where that can go along.

use tokio_postgres::Error;

use super::accept::Accepted;
use super::connection::Connection;
use super::group::GroupResult;
use super::memory::OwnMessages;
use super::receive::Receiving;
use super::record::{Appended, Appending};
use super::report::Reporting;
use super::transaction::WriteFailure;
use super::turn::WriteTurn;
use crate::store::StoreError;

/// Statements that are sent together with others, and so are prepared before.
pub(super) const STATEMENTS: [&str; 2] = [NOTIFY, LOCK_LOG];

const NOTIFY: &str = "SELECT pg_notify(u.channel, u.number) \
     FROM unnest($1::text[], $2::text[]) AS u (channel, number)";
const LOCK_LOG: &str = "SELECT last FROM log FOR UPDATE";

/// A transaction that may have been committed.
pub(super) struct InDoubt {
    pub(super) turn: WriteTurn,
    pub(super) error: StoreError,
    /// The numbers of its events are not known, and counted from 1 in what was done.
    pub(super) is_unplaced: bool,
    pub(super) done: GroupResult,
}

/// Everything that is written of a part.
pub(super) struct Writes<'g> {
    pub(super) accepted: Accepted<'g>,
    pub(super) appending: Appending<'g>,
    pub(super) receiving: Receiving<'g>,
    pub(super) reporting: Reporting<'g>,
    /// Whom to notify of what.
    pub(super) told: Vec<(&'static str, i64)>,
}

/// What was given numbers.
pub(super) struct Written {
    appended: Appended,
    received: Vec<(usize, u64)>,
    reported: Vec<(usize, u64)>,
}

impl Writes<'_> {
    pub(super) fn has_arrivals(&self) -> bool {
        !self.receiving.is_empty() || !self.reporting.is_empty()
    }

    pub(super) fn has_records(&self) -> bool {
        !self.appending.is_empty()
    }

    /// Sends all of it in one trip, and with it the commit, when it `commits`.
    pub(super) async fn send(
        &self,
        connection: &Connection,
        me: i64,
        commits: bool,
    ) -> (Result<Written, WriteFailure>, Result<(), Error>) {
        let states = self.accepted.states();
        let arrivals = futures_util::future::join(
            self.receiving.insert(connection),
            self.reporting.insert(connection),
        );
        let writes = futures_util::future::join5(
            self.accepted
                .insert(connection, &states, self.has_records()),
            self.appending.insert(connection, me, &states),
            lock_log(connection, self.has_arrivals()),
            arrivals,
            notify(connection, &self.told),
        );
        let (written, committed) =
            futures_util::future::join(writes, commit_along(connection, commits)).await;
        let all = || {
            let (inserted, appended, locked, (received, reported), told) = written;
            inserted?;
            let appended = appended?.map_err(|_raced| WriteFailure::Raced)?;
            locked?;
            told?;
            Ok(Written {
                appended,
                received: received?,
                reported: reported?,
            })
        };
        (all(), committed)
    }

    /// Where the messages of this replica are, now that this was written.
    pub(super) fn teach(&self, written: &Written, own: &mut OwnMessages) {
        self.accepted.teach(own);
        self.appending.teach(&written.appended, own);
        self.reporting.teach(own);
    }

    pub(super) fn finish(self, epoch: u64, written: &Written, done: &mut GroupResult) {
        done.verdicts.extend(self.accepted.verdicts);
        let (answers, events) = self.appending.finish(epoch, &written.appended);
        done.recorded.extend(answers);
        done.events.extend(events);
        let (answers, events) = self.receiving.finish(epoch, &written.received);
        done.arrived.extend(answers);
        done.events.extend(events);
        let (answers, events) = self.reporting.finish(epoch, &written.reported);
        done.reported.extend(answers);
        done.events.extend(events);
    }

    /// The connection broke before it was known whether this was committed, and where.
    pub(super) fn in_doubt(self, epoch: u64, turn: WriteTurn, error: Error) -> WriteFailure {
        let is_unplaced = self.has_records();
        let written = Written {
            appended: self.appending.unplaced(),
            received: Vec::new(),
            reported: Vec::new(),
        };
        let mut done = GroupResult::default();
        self.finish(epoch, &written, &mut done);
        WriteFailure::InDoubt(Box::new(InDoubt {
            turn,
            error: error.into(),
            is_unplaced,
            done,
        }))
    }
}

/// Holds the row of the log until the transaction ends, so that what comes after it sees all that
/// others have written who held it.
async fn lock_log(connection: &Connection, is_wanted: bool) -> Result<(), StoreError> {
    if is_wanted {
        let statement = connection.prepare(LOCK_LOG).await?;
        connection.client().execute(&statement, &[]).await?;
    }
    Ok(())
}

/// Commits together with what was sent before, if `is_wanted`. When one of those failed the
/// database rolls the transaction back.
async fn commit_along(connection: &Connection, is_wanted: bool) -> Result<(), Error> {
    if is_wanted {
        connection.client().batch_execute("COMMIT").await?;
    }
    Ok(())
}

/// Whether a commit that failed so may count all the same: the connection broke.
pub(super) fn is_in_doubt(error: &Error) -> bool {
    error.is_closed() || error.as_db_error().is_none()
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
