//! Taking over what has not ended.

use rusqlite::params;

use super::rows;
use super::turn::Turn;
use crate::store::{Claimed, StoreError};

/// Hands out what was there, unfinished, when the store was opened. What came later belongs to
/// this process already, and no other has the database open.
pub(super) fn claim(turn: &mut Turn<'_>, limit: usize) -> Result<Vec<Claimed>, StoreError> {
    let mut statement = turn.prepare(
        "SELECT s.id, m.uri, m.account, s.status, s.attempt, m.attempts, m.on_unknown, \
         coalesce(s.not_before, m.send_at), m.expires_at \
         FROM states s INDEXED BY states_open CROSS JOIN messages m ON m.number = s.number \
         WHERE s.completed_at IS NULL AND s.id > ?1 AND s.number <= ?2 ORDER BY s.id LIMIT ?3",
    )?;
    let claimed_to = turn.positions.claimed_to.unwrap_or_default();
    let claimed = statement
        .query_map(
            params![claimed_to, turn.positions.found, limit],
            rows::claimed,
        )?
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(last) = claimed.last() {
        turn.positions.claimed_to = Some(*last.id.as_bytes());
    }
    if claimed.len() < limit {
        // Nothing of before is left: asking again looks at nothing.
        turn.positions.claimed_to = Some([u8::MAX; 16]);
    }
    Ok(claimed)
}
