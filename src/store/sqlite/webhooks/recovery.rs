//! Sending again what failed or was missed.

use rusqlite::params;

use super::endpoints;
use super::plan::Insert;
use super::settle::RELEASE;
use crate::store::sqlite::turn::Turn;
use crate::store::{RecoveryStep, StoreError};

pub(super) fn recover(turn: &mut Turn<'_>, step: &RecoveryStep) -> Result<Option<u64>, StoreError> {
    let recovery = endpoints::find(turn, step.endpoint)?.and_then(|endpoint| endpoint.recovery);
    let Some(recovery) = recovery else {
        return Ok(None);
    };
    if recovery.cursor != step.from {
        return Ok(Some(recovery.cursor));
    }
    let queue = step.endpoint.to_string();
    let failed: Vec<(u64, [u8; 16])> = turn
        .prepare(
            "SELECT seq, message_id FROM deliveries INDEXED BY deliveries_failed \
             WHERE state = 2 AND queue = ?1 AND seq > ?2 AND seq <= ?3 \
             AND event_at >= ?4 AND event_at < ?5 ORDER BY seq LIMIT ?6",
        )?
        .query_map(
            params![
                queue,
                step.from,
                step.to,
                recovery.since.as_millis(),
                recovery.until.as_millis(),
                step.limit,
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect::<Result<_, _>>()?;
    let reached = match failed.last() {
        Some((seq, _)) if failed.len() == step.limit => *seq,
        _ => step.to,
    };
    begin_anew(turn, &queue, &failed)?;
    let mut insert = Insert::prepare(turn)?;
    for delivery in step.wanted.iter().filter(|one| one.seq <= reached) {
        insert.delivery(turn, delivery, step.now)?;
    }
    for (_, message_id) in &failed {
        turn.prepare(RELEASE)?
            .execute(params![queue, message_id, step.now.as_millis()])?;
    }
    go_on(turn, step, reached, recovery.end)
}

/// Makes failed deliveries wait again, for their turn.
fn begin_anew(turn: &Turn<'_>, queue: &str, failed: &[(u64, [u8; 16])]) -> Result<(), StoreError> {
    let mut again = turn.prepare(
        "UPDATE deliveries SET state = 0, tries = 0, completed_at = NULL \
         WHERE queue = ?1 AND seq = ?2",
    )?;
    for (seq, _) in failed {
        again.execute(params![queue, seq])?;
    }
    Ok(())
}

fn go_on(
    turn: &Turn<'_>,
    step: &RecoveryStep,
    reached: u64,
    end: u64,
) -> Result<Option<u64>, StoreError> {
    let id = step.endpoint.as_bytes();
    if reached < end {
        turn.prepare("UPDATE endpoints SET recovery_cursor = ?2 WHERE id = ?1")?
            .execute(params![id, reached])?;
        return Ok(Some(reached));
    }
    turn.prepare(
        "UPDATE endpoints SET recovery_since = NULL, recovery_until = NULL, \
         recovery_cursor = NULL, recovery_end = NULL WHERE id = ?1",
    )?
    .execute([id])?;
    Ok(None)
}
