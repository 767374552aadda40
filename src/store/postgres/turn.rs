//! How a transaction of the writer begins, and how the fate of one is known whose answer was lost.
//!
//! Each transaction takes the next turn of its replica: it first counts `turns.taken` on, and fails
//! when that is not where this replica believes it to be. So a turn was taken when, and only when,
//! its transaction was committed. The row also tells which transaction that was, and so where its
//! events are.
//!
//! | `turns.taken`  | the transaction                                                        |
//! |----------------|------------------------------------------------------------------------|
//! | as before      | is lost, or on its way: the turn is barred, so that it fails if it comes |
//! | one more       | was committed                                                          |
//! | two more       | was barred                                                             |
//!
//! The statement that bars a turn waits for a transaction that has taken it and goes on. Nothing of
//! this needs an answer from the transaction, so it can be sent with its commit in one trip.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::connection::{Connection, fence_lock};
use super::transaction::WriteFailure;
use super::{lanes, session};
use crate::store::StoreError;

/// A transaction of a replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteTurn {
    replica: i64,
    /// How many turns of its replica were taken before.
    before: i64,
}

/// What became of a transaction whose answer was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// The number before that of its first event; `None` when it appended nothing.
    Committed(Option<u64>),
    /// And it never will be.
    NotCommitted,
}

/// Statements that are sent together with others, and so are prepared before.
pub(super) const STATEMENTS: [&str; 2] = [HOLD, TAKE];

/// The lock keeps others from fencing this replica while the transaction runs.
const HOLD: &str = "SELECT pg_advisory_xact_lock_shared($1, $2)";
/// A statement of its own behind the locks: it sees what those we waited for have committed. It
/// divides by zero when the replica is fenced, when another one came that it does not know of, or
/// when the turn is another one: the commit may be on its way already.
const TAKE: &str = "WITH turn AS (UPDATE turns SET taken = taken + 1 \
     WHERE replica = $1 AND taken = $2 \
     AND EXISTS (SELECT FROM replicas WHERE number = $1 AND NOT fenced) \
     AND NOT EXISTS (SELECT FROM replicas WHERE number > $3) RETURNING taken) \
     SELECT 1 / count(*) FROM turn";
const NEXT: &str = "SELECT taken FROM turns WHERE replica = $1";
const BAR: &str = "UPDATE turns SET taken = taken + 2 WHERE replica = $1 AND taken = $2";
const TAKEN: &str = "SELECT t.taken, (SELECT min(seq) - 1 FROM events e WHERE e.seq > $2 \
     AND e.xmin = t.xmin) FROM turns t WHERE t.replica = $1";

impl WriteTurn {
    /// The next one of a replica.
    pub(super) async fn next(connection: &Connection, replica: i64) -> Result<Self, StoreError> {
        let statement = connection.prepare(NEXT).await?;
        let row = connection
            .client()
            .query_opt(&statement, &[&replica])
            .await?;
        // Without a row, because others have removed this replica, no turn can be taken.
        let before = row.map_or(Ok(0), |row| row.try_get(0))?;
        Ok(Self { replica, before })
    }

    /// The one after this one, when this one was taken.
    pub(super) fn following(self) -> Self {
        Self {
            before: self.before + 1,
            ..self
        }
    }

    /// Whose it is.
    pub(super) fn replica(self) -> i64 {
        self.replica
    }

    /// Begins its transaction, and locks lanes in their order. Until it has ended no replica fences
    /// this one. [`WriteFailure::Outdated`] when it is fenced, or when there is a replica with a
    /// number above `newest`.
    pub(super) async fn begin(
        self,
        connection: &Connection,
        lanes: &[i64],
        newest: i64,
    ) -> Result<(), WriteFailure> {
        let client = connection.client();
        let hold = connection.prepare(HOLD).await?;
        let take = connection.prepare(TAKE).await?;
        let (class, key) = fence_lock(self.replica);
        let held: [&(dyn ToSql + Sync); 2] = [&class, &key];
        let taken: [&(dyn ToSql + Sync); 3] = [&self.replica, &self.before, &newest];
        let (begun, held, locked, taken) = futures_util::future::join4(
            client.batch_execute("BEGIN"),
            client.execute(&hold, &held),
            lanes::lock(connection, lanes),
            client.execute(&take, &taken),
        )
        .await;
        begun?;
        held?;
        locked?;
        match taken {
            Err(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
                Err(WriteFailure::Outdated)
            }
            taken => Ok(taken.map(|_| ())?),
        }
    }

    /// What became of its transaction, the session of which has ended, or will. Its events are
    /// `after` this one.
    pub(super) async fn fate(
        self,
        connection: &Connection,
        after: u64,
    ) -> Result<Fate, StoreError> {
        let client = connection.client();
        let barred = client.execute(BAR, &[&self.replica, &self.before]).await?;
        if barred > 0 {
            return Ok(Fate::NotCommitted);
        }
        let after = session::from_seq(after);
        let Some(row) = client.query_opt(TAKEN, &[&self.replica, &after]).await? else {
            return Ok(Fate::NotCommitted);
        };
        let taken: i64 = row.try_get(0)?;
        if taken != self.following().before {
            return Ok(Fate::NotCommitted);
        }
        let base: Option<i64> = row.try_get(1)?;
        Ok(Fate::Committed(base.map(|base| base.unsigned_abs())))
    }
}
