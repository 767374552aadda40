//! What is to be posted, queue by queue.

use std::sync::Arc;

use rusqlite::params;
use rusqlite::{Connection, OptionalExtension as _};

use crate::message::Timestamp;
use crate::store::page::Filling;
use crate::store::sqlite::rows;
use crate::store::{DeliveryKey, Due, DueDelivery, PageSize, QueueHead, StoreError};

/// Jumps along the index from queue to queue, so that a long queue costs no more than a short one.
pub(super) fn queues(
    connection: &Connection,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<QueueHead>, StoreError> {
    let mut next = connection.prepare_cached(
        "SELECT queue, next_at FROM deliveries INDEXED BY deliveries_due \
         WHERE next_at IS NOT NULL AND queue > ?1 ORDER BY queue, next_at LIMIT 1",
    )?;
    let mut heads: Vec<QueueHead> = Vec::new();
    let mut after: Arc<str> = after.unwrap_or_default().into();
    while heads.len() < limit {
        let head = next
            .query_row([&*after], |row| {
                Ok(QueueHead {
                    queue: rows::shared(row, 0)?,
                    next_at: rows::time(row, 1)?,
                })
            })
            .optional()?;
        let Some(head) = head else {
            break;
        };
        after = head.queue.clone();
        heads.push(head);
    }
    Ok(heads)
}

pub(super) fn due(
    connection: &Connection,
    queue: &Arc<str>,
    now: Timestamp,
    size: PageSize,
) -> Result<Due, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT d.seq, d.url, d.tries, d.json, d.next_at, d.message_id, m.trace \
         FROM deliveries d INDEXED BY deliveries_due LEFT JOIN states s ON s.id = d.message_id \
         LEFT JOIN messages m ON m.number = s.number \
         WHERE d.next_at IS NOT NULL AND d.queue = ?1 ORDER BY d.next_at, d.seq LIMIT ?2",
    )?;
    let mut rows = statement.query(params![&**queue, size.rows.saturating_add(1)])?;
    let (mut due, mut filling) = (Due::default(), Filling::new(size));
    while let Some(row) = rows.next()? {
        let next_at = rows::time(row, 4)?;
        if next_at > now {
            due.next_at = Some(next_at);
            break;
        }
        let delivery = DueDelivery {
            key: DeliveryKey {
                queue: queue.clone(),
                seq: row.get(0)?,
            },
            url: rows::optional_shared(row, 1)?,
            tries: row.get(2)?,
            json: rows::bytes(row, 3)?,
            message_id: rows::id(row, 5)?,
            trace: rows::trace(row, 6)?,
        };
        if !filling.takes(delivery.weight()) {
            due.next_at = Some(next_at);
            break;
        }
        due.deliveries.push(delivery);
    }
    Ok(due)
}

pub(super) fn pending(connection: &Connection) -> Result<u64, StoreError> {
    let count = connection
        .prepare_cached(
            "SELECT count(*) FROM deliveries INDEXED BY deliveries_pending WHERE state = 0",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(count)
}
