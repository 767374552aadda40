//! Deliveries as their endpoint's owner sees them, sending them again, and removing them.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use super::settle::release;
use crate::message::Timestamp;
use crate::store::page::Filling;
use crate::store::session::{Lock, Session, SqlRow, strange, values};
use crate::store::{
    Attempt, Deliveries, Delivery, DeliveryFilter, DeliveryKey, DeliveryState, StoreError, codes,
};

/// Rows a page looks at.
const SCAN: usize = 4_096;

/// The columns that [`delivery`] reads, in its order; the first is for finding its attempts.
const DELIVERY: &str = "number, seq, message_id, kind, state, created_at, next_at, completed_at";

pub(super) fn deliveries(
    session: &dyn Session,
    filter: DeliveryFilter,
    before: Option<u64>,
    limit: usize,
) -> Result<Deliveries, StoreError> {
    let (index, failed) = match filter.state {
        None | Some(DeliveryState::Pending | DeliveryState::Delivered) => ("deliveries_once", ""),
        Some(DeliveryState::Failed) => ("deliveries_failed", "AND state = 2"),
    };
    let sql = format!(
        "SELECT {DELIVERY} FROM deliveries INDEXED BY {index} \
         WHERE queue = ?1 AND seq < ?2 {failed} ORDER BY seq DESC LIMIT ?3"
    );
    let (mut page, mut looked_at, mut last) = (Deliveries::default(), 0, None);
    let mut numbers = Vec::new();
    let (queue, before) = (filter.endpoint.to_string(), before.unwrap_or(u64::MAX));
    session.read(&sql, &values![queue, before, SCAN + 1], &mut |row| {
        if page.deliveries.len() == limit || looked_at == SCAN {
            page.next = last;
            return Ok(ControlFlow::Break(()));
        }
        looked_at += 1;
        let (number, delivery) = delivery(row)?;
        last = Some(delivery.seq);
        if filter.state.is_none_or(|state| state == delivery.state) {
            numbers.push(number);
            page.deliveries.push(delivery);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let mut attempts = attempts(session, &numbers)?;
    for (number, delivery) in numbers.iter().zip(&mut page.deliveries) {
        delivery.attempts = attempts.remove(number).unwrap_or_default();
    }
    let mut filling = Filling::new(limit.into());
    let fitting = page.deliveries.iter();
    let fitting = fitting
        .take_while(|delivery| filling.takes(delivery.weight()))
        .count();
    if fitting < page.deliveries.len() {
        page.deliveries.truncate(fitting);
        page.next = page.deliveries.last().map(|delivery| delivery.seq);
    }
    Ok(page)
}

fn attempts(
    session: &dyn Session,
    deliveries: &[i64],
) -> Result<HashMap<i64, Vec<Attempt>>, StoreError> {
    let found = session.all(
        "SELECT delivery, number, at, took, status, answer, error FROM attempts \
         WHERE delivery IN (SELECT value FROM json_each(?1)) ORDER BY delivery, number",
        &values![deliveries],
        |row| Ok((row.integer(0)?, attempt(row)?)),
    )?;
    let mut attempts: HashMap<i64, Vec<Attempt>> = HashMap::new();
    for (delivery, attempt) in found {
        attempts.entry(delivery).or_default().push(attempt);
    }
    Ok(attempts)
}

pub(super) fn redeliver(
    session: &dyn Session,
    key: &DeliveryKey,
    now: Timestamp,
) -> Result<Option<Delivery>, StoreError> {
    session.lock(Lock::Deliveries)?;
    // One that waits for an earlier event of its message goes on waiting.
    let message_id = session.first(
        "UPDATE deliveries SET state = 0, tries = 0, completed_at = NULL, \
         next_at = CASE WHEN next_at IS NOT NULL THEN CAST(?3 AS bigint) END \
         WHERE queue = ?1 AND seq = ?2 RETURNING message_id",
        &values![&*key.queue, key.seq, now],
        |row| row.message_id(0),
    )?;
    let Some(message_id) = message_id else {
        return Ok(None);
    };
    release(session, &key.queue, message_id, now)?;
    let sql = format!("SELECT {DELIVERY} FROM deliveries WHERE queue = ?1 AND seq = ?2");
    let found = session.first(&sql, &values![&*key.queue, key.seq], delivery)?;
    let Some((number, mut delivery)) = found else {
        return Ok(None);
    };
    delivery.attempts = attempts(session, &[number])?
        .remove(&number)
        .unwrap_or_default();
    Ok(Some(delivery))
}

/// Those that wait for an earlier event of their message have no time, and go on waiting for it.
pub(super) fn hasten(
    session: &dyn Session,
    queue: &str,
    now: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    session.lock(Lock::Deliveries)?;
    let hastened = session.execute(
        "UPDATE deliveries SET next_at = ?2 WHERE number IN (\
         SELECT number FROM deliveries INDEXED BY deliveries_due WHERE next_at IS NOT NULL \
         AND queue = ?1 AND next_at > ?2 ORDER BY next_at LIMIT ?3)",
        &values![queue, now, limit],
    )?;
    Ok(usize::try_from(hastened).unwrap_or(usize::MAX))
}

pub(super) fn forget(
    session: &dyn Session,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    session.lock(Lock::Deliveries)?;
    let ended = session.all(
        "SELECT number FROM deliveries INDEXED BY deliveries_ended \
         WHERE completed_at IS NOT NULL AND completed_at < ?1 ORDER BY completed_at LIMIT ?2",
        &values![before, limit],
        |row| row.integer(0),
    )?;
    remove(session, &ended)?;
    let rest = limit.saturating_sub(ended.len());
    Ok(ended.len() + forget_deleted(session, rest)?)
}

/// Removes up to `limit` deliveries of one endpoint that was deleted.
fn forget_deleted(session: &dyn Session, limit: usize) -> Result<usize, StoreError> {
    let sql = "SELECT queue FROM deleted_queues LIMIT 1";
    let Some(queue) = session.first(sql, &[], |row| row.shared(0))? else {
        return Ok(0);
    };
    let orphans = session.all(
        "SELECT number FROM deliveries WHERE queue = ?1 ORDER BY seq LIMIT ?2",
        &values![&*queue, limit],
        |row| row.integer(0),
    )?;
    remove(session, &orphans)?;
    if orphans.len() < limit {
        let sql = "DELETE FROM deleted_queues WHERE queue = ?1";
        session.execute(sql, &values![&*queue])?;
    }
    Ok(orphans.len())
}

fn remove(session: &dyn Session, numbers: &[i64]) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM attempts WHERE delivery IN (SELECT value FROM json_each(?1))",
        "DELETE FROM deliveries WHERE number IN (SELECT value FROM json_each(?1))",
    ] {
        session.execute(sql, &values![numbers])?;
    }
    Ok(())
}

pub(super) fn state_number(state: DeliveryState) -> i16 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Delivered => 1,
        DeliveryState::Failed => 2,
    }
}

