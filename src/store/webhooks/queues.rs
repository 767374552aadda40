//! Deliveries that are due, queue by queue.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::message::Timestamp;
use crate::store::page::Filling;
use crate::store::session::{Session, strange, values};
use crate::store::{DeliveryKey, Due, DueDelivery, PageSize, QueueHead, StoreError, codes};

/// Jumps along the index from queue to queue, so that a long queue costs no more than a short one.
pub(super) fn queues(
    session: &dyn Session,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<QueueHead>, StoreError> {
    session.all(
        "WITH RECURSIVE heads (queue, place) AS (SELECT (SELECT queue FROM deliveries \
         INDEXED BY deliveries_due WHERE next_at IS NOT NULL AND queue > ?1 \
         ORDER BY queue LIMIT 1), CAST(1 AS bigint) \
         UNION ALL SELECT (SELECT queue FROM deliveries INDEXED BY deliveries_due \
         WHERE next_at IS NOT NULL AND queue > h.queue ORDER BY queue LIMIT 1), h.place + 1 \
         FROM heads h WHERE h.queue IS NOT NULL AND h.place < ?2) \
         SELECT h.queue, (SELECT next_at FROM deliveries INDEXED BY deliveries_due \
         WHERE next_at IS NOT NULL AND queue = h.queue ORDER BY next_at LIMIT 1) \
         FROM heads h WHERE h.queue IS NOT NULL ORDER BY h.place",
        &values![after.unwrap_or_default(), limit],
        |row| {
            Ok(QueueHead {
                queue: row.shared(0)?,
                next_at: row.time(1)?,
            })
        },
    )
}

pub(super) fn due(
    session: &dyn Session,
    queue: &Arc<str>,
    now: Timestamp,
    size: PageSize,
) -> Result<Due, StoreError> {
    let sql = session.either(
        "SELECT d.seq, d.url, d.tries, d.json, d.next_at, d.message_id, m.trace, d.kind \
         FROM deliveries d INDEXED BY deliveries_due LEFT JOIN states s ON s.id = d.message_id \
         LEFT JOIN messages m ON m.number = s.number \
         WHERE d.next_at IS NOT NULL AND d.queue = ?1 ORDER BY d.next_at, d.seq LIMIT ?2",
        "SELECT d.seq, d.url, d.tries, d.json, d.next_at, d.message_id, m.trace, d.kind \
         FROM deliveries d LEFT JOIN messages m ON m.id = d.message_id \
         WHERE d.next_at IS NOT NULL AND d.queue = ?1 ORDER BY d.next_at, d.seq LIMIT ?2",
    );
    let (mut due, mut filling) = (Due::default(), Filling::new(size));
    let wanted = size.rows.saturating_add(1);
    // SqlRow by row, so that no more of them is in memory than the page holds.
    session.read(sql, &values![&**queue, wanted], &mut |row| {
        let next_at = row.time(4)?;
        let delivery = DueDelivery {
            key: DeliveryKey {
                queue: queue.clone(),
                seq: row.number(0)?,
            },
            url: row.optional_shared(1)?,
            tries: row.count(2)?,
            json: row.bytes(3)?,
            message_id: row.message_id(5)?,
            kind: codes::kind(row.integer(7)?).ok_or_else(|| strange("kind"))?,
            trace: codes::trace(row.optional_text(6)?),
        };
        if next_at > now || !filling.takes(delivery.weight()) {
            due.next_at = Some(next_at);
            return Ok(ControlFlow::Break(()));
        }
        due.deliveries.push(delivery);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(due)
}

pub(super) fn current(
    session: &dyn Session,
    delivery: DueDelivery,
) -> Result<DueDelivery, StoreError> {
    let sql = "SELECT json FROM deliveries WHERE queue = ?1 AND seq = ?2";
    let values = values![&*delivery.key.queue, delivery.key.seq];
    let json = session.first(sql, &values, |row| row.bytes(0))?;
    Ok(DueDelivery {
        // One that is gone meanwhile was read as it was.
        json: json.unwrap_or_else(|| delivery.json.clone()),
        ..delivery
    })
}

pub(super) fn pending(session: &dyn Session) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM deliveries INDEXED BY deliveries_pending WHERE state = 0";
    let count = session.first(sql, &[], |row| row.number(0))?;
    Ok(count.unwrap_or_default())
}
