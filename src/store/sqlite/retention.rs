//! Letting go of what is old, in small steps.
//!
//! The log has the ends of messages in the order in which they came, so walking along it finds
//! what is old first, without an index on age that every message would pay for. Each walk keeps its
//! place in the database and looks at a bounded number of events.

use rusqlite::OptionalExtension as _;
use rusqlite::params;

use super::turn::Turn;
use super::{rows, schema};
use crate::message::Timestamp;
use crate::store::{Step, StoreError};

/// Events looked at for each message wanted: most messages have two.
const SCAN_PER_MESSAGE: usize = 4;
/// Events looked at in a step, at least and at most: where many messages wait there are stretches
/// of the log in which none ends.
const MIN_SCAN: usize = 2_000;
const MAX_SCAN: usize = 20_000;

/// The end of a message, as a walk along the log finds it.
struct End {
    seq: u64,
    id: [u8; 16],
    number: i64,
    completed_at: i64,
}

pub(super) fn purge(
    turn: &mut Turn<'_>,
    (before, limit): &(Timestamp, usize),
) -> Result<Step, StoreError> {
    // What webhooks are still to be told of stays.
    let planned_to = schema::fact(turn.connection, "planned_to")?;
    let is_old = |end: &End| end.completed_at < before.as_millis() && end.seq <= planned_to;
    let (ends, step) = walk(turn, "purged_to", *limit, is_old)?;
    for end in &ends {
        forget_events(turn, end.seq)?;
        turn.prepare("DELETE FROM states WHERE id = ?1")?
            .execute([end.id])?;
        turn.prepare("DELETE FROM messages WHERE number = ?1")?
            .execute([end.number])?;
    }
    if let Some(last) = ends.last() {
        turn.positions.forgotten_to = last.seq;
        schema::set_fact(turn.connection, "forgotten_to", last.seq)?;
    }
    Ok(step)
}

pub(super) fn discard_bodies(turn: &mut Turn<'_>, limit: &usize) -> Result<Step, StoreError> {
    let (ends, step) = walk(turn, "discarded_to", *limit, |_| true)?;
    let mut discard = turn.prepare("UPDATE messages SET body = NULL WHERE number = ?1")?;
    for end in &ends {
        discard.execute([end.number])?;
    }
    Ok(step)
}

pub(super) fn forget_keys(
    turn: &mut Turn<'_>,
    (before, limit): &(Timestamp, usize),
) -> Result<usize, StoreError> {
    let mut oldest =
        turn.prepare("SELECT number, created_at FROM idempotency_keys ORDER BY number LIMIT ?1")?;
    let mut rows = oldest.query([limit])?;
    let (mut last, mut count) = (0_i64, 0);
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= before.as_millis() {
            break;
        }
        last = row.get(0)?;
        count += 1;
    }
    drop(rows);
    if count > 0 {
        turn.prepare("DELETE FROM idempotency_keys WHERE number <= ?1")?
            .execute([last])?;
    }
    Ok(count)
}

/// Goes on from where `place` says, over ends that are `wanted`, up to the first that is not; and
/// remembers how far it came.
fn walk(
    turn: &Turn<'_>,
    place: &str,
    limit: usize,
    wanted: impl Fn(&End) -> bool,
) -> Result<(Vec<End>, Step), StoreError> {
    let begin = schema::fact(turn.connection, place)?;
    let scan = limit
        .saturating_mul(SCAN_PER_MESSAGE)
        .clamp(MIN_SCAN, MAX_SCAN);
    let mut log = turn
        .prepare("SELECT seq, kind, message_id FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut state =
        turn.prepare("SELECT number, completed_at FROM states WHERE id = ?1 AND last_event = ?2")?;
    let mut rows = log.query(params![begin, scan])?;
    let (mut ends, mut reached, mut looked_at) = (Vec::new(), begin, 0);
    let goes_on = loop {
        if ends.len() == limit || looked_at == scan {
            break true;
        }
        let Some(row) = rows.next()? else {
            break false;
        };
        let seq: u64 = row.get(0)?;
        if rows::kind(row, 1)?.is_terminal() {
            let id: [u8; 16] = row.get(2)?;
            let end = state
                .query_row(params![id, seq], |row| {
                    Ok(End {
                        seq,
                        id,
                        number: row.get(0)?,
                        completed_at: row.get(1)?,
                    })
                })
                .optional()?;
            match end {
                Some(end) if wanted(&end) => ends.push(end),
                Some(_) => break false,
                None => {}
            }
        }
        (reached, looked_at) = (seq, looked_at + 1);
    };
    drop(rows);
    if reached != begin {
        schema::set_fact(turn.connection, place, reached)?;
    }
    let messages = ends.len();
    Ok((ends, Step { messages, goes_on }))
}

/// Removes the event `last` and those it hangs on.
fn forget_events(turn: &Turn<'_>, last: u64) -> Result<(), StoreError> {
    let mut delete = turn.prepare("DELETE FROM events WHERE seq = ?1 RETURNING previous")?;
    let mut next = Some(last);
    while let Some(seq) = next {
        next = delete
            .query_row([seq], |row| row.get::<_, Option<u64>>(0))
            .optional()?
            .flatten();
    }
    Ok(())
}
