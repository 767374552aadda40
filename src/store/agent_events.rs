//! Events of agents. They belong to no message, so a table of their own says how old they are.

use std::ops::ControlFlow;

use super::session::{Lock, Session, values};
use super::{StoreError, retention};
use crate::message::Timestamp;

/// Removes events; how many there were, and up to which event the log has holes then.
pub(super) fn purge(
    session: &dyn Session,
    before: Timestamp,
    limit: usize,
) -> Result<(usize, Option<u64>), StoreError> {
    if !session.try_lock(Lock::Removing)? {
        return Ok((0, None));
    }
    // What webhooks have yet to post stays.
    let planned_to = session.fact("planned_to")?;
    let (mut last, mut count) = (None, 0);
    session.read(
        "SELECT seq, at FROM agent_events ORDER BY seq LIMIT ?1",
        &values![limit],
        &mut |row| {
            let seq = row.number(0)?;
            if row.time(1)? >= before || seq > planned_to {
                return Ok(ControlFlow::Break(()));
            }
            (last, count) = (Some(seq), count + 1);
            Ok(ControlFlow::Continue(()))
        },
    )?;
    let Some(last) = last else {
        return Ok((0, None));
    };
    session.execute(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM agent_events WHERE seq <= ?1)",
        &values![last],
    )?;
    session.execute("DELETE FROM agent_events WHERE seq <= ?1", &values![last])?;
    Ok((count, Some(retention::forget_to(session, last)?)))
}
