//! Appending an event to the log, whatever it is of.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{CachedStatement, params};

use super::transaction::WriteTransaction;
use crate::message::{Event, EventKind, MessageId};
use crate::store::packed::{self, EventRow};
use crate::store::{Logged, StoreError, codes};

/// The statement that [`WriteTransaction::append`] takes.
pub(super) const INSERT_EVENT: &str = "INSERT INTO events (seq, previous, kind, message_id, uri, account, \
     members, webhook) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// An event beside its JSON.
pub(super) struct LogEntry {
    /// The event before it of the same message.
    pub(super) previous: Option<u64>,
    pub(super) kind: EventKind,
    pub(super) message_id: MessageId,
    pub(super) uri: Arc<str>,
    pub(super) account: Option<Arc<str>>,
    pub(super) webhook: Option<Arc<str>>,
}

impl WriteTransaction<'_> {
    /// Appends an event, whose members `write` adds to the JSON; its number.
    pub(super) fn append(
        &mut self,
        insert: &mut CachedStatement<'_>,
        entry: LogEntry,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, StoreError> {
        let seq = self.positions.last_event + 1;
        let json = &mut self.scratch;
        json.clear();
        Event::write_id(self.epoch, seq, json);
        let members = json.len();
        write(json);
        let event_row = EventRow {
            message_id: entry.message_id,
            uri: &entry.uri,
            account: entry.account.as_deref(),
        };
        self.packed.clear();
        let members = self.scratch.get(members..).unwrap_or_default();
        packed::pack(members, event_row, &mut self.packed);
        insert.execute(params![
            seq,
            entry.previous,
            codes::kind_number(entry.kind),
            entry.message_id.as_bytes(),
            &*entry.uri,
            entry.account.as_deref(),
            &*self.packed,
            entry.webhook.as_deref(),
        ])?;
        self.positions.last_event = seq;
        self.appended.push(Logged {
            seq,
            message_id: entry.message_id,
            kind: entry.kind,
            uri: entry.uri,
            account: entry.account,
            webhook: entry.webhook,
            // As many bytes as it has: it stays in memory for as long as it is new.
            json: Bytes::copy_from_slice(&self.scratch),
        });
        Ok(seq)
    }
}
