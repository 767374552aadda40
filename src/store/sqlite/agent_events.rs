//! Events of agents on their way into the log.

use rusqlite::params;

use super::log::{INSERT_EVENT, LogEntry};
use super::transaction::WriteTransaction;
use crate::message::Event;
use crate::store::StoreError;

pub(super) fn append(
    transaction: &mut WriteTransaction<'_>,
    events: &[Event],
) -> Result<(), StoreError> {
    let mut insert = transaction.prepare(INSERT_EVENT)?;
    let mut note = transaction.prepare("INSERT INTO agent_events (seq, at) VALUES (?1, ?2)")?;
    for event in events {
        let entry = LogEntry {
            previous: None,
            kind: event.kind(),
            message_id: event.message_id,
            uri: event.uri.clone(),
            account: event.account.clone(),
            webhook: None,
        };
        let seq = transaction.append(&mut insert, entry, |json| {
            event.write_members(json);
        })?;
        note.execute(params![seq, event.time.as_millis()])?;
    }
    Ok(())
}
