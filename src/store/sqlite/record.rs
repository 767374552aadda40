//! Appending events, and moving their messages on.

use std::sync::Arc;

use rusqlite::{CachedStatement, OptionalExtension as _};

use super::log::{INSERT_EVENT, LogEntry};
use super::transaction::{Fresh, MessageState, StateStatements, WriteTransaction};
use crate::message::{ByMessage, Event};
use crate::store::{Record, Recorded, StoreError};

pub(super) fn record(
    transaction: &mut WriteTransaction<'_>,
    records: &[Record],
) -> Result<Vec<Recorded>, StoreError> {
    if !transaction.is_apart {
        return append_all(transaction, records);
    }
    let mut answers = Vec::with_capacity(records.len());
    for record in records.iter() {
        let appended = transaction
            .part(|transaction| append_all(transaction, std::slice::from_ref(record)))?;
        answers.extend(appended.unwrap_or_else(|text| {
            tracing::error!(message.id = %record.event.message_id, error = text, "an event is rejected");
            vec![Recorded::Rejected]
        }));
    }
    Ok(answers)
}

fn append_all(
    transaction: &mut WriteTransaction<'_>,
    records: &[Record],
) -> Result<Vec<Recorded>, StoreError> {
    let mut statements = RecordStatements::prepare(transaction)?;
    let mut states = StateStatements::prepare(transaction)?;
    let mut answers = Vec::with_capacity(records.len());
    let mut moved = ByMessage::default();
    for record in records {
        let id = record.event.message_id;
        let before: Option<&Moved> = moved.get(&id);
        let fresh = match before {
            Some(before) => before.fresh,
            None => transaction.fresh.remove(&id),
        };
        let previous = match (before, fresh) {
            (Some(Moved { state, .. }), _) if state.completed_at.is_some() => None,
            (Some(Moved { state, .. }), _) => Some(state.last_event),
            // What was taken in a moment ago is known to have no event yet.
            (None, Some(_)) => Some(None),
            (None, None) => statements.previous(&record.event)?,
        };
        let Some(previous) = previous else {
            answers.push(Recorded::Ended);
            continue;
        };
        let attempt = before.map_or(0, |before| before.state.attempt);
        let seq = append(transaction, &mut statements, record, previous)?;
        let state = MessageState {
            status: record.status,
            attempt: record.event.attempt.max(attempt),
            last_event: Some(seq),
            not_before: record.not_before,
            completed_at: record.status.is_final().then_some(record.event.time),
        };
        moved.insert(id, Moved { fresh, state });
        answers.push(Recorded::Appended(seq));
    }
    let mut moved: Vec<_> = moved.into_iter().collect();
    // New ones at the right edge of the table, where a row costs least.
    moved.sort_unstable_by_key(|(id, _)| *id);
    for (id, Moved { fresh, state }) in moved {
        match fresh {
            Some(Fresh { number, .. }) => drop(states.insert(id, number, &state)?),
            None => states.update(id, &state)?,
        }
    }
    Ok(answers)
}

/// Where a message stands after the last of its records: written once for all of them, since the
/// whole life of a message that is quickly delivered is often in one transaction.
struct Moved {
    /// It has no row yet.
    fresh: Option<Fresh>,
    state: MessageState,
}

fn append(
    transaction: &mut WriteTransaction<'_>,
    statements: &mut RecordStatements<'_>,
    record: &Record,
    previous: Option<u64>,
) -> Result<u64, StoreError> {
    let event = &record.event;
    let account = match (&event.account, previous) {
        (None, Some(previous)) => statements.account(previous)?,
        (account, _) => account.clone(),
    };
    let entry = LogEntry {
        previous,
        kind: event.kind(),
        message_id: event.message_id,
        uri: event.uri.clone(),
        account,
        webhook: event.webhook.clone(),
    };
    transaction.append(&mut statements.event, entry, |json| {
        event.write_members(json);
    })
}

struct RecordStatements<'c> {
    previous: CachedStatement<'c>,
    event: CachedStatement<'c>,
    account: CachedStatement<'c>,
}

impl<'c> RecordStatements<'c> {
    fn prepare(transaction: &WriteTransaction<'c>) -> Result<Self, StoreError> {
        Ok(Self {
            previous: transaction
                .prepare("SELECT last_event FROM states WHERE id = ?1 AND completed_at IS NULL")?,
            // Not one `INSERT … SELECT` of both: what may write several rows keeps a journal of the
            // statement, which costs more than the query.
            event: transaction.prepare(INSERT_EVENT)?,
            account: transaction.prepare("SELECT account FROM events WHERE seq = ?1")?,
        })
    }

    /// An event without an account is of the account that sent the message last.
    fn account(&mut self, previous: u64) -> Result<Option<Arc<str>>, StoreError> {
        let found = self
            .account
            .query_row([previous], |row| row.get(0))
            .optional()?;
        Ok(found.flatten())
    }

    /// The event before this one, if there is one; `None` when the message has ended or is gone.
    fn previous(&mut self, event: &Event) -> Result<Option<Option<u64>>, StoreError> {
        Ok(self
            .previous
            .query_row([event.message_id.as_bytes()], |row| row.get(0))
            .optional()?)
    }
}
