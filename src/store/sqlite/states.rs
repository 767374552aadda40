//! Rows of `states`: where each message stands.

use rusqlite::CachedStatement;
use rusqlite::params;

use super::transaction::WriteTransaction;
use crate::message::{MessageId, Status, Timestamp};
use crate::store::{StoreError, codes};

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
