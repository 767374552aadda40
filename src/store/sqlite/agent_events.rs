//! Events of agents on their way into the log.

use bytes::Bytes;
use rusqlite::params;

use super::record::INSERT_EVENT;
use super::transaction::WriteTransaction;
use crate::message::Event;
use crate::store::{Logged, StoreError, codes};

pub(super) fn append(
    transaction: &mut WriteTransaction<'_>,
    events: &[Event],
) -> Result<(), StoreError> {
    let mut insert = transaction.prepare(INSERT_EVENT)?;
    let mut note = transaction.prepare("INSERT INTO agent_events (seq, at) VALUES (?1, ?2)")?;
    for event in events {
        let seq = transaction.positions.last_event + 1;
        let json = &mut transaction.scratch;
        json.clear();
        Event::write_id(transaction.epoch, seq, json);
        let members = json.len();
        event.write_members(json);
        insert.execute(params![
            seq,
            None::<u64>,
            codes::kind_number(event.kind()),
            event.message_id.as_bytes(),
            &*event.uri,
            event.account.as_deref(),
            transaction.scratch.get(members..).unwrap_or_default(),
            None::<&str>,
        ])?;
        note.execute(params![seq, event.time.as_millis()])?;
        transaction.positions.last_event = seq;
        transaction.appended.push(Logged {
            seq,
            message_id: event.message_id,
            kind: event.kind(),
            uri: event.uri.clone(),
            account: event.account.clone(),
            webhook: None,
            json: Bytes::copy_from_slice(&transaction.scratch),
        });
    }
    Ok(())
}