/// Reads the columns of [`DELIVERY`]: the number, and the delivery without its attempts.
fn delivery(row: &dyn SqlRow) -> Result<(i64, Delivery), StoreError> {
    let state = usize::try_from(row.integer(4)?).unwrap_or(usize::MAX);
    let state = DeliveryState::ALL.get(state).copied();
    let delivery = Delivery {
        seq: row.number(1)?,
        message_id: row.message_id(2)?,
        kind: codes::kind(row.integer(3)?).ok_or_else(|| strange("kind"))?,
        state: state.ok_or_else(|| strange("state"))?,
        created_at: row.time(5)?,
        next_at: row.optional_time(6)?,
        completed_at: row.optional_time(7)?,
        attempts: Vec::new(),
    };
    Ok((row.integer(0)?, delivery))
}

/// Reads number, at, took, status, answer and error, from the second column on.
fn attempt(row: &dyn SqlRow) -> Result<Attempt, StoreError> {
    let status = row.optional_integer(4)?;
    Ok(Attempt {
        number: row.count(1)?,
        at: row.time(2)?,
        took: Duration::from_millis(row.number(3)?),
        status: status.and_then(|status| u16::try_from(status).ok()),
        answer: row.text(5)?.to_owned(),
        error: row.optional_text(6)?.map(str::to_owned),
    })
}
