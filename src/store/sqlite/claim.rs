//! Taking over what has not ended, and reading it for sending.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::transaction::WriteTransaction;
use crate::message::{Message, MessageId};
use crate::store::messages::{MESSAGE, claimed, message};
use crate::store::{Claimed, StoreError};

/// Hands out what was there, unfinished, when the store was opened. What came later belongs to
/// this process already, and no other has the database open.
pub(super) fn claim(
    transaction: &mut WriteTransaction<'_>,
    limit: usize,
) -> Result<Vec<Claimed>, StoreError> {
    let mut statement = transaction.prepare(
        "SELECT s.id, m.uri, m.account, s.status, s.attempt, m.attempts, m.on_unknown, \
         coalesce(s.not_before, m.send_at), m.expires_at, m.priority \
         FROM states s INDEXED BY states_open CROSS JOIN messages m ON m.number = s.number \
         WHERE s.completed_at IS NULL AND s.id > ?1 AND s.number <= ?2 ORDER BY s.id LIMIT ?3",
    )?;
    let claimed_to = transaction.positions.claimed_to.unwrap_or_default();
    let mut rows = statement.query(params![claimed_to, transaction.positions.found, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(claimed(row)?);
    }
    if let Some(last) = found.last() {
        transaction.positions.claimed_to = Some(*last.id.as_bytes());
    }
    if found.len() < limit {
        // Nothing of before is left: asking again looks at nothing.
        transaction.positions.claimed_to = Some([u8::MAX; 16]);
    }
    Ok(found)
}

pub(super) fn load(
    connection: &Connection,
    ids: &[MessageId],
) -> Result<Vec<Arc<Message>>, StoreError> {
    let sql = format!(
        "SELECT {MESSAGE} FROM states s CROSS JOIN messages m ON m.number = s.number \
         WHERE s.id = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let mut rows = statement.query([id.as_bytes()])?;
        if let Some(row) = rows.next()? {
            found.push(Arc::new(message(row)?));
        }
    }
    Ok(found)
}
