//! Taking in messages that came in, each once.

use rusqlite::{CachedStatement, params};

use super::log::{INSERT_EVENT, LogEntry};
use super::session::SqliteSession;
use super::transaction::WriteTransaction;
use crate::message::{EventKind, MessageId, Received};
use crate::store::received::{SentBy, answered, answers, erase as erase_event, key};
use crate::store::session::{Session, SqlValue};
use crate::store::{Arrived, StoreError};

pub(super) fn receive(
    transaction: &mut WriteTransaction<'_>,
    received: &[Received],
) -> Result<Vec<Arrived>, StoreError> {
    let sent_by = sent_by(transaction, &answers(received))?;
    let mut insert = InsertReceived::prepare(transaction)?;
    let mut arrived = Vec::with_capacity(received.len());
    for one in received {
        let taken =
            transaction.part(|transaction| take_in(transaction, &mut insert, one, &sent_by))?;
        arrived.push(taken.unwrap_or_else(|error| {
            tracing::error!(message.id = %one.id, error, "a received message is rejected");
            Arrived::Rejected
        }));
    }
    Ok(arrived)
}

fn take_in(
    transaction: &mut WriteTransaction<'_>,
    insert: &mut InsertReceived<'_>,
    received: &Received,
    sent_by: &SentBy,
) -> Result<Arrived, StoreError> {
    let time = received.time.as_millis();
    if insert.key.execute(params![key(received), time])? == 0 {
        return Ok(Arrived::Repeated);
    }
    let sender = received.from.uri.as_str();
    let entry = LogEntry {
        previous: None,
        kind: EventKind::Received,
        message_id: received.id,
        uri: sender.into(),
        account: Some(received.account.clone()),
        webhook: None,
    };
    let answered = answered(received, sent_by);
    let write = |json: &mut Vec<u8>| received.write_members(answered, json);
    let seq = transaction.append(&mut insert.event, entry, write)?;
    let row = params![received.id.as_bytes(), seq, &*received.account, sender];
    insert.received.execute(row)?;
    Ok(Arrived::Appended(seq))
}

struct InsertReceived<'c> {
    key: CachedStatement<'c>,
    event: CachedStatement<'c>,
    received: CachedStatement<'c>,
}

impl<'c> InsertReceived<'c> {
    fn prepare(transaction: &WriteTransaction<'c>) -> Result<Self, StoreError> {
        Ok(Self {
            key: transaction.prepare(
                "INSERT INTO received_keys (hash, created_at) VALUES (?1, ?2) \
                 ON CONFLICT (hash) DO NOTHING",
            )?,
            event: transaction.prepare(INSERT_EVENT)?,
            received: transaction.prepare(
                "INSERT INTO received (id, seq, account, sender) VALUES (?1, ?2, ?3, ?4)",
            )?,
        })
    }
}

/// Which accounts sent the messages that are named. Most received messages name none.
fn sent_by(transaction: &WriteTransaction<'_>, named: &[MessageId]) -> Result<SentBy, StoreError> {
    if named.is_empty() {
        return Ok(SentBy::new());
    }
    let session: &dyn Session = &SqliteSession::of(transaction);
    let ids: Vec<_> = named.iter().map(|id| *id.as_bytes()).collect();
    let found = session.all(
        "SELECT s.id, coalesce(e.account, m.account) FROM states s CROSS JOIN messages m \
         LEFT JOIN events e ON e.seq = s.last_event WHERE m.number = s.number \
         AND s.id IN (SELECT unhex(value) FROM json_each(?1))",
        &[SqlValue::Ids(&ids)],
        |row| Ok((row.message_id(0)?, row.optional_shared(1)?)),
    )?;
    Ok(found.into_iter().collect())
}

/// Erases a received message, also from the pages that it leaves; whether there was one. Followers
/// see the tombstone once it is durable.
pub(super) fn erase(
    transaction: &mut WriteTransaction<'_>,
    id: MessageId,
) -> Result<bool, StoreError> {
    // Not for whatever retention removes: to overwrite costs as much as to write.
    let overwrite = |on| {
        transaction
            .connection
            .pragma_update(None, "secure_delete", on)
    };
    overwrite(true)?;
    let erased = erase_event(&SqliteSession::of(transaction), transaction.epoch, id);
    overwrite(false)?;
    let erased = erased?;
    let was_there = erased.is_some();
    transaction.erased.extend(erased);
    Ok(was_there)
}
