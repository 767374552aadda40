//! Deliveries as their endpoint's owner sees them, and letting go of them.

use rusqlite::params;
use rusqlite::{Connection, OptionalExtension as _};

use super::rows;
use super::settle::RELEASE;
use crate::message::Timestamp;
use crate::store::page::Filling;
use crate::store::sqlite::turn::Turn;
use crate::store::{Deliveries, Delivery, DeliveryFilter, DeliveryKey, DeliveryState, StoreError};

/// Rows a page looks at.
const SCAN: usize = 4_096;

pub(super) fn deliveries(
    connection: &Connection,
    filter: DeliveryFilter,
    before: Option<u64>,
    limit: usize,
) -> Result<Deliveries, StoreError> {
    let index = match filter.state {
        None | Some(DeliveryState::Pending | DeliveryState::Delivered) => "deliveries_once",
        Some(DeliveryState::Failed) => "deliveries_failed",
    };
    let failed = match filter.state {
        Some(DeliveryState::Failed) => "AND state = 2",
        None | Some(DeliveryState::Pending | DeliveryState::Delivered) => "",
    };
    // One view of the database, so that attempts are those of their deliveries.
    let view = connection.unchecked_transaction()?;
    let sql = format!(
        "SELECT {} FROM deliveries INDEXED BY {index} \
         WHERE queue = ?1 AND seq < ?2 {failed} ORDER BY seq DESC LIMIT ?3",
        rows::DELIVERY
    );
    let mut statement = view.prepare_cached(&sql)?;
    // The largest number that SQLite knows; no event has it.
    let before = before.map_or(i64::MAX, |seq| i64::try_from(seq).unwrap_or(i64::MAX));
    let queue = filter.endpoint.to_string();
    let mut rows = statement.query(params![queue, before, SCAN + 1])?;
    let (mut page, mut looked_at) = (Deliveries::default(), 0);
    let (mut filling, mut last) = (Filling::new(limit.into()), None);
    while let Some(row) = rows.next()? {
        if filling.has_all_rows() || looked_at == SCAN {
            page.next = last;
            break;
        }
        looked_at += 1;
        let (number, mut delivery) = rows::delivery(row)?;
        let seq = delivery.seq;
        if filter.state.is_none_or(|state| state == delivery.state) {
            delivery.attempts = attempts(&view, number)?;
            if !filling.takes(delivery.weight()) {
                page.next = last;
                break;
            }
            page.deliveries.push(delivery);
        }
        last = Some(seq);
    }
    Ok(page)
}

fn attempts(
    connection: &Connection,
    number: i64,
) -> Result<Vec<crate::store::Attempt>, StoreError> {
    let attempts = connection
        .prepare_cached(
            "SELECT number, at, took, status, answer, error FROM attempts \
             WHERE delivery = ?1 ORDER BY number",
        )?
        .query_map([number], rows::attempt)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(attempts)
}

pub(super) fn redeliver(
    turn: &mut Turn<'_>,
    (key, now): &(DeliveryKey, Timestamp),
) -> Result<Option<Delivery>, StoreError> {
    let now = now.as_millis();
    // One that waits for an earlier event of its message goes on waiting.
    let message_id: Option<[u8; 16]> = turn
        .prepare(
            "UPDATE deliveries SET state = 0, tries = 0, completed_at = NULL, \
             next_at = CASE WHEN next_at IS NULL THEN NULL ELSE ?3 END \
             WHERE queue = ?1 AND seq = ?2 RETURNING message_id",
        )?
        .query_row(params![&*key.queue, key.seq, now], |row| row.get(0))
        .optional()?;
    let Some(message_id) = message_id else {
        return Ok(None);
    };
    turn.prepare(RELEASE)?
        .execute((&*key.queue, message_id, now))?;
    let sql = format!(
        "SELECT {} FROM deliveries WHERE queue = ?1 AND seq = ?2",
        rows::DELIVERY
    );
    let (number, mut delivery) = turn
        .prepare(&sql)?
        .query_row(params![&*key.queue, key.seq], rows::delivery)?;
    delivery.attempts = attempts(turn.connection, number)?;
    Ok(Some(delivery))
}

pub(super) fn forget(
    turn: &mut Turn<'_>,
    (before, limit): &(Timestamp, usize),
) -> Result<usize, StoreError> {
    let ended: Vec<i64> = turn
        .prepare(
            "SELECT number FROM deliveries INDEXED BY deliveries_ended \
             WHERE completed_at IS NOT NULL AND completed_at < ?1 ORDER BY completed_at LIMIT ?2",
        )?
        .query_map(params![before.as_millis(), limit], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    remove(turn, &ended)?;
    let rest = limit.saturating_sub(ended.len());
    Ok(ended.len() + forget_deleted(turn, rest)?)
}

/// Removes up to `limit` deliveries of one endpoint that was deleted.
fn forget_deleted(turn: &Turn<'_>, limit: usize) -> Result<usize, StoreError> {
    let queue: Option<String> = turn
        .prepare("SELECT queue FROM deleted_queues LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(queue) = queue else {
        return Ok(0);
    };
    let orphans: Vec<i64> = turn
        .prepare("SELECT number FROM deliveries WHERE queue = ?1 ORDER BY seq LIMIT ?2")?
        .query_map(params![queue, limit], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    remove(turn, &orphans)?;
    if orphans.len() < limit {
        turn.prepare("DELETE FROM deleted_queues WHERE queue = ?1")?
            .execute([queue])?;
    }
    Ok(orphans.len())
}

fn remove(turn: &Turn<'_>, numbers: &[i64]) -> Result<(), StoreError> {
    let mut attempts = turn.prepare("DELETE FROM attempts WHERE delivery = ?1")?;
    let mut delivery = turn.prepare("DELETE FROM deliveries WHERE number = ?1")?;
    for number in numbers {
        attempts.execute([number])?;
        delivery.execute([number])?;
    }
    Ok(())
}
