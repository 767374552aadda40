//! Removing old messages and keys, in small steps, by one replica at a time.
//!
//! The log has the ends of messages in the order in which they came, or the last receipts that
//! followed their ends, so walking along it finds the oldest first, without an index on age that
//! every message would pay for. Each walk keeps its place in the database and looks at a bounded
//! number of events.

use std::ops::ControlFlow;

use super::session::{Lock, Session, SqlValue, strange, values};
use super::{RetentionStep, StoreError, frames};
use crate::message::Timestamp;

/// Events looked at for each message wanted: most messages have two.
const SCAN_PER_MESSAGE: usize = 4;
/// Events looked at in a step, at least and at most: where many messages wait there are stretches
/// of the log in which none ends.
const MIN_SCAN: usize = 2_000;
const MAX_SCAN: usize = 20_000;

/// Messages that have ended, as a walk along the log finds them.
#[derive(Default)]
struct Ends {
    ids: Vec<[u8; 16]>,
    seqs: Vec<i64>,
}

/// Removes messages; and up to which event the log has holes then.
pub(super) fn purge(
    session: &dyn Session,
    before: Timestamp,
    limit: usize,
) -> Result<(RetentionStep, Option<u64>), StoreError> {
    if !session.try_lock(Lock::Removing)? {
        return Ok((RetentionStep::default(), None));
    }
    // What webhooks have yet to post stays.
    let planned_to = session.fact("planned_to")?;
    let is_old = |seq, completed_at| completed_at < before && seq <= planned_to;
    let (ends, step) = walk(session, "purged_to", limit, is_old)?;
    let Some(last) = ends.seqs.last().and_then(|seq| u64::try_from(*seq).ok()) else {
        return Ok((step, None));
    };
    session.execute(
        "WITH RECURSIVE chain (seq, previous) AS (SELECT seq, previous FROM events \
         WHERE seq IN (SELECT value FROM json_each(?1)) UNION ALL SELECT e.seq, e.previous \
         FROM chain c CROSS JOIN events e WHERE e.seq = c.previous) \
         DELETE FROM events WHERE seq IN (SELECT seq FROM chain)",
        &values![&*ends.seqs],
    )?;
    let delete = session.either(
        "DELETE FROM messages WHERE number IN (SELECT number FROM states \
         WHERE id IN (SELECT unhex(value) FROM json_each(?1)))",
        "DELETE FROM messages WHERE id = ANY(?1)",
    );
    session.execute(delete, &[SqlValue::Ids(&ends.ids)])?;
    session.execute(
        "DELETE FROM states WHERE id IN (SELECT unhex(value) FROM json_each(?1))",
        &[SqlValue::Ids(&ends.ids)],
    )?;
    session.execute(
        "DELETE FROM receipts WHERE message_id IN (SELECT unhex(value) FROM json_each(?1))",
        &[SqlValue::Ids(&ends.ids)],
    )?;
    frames::forget_messages(session, &ends.ids)?;
    Ok((step, Some(forget_to(session, last)?)))
}

/// Takes note that the log has holes up to this event; up to which it has some then.
pub(super) fn forget_to(session: &dyn Session, last: u64) -> Result<u64, StoreError> {
    let forgotten_to = last.max(session.fact("forgotten_to")?);
    session.set_fact("forgotten_to", forgotten_to)?;
    Ok(forgotten_to)
}

pub(super) fn discard_bodies(
    session: &dyn Session,
    limit: usize,
) -> Result<RetentionStep, StoreError> {
    if !session.try_lock(Lock::Removing)? {
        return Ok(RetentionStep::default());
    }
    let (ends, step) = walk(session, "discarded_to", limit, |_, _| true)?;
    let discard = session.either(
        "UPDATE messages SET body = NULL WHERE number IN (SELECT number FROM states \
         WHERE id IN (SELECT unhex(value) FROM json_each(?1)))",
        "UPDATE messages SET body = NULL WHERE id = ANY(?1)",
    );
    session.execute(discard, &[SqlValue::Ids(&ends.ids)])?;
    Ok(step)
}

/// Forgets the rows of a table that are from before this time; how many there were. A row has a
/// number in the order of use, and a time.
pub(super) fn forget_keys(
    session: &dyn Session,
    table: &'static str,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    if !session.try_lock(Lock::Removing)? {
        return Ok(0);
    }
    let (mut last, mut count) = (None, 0);
    // Up to the first that is too young, in the order of use.
    session.read(
        &format!("SELECT number, created_at FROM {table} ORDER BY number LIMIT ?1"),
        &values![limit],
        &mut |row| {
            if row.time(1)? >= before {
                return Ok(ControlFlow::Break(()));
            }
            (last, count) = (Some(row.integer(0)?), count + 1);
            Ok(ControlFlow::Continue(()))
        },
    )?;
    if let Some(last) = last {
        let sql = format!("DELETE FROM {table} WHERE number <= ?1");
        session.execute(&sql, &values![last])?;
    }
    Ok(count)
}

/// Goes on from where `place` says, over ends that are wanted by their number and time, up to the
/// first that is not; and remembers how far it came.
fn walk(
    session: &dyn Session,
    place: &str,
    limit: usize,
    is_wanted: impl Fn(u64, Timestamp) -> bool,
) -> Result<(Ends, RetentionStep), StoreError> {
    let begin = session.fact(place)?;
    let scan = limit
        .saturating_mul(SCAN_PER_MESSAGE)
        .clamp(MIN_SCAN, MAX_SCAN);
    let (mut ends, mut reached) = (Ends::default(), begin);
    let (mut looked_at, mut is_stopped) = (0, false);
    session.read(
        "SELECT e.seq, s.id, s.completed_at FROM events e LEFT JOIN states s \
         ON s.id = CASE WHEN e.kind >= 2 AND e.kind <> 4 THEN e.message_id END \
         AND s.last_event = e.seq AND s.completed_at IS NOT NULL \
         WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2",
        &values![begin, scan],
        &mut |row| {
            if ends.ids.len() == limit {
                looked_at = scan;
                return Ok(ControlFlow::Break(()));
            }
            let seq = row.number(0)?;
            if let Some(id) = row.optional_blob(1)? {
                if !is_wanted(seq, row.time(2)?) {
                    is_stopped = true;
                    return Ok(ControlFlow::Break(()));
                }
                ends.ids.push(id.try_into().map_err(|_| strange("id"))?);
                ends.seqs.push(row.integer(0)?);
            }
            (reached, looked_at) = (seq, looked_at + 1);
            Ok(ControlFlow::Continue(()))
        },
    )?;
    if reached != begin {
        session.set_fact(place, reached)?;
    }
    let step = RetentionStep {
        messages: ends.ids.len(),
        has_more: !is_stopped && looked_at == scan,
    };
    Ok((ends, step))
}
