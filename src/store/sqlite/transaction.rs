//! One transaction of the writer, and the rows of `states` that it changes.

use rusqlite::{CachedStatement, Connection, params};

use super::schema;
use crate::message::{ByMessage, MessageId, Status, Timestamp};
use crate::store::{Logged, StoreError, codes};

/// What a verb that writes works with: the open transaction, and what follows from its commit.
pub(super) struct WriteTransaction<'c> {
    pub(super) connection: &'c Connection,
    pub(super) epoch: u64,
    /// As they will be when this transaction is durable.
    pub(super) positions: Positions,
    /// Shown when this transaction is durable.
    pub(super) appended: Vec<Logged>,
    /// Tombstones of erased events. Shown in their place, also then.
    pub(super) erased: Vec<Logged>,
    /// Taken in by this order, and without a row in `states` yet. Records of the same order go into
    /// that row, so that it is written once for a message whose life fits in one order.
    pub(super) fresh: ByMessage<Fresh>,
    /// Whether each part of the work is undone by itself when the database does not take it.
    pub(super) is_apart: bool,
    /// Where JSON is written, so that it is not allocated piece by piece.
    pub(super) scratch: Vec<u8>,
    /// The same as the database keeps it.
    pub(super) packed: Vec<u8>,
}

/// A message whose row in `states` is not written yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub(super) number: i64,
    pub(super) status: Status,
}

/// Where the store is. Taken over at each commit, and left as it was by one that fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positions {
    /// `events.seq` of the newest event.
    pub(super) last_event: u64,
    /// `messages.number` of the newest message.
    pub(super) last_message: i64,
    /// The highest id there ever was: a message with a higher one is new.
    pub(super) highest: Option<MessageId>,
    /// Messages up to this number were there when the store was opened: what of them has not
    /// ended can be claimed.
    pub(super) found: i64,
    /// Up to this id they were handed out.
    pub(super) claimed_to: Option<[u8; 16]>,
}

impl Positions {
    pub(super) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let last_message = number("SELECT max(number) FROM messages")?.unwrap_or(0);
        let last_event = number("SELECT max(seq) FROM events")?.unwrap_or(0);
        let highest: Option<Vec<u8>> =
            connection.query_row("SELECT max(id) FROM states", [], |row| row.get(0))?;
        let forgotten_to = schema::fact(connection, "forgotten_to")?;
        Ok(Self {
            // When the newest events were removed, their numbers are still not used again.
            last_event: u64::try_from(last_event).unwrap_or(0).max(forgotten_to),
            last_message,
            highest: highest.and_then(|id| MessageId::from_bytes(&id)),
            found: last_message,
            claimed_to: None,
        })
    }
}

impl<'c> WriteTransaction<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        epoch: u64,
        positions: Positions,
        is_apart: bool,
    ) -> Self {
        Self {
            connection,
            epoch,
            positions,
            appended: Vec::new(),
            erased: Vec::new(),
            fresh: ByMessage::default(),
            is_apart,
            scratch: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// Does `work` in a transaction; when anything fails, nothing of it is left.
    pub(super) fn run(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.prepare("BEGIN IMMEDIATE")?.execute([])?;
        let done = work(self).and_then(|()| {
            self.prepare("COMMIT")?.execute([])?;
            Ok(())
        });
        // A full disk, for one, makes SQLite roll back on its own.
        if done.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        done
    }

    /// Does a part of the work that others of the same transaction do not depend on. In a
    /// transaction that is apart, what the database does not take is undone, and the inner error
    /// says why; else it fails the transaction.
    pub(super) fn part<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<Result<T, String>, StoreError> {
        if !self.is_apart {
            return work(self).map(Ok);
        }
        let (positions, appended) = (self.positions, self.appended.len());
        let erased = self.erased.len();
        self.prepare("SAVEPOINT part")?.execute([])?;
        let done = work(self).and_then(|done| {
            self.settle()?;
            Ok(done)
        });
        let done = match done {
            Ok(done) => Ok(done),
            Err(StoreError::Rejected(text)) => {
                self.positions = positions;
                self.appended.truncate(appended);
                self.erased.truncate(erased);
                self.fresh.clear();
                self.prepare("ROLLBACK TO part")?.execute([])?;
                Err(text)
            }
            Err(error) => return Err(error),
        };
        self.prepare("RELEASE part")?.execute([])?;
        Ok(done)
    }

    /// Ends an order: what follows finds every message in `states`.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let mut states = StateStatements::prepare(self)?;
        let mut fresh: Vec<_> = self.fresh.drain().collect();
        // At the right edge of the table, where a row costs least.
        fresh.sort_unstable_by_key(|(id, _)| *id);
        for (id, fresh) in fresh {
            states.insert(id, fresh.number, &MessageState::new(fresh.status))?;
        }
        Ok(())
    }

    /// A statement, prepared once in the life of the connection.
    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'c>, StoreError> {
        Ok(self.connection.prepare_cached(sql)?)
    }
}

/// Where a message stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageState {
    pub(super) status: Status,
    pub(super) attempt: u32,
    pub(super) last_event: Option<u64>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) completed_at: Option<Timestamp>,
}

impl MessageState {
    /// Nothing was recorded of it yet.
    pub(super) fn new(status: Status) -> Self {
        Self {
            status,
            attempt: 0,
            last_event: None,
            not_before: None,
            completed_at: None,
        }
    }
}

/// The statements that write them.
pub(super) struct StateStatements<'c> {
    insert: CachedStatement<'c>,
    update: CachedStatement<'c>,
}

impl<'c> StateStatements<'c> {
    pub(super) fn prepare(transaction: &WriteTransaction<'c>) -> Result<Self, StoreError> {
        Ok(Self {
            insert: transaction.prepare(
                "INSERT INTO states (id, number, status, attempt, last_event, not_before, \
                 completed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?,
            update: transaction.prepare(
                "UPDATE states SET status = ?2, attempt = max(attempt, ?3), last_event = ?4, \
                 not_before = ?5, completed_at = ?6 WHERE id = ?1",
            )?,
        })
    }

    /// Whether there was no such message yet.
    pub(super) fn insert(
        &mut self,
        id: MessageId,
        number: i64,
        state: &MessageState,
    ) -> Result<bool, StoreError> {
        let inserted = self.insert.execute(params![
            id.as_bytes(),
            number,
            codes::status_number(state.status),
            state.attempt,
            state.last_event,
            state.not_before.map(Timestamp::as_millis),
            state.completed_at.map(Timestamp::as_millis),
        ])?;
        Ok(inserted > 0)
    }

    pub(super) fn update(&mut self, id: MessageId, state: &MessageState) -> Result<(), StoreError> {
        self.update.execute(params![
            id.as_bytes(),
            codes::status_number(state.status),
            state.attempt,
            state.last_event,
            state.not_before.map(Timestamp::as_millis),
            state.completed_at.map(Timestamp::as_millis),
        ])?;
        Ok(())
    }
}
