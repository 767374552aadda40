//! What is to be posted, queue by queue.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tokio_postgres::types::ToSql;

use crate::message::Timestamp;
use crate::store::page::Filling;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::rows;
use crate::store::{DeliveryKey, Due, DueDelivery, PageSize, QueueHead, StoreError};

/// Jumps along the index from queue to queue, so that a long queue costs no more than a short one.
pub(super) async fn queues(
    connection: &Connection,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<QueueHead>, StoreError> {
    let statement = connection
        .prepare(
            "WITH RECURSIVE heads AS ((SELECT queue, next_at FROM deliveries \
             WHERE next_at IS NOT NULL AND queue > $1 ORDER BY queue, next_at LIMIT 1) \
             UNION ALL SELECT n.queue, n.next_at FROM heads h CROSS JOIN LATERAL \
             (SELECT queue, next_at FROM deliveries WHERE next_at IS NOT NULL \
             AND queue > h.queue ORDER BY queue, next_at LIMIT 1) n) \
             SELECT queue, next_at FROM heads LIMIT $2",
        )
        .await?;
    let found = connection
        .client()
        .query(
            &statement,
            &[&after.unwrap_or_default(), &rows::limit(limit)],
        )
        .await?;
    let head = |row: &tokio_postgres::Row| {
        Ok(QueueHead {
            queue: rows::shared(row, 0)?,
            next_at: rows::time(row, 1)?,
        })
    };
    found.iter().map(head).collect()
}

pub(super) async fn due(
    connection: &Connection,
    queue: &Arc<str>,
    now: Timestamp,
    size: PageSize,
) -> Result<Due, StoreError> {
    let statement = connection
        .prepare(
            "SELECT d.seq, d.url, d.tries, d.json, d.next_at, d.message_id, m.trace \
             FROM deliveries d LEFT JOIN messages m ON m.id = d.message_id \
             WHERE d.next_at IS NOT NULL AND d.queue = $1 ORDER BY d.next_at, d.seq LIMIT $2",
        )
        .await?;
    let rows_wanted = rows::limit(size.rows.saturating_add(1));
    let params: [&(dyn ToSql + Sync); 2] = [&&**queue, &rows_wanted];
    // Row by row, so that no more of them is in memory than the page holds.
    let found = connection.client().query_raw(&statement, params).await?;
    let mut found = pin!(found);
    let (mut due, mut filling) = (Due::default(), Filling::new(size));
    while let Some(row) = &found.try_next().await? {
        let next_at = rows::time(row, 4)?;
        if next_at > now {
            due.next_at = Some(next_at);
            break;
        }
        let delivery = DueDelivery {
            key: DeliveryKey {
                queue: queue.clone(),
                seq: rows::to_seq(row.try_get(0)?),
            },
            url: rows::optional_shared(row, 1)?,
            tries: rows::count(row, 2)?,
            json: Bytes::copy_from_slice(row.try_get(3)?),
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

pub(super) async fn pending(connection: &Connection) -> Result<u64, StoreError> {
    let statement = connection
        .prepare("SELECT count(*) FROM deliveries WHERE state = 0")
        .await?;
    let row = connection.client().query_one(&statement, &[]).await?;
    Ok(rows::to_seq(row.try_get(0)?))
}
