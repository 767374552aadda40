//! Deliveries as their endpoint's owner sees them, sending them again, and letting go of them.

use std::collections::HashMap;

use super::rows;
use super::rows::delivery_columns;
use super::settle::release;
use crate::message::Timestamp;
use crate::store::page::Filling;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::rows as common;
use crate::store::{Attempt, Deliveries, Delivery, DeliveryFilter, DeliveryKey, StoreError};

pub(super) async fn deliveries(
    connection: &Connection,
    filter: DeliveryFilter,
    before: Option<u64>,
    limit: usize,
) -> Result<Deliveries, StoreError> {
    let statement = connection
        .prepare(concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM (SELECT * FROM deliveries WHERE queue = $1 AND seq < $2 \
             AND ($3::int2 IS DISTINCT FROM 2 OR state = 2) ORDER BY seq DESC LIMIT 4097) d \
             ORDER BY seq DESC"
        ))
        .await?;
    // No event has the largest number there is.
    let before = before.map_or(i64::MAX, common::from_seq);
    let state = filter.state.map(rows::state_number);
    let queue = filter.endpoint.to_string();
    let found = connection
        .client()
        .query(&statement, &[&queue, &before, &state])
        .await?;
    let (mut page, mut last, mut numbers) = (Deliveries::default(), None, Vec::new());
    for (looked_at, row) in found.iter().enumerate() {
        if page.deliveries.len() == limit || looked_at == 4_096 {
            page.next = last;
            break;
        }
        let (number, delivery) = rows::delivery(row)?;
        last = Some(delivery.seq);
        if filter.state.is_none_or(|state| state == delivery.state) {
            numbers.push(number);
            page.deliveries.push(delivery);
        }
    }
    let mut attempts = attempts(connection, &numbers).await?;
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

async fn attempts(
    connection: &Connection,
    deliveries: &[i64],
) -> Result<HashMap<i64, Vec<Attempt>>, StoreError> {
    let statement = connection
        .prepare(
            "SELECT a.delivery, a.number, a.at, a.took, a.status, a.answer, a.error \
             FROM unnest($1::int8[]) AS u (delivery) \
             JOIN attempts a ON a.delivery = u.delivery ORDER BY a.delivery, a.number",
        )
        .await?;
    let found = connection
        .client()
        .query(&statement, &[&deliveries])
        .await?;
    let mut attempts: HashMap<i64, Vec<Attempt>> = HashMap::new();
    for row in &found {
        let (delivery, attempt) = rows::attempt(row)?;
        attempts.entry(delivery).or_default().push(attempt);
    }
    Ok(attempts)
}

pub(super) async fn redeliver(
    connection: &Connection,
    key: &DeliveryKey,
    now: Timestamp,
) -> Result<Option<Delivery>, StoreError> {
    let client = connection.client();
    // One that waits for an earlier event of its message goes on waiting.
    let again = connection
        .prepare(
            "UPDATE deliveries SET state = 0, tries = 0, completed_at = NULL, \
             next_at = CASE WHEN next_at IS NULL THEN NULL ELSE $3::int8 END \
             WHERE queue = $1 AND seq = $2 RETURNING message_id",
        )
        .await?;
    let seq = common::from_seq(key.seq);
    let found = client
        .query_opt(&again, &[&&*key.queue, &seq, &now.as_millis()])
        .await?;
    let Some(row) = found else {
        return Ok(None);
    };
    release(connection, &key.queue, common::id(&row, 0)?, now).await?;
    let read = connection
        .prepare(concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM deliveries WHERE queue = $1 AND seq = $2"
        ))
        .await?;
    let row = client.query_one(&read, &[&&*key.queue, &seq]).await?;
    let (number, mut delivery) = rows::delivery(&row)?;
    let mut attempts = attempts(connection, &[number]).await?;
    delivery.attempts = attempts.remove(&number).unwrap_or_default();
    Ok(Some(delivery))
}

pub(super) async fn forget(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let statement = connection
        .prepare(
            "SELECT number FROM deliveries WHERE completed_at IS NOT NULL \
             AND completed_at < $1 ORDER BY completed_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        )
        .await?;
    let found = connection
        .client()
        .query(&statement, &[&before.as_millis(), &common::limit(limit)])
        .await?;
    let ended = remove(connection, &found).await?;
    Ok(ended + forget_deleted(connection, limit.saturating_sub(ended)).await?)
}

/// Removes up to `limit` deliveries of one endpoint that was deleted.
async fn forget_deleted(connection: &Connection, limit: usize) -> Result<usize, StoreError> {
    let client = connection.client();
    let queue = client
        .query_opt(
            "SELECT queue FROM deleted_queues LIMIT 1 FOR UPDATE SKIP LOCKED",
            &[],
        )
        .await?;
    let Some(queue) = queue else {
        return Ok(0);
    };
    let queue: &str = queue.try_get(0)?;
    let statement = connection
        .prepare("SELECT number FROM deliveries WHERE queue = $1 ORDER BY seq LIMIT $2")
        .await?;
    let orphans = client
        .query(&statement, &[&queue, &common::limit(limit)])
        .await?;
    let removed = remove(connection, &orphans).await?;
    if removed < limit {
        client
            .execute("DELETE FROM deleted_queues WHERE queue = $1", &[&queue])
            .await?;
    }
    Ok(removed)
}

async fn remove(
    connection: &Connection,
    found: &[tokio_postgres::Row],
) -> Result<usize, StoreError> {
    let numbers = found
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<Vec<i64>, _>>()?;
    for sql in [
        "DELETE FROM attempts a USING unnest($1::int8[]) AS u (n) WHERE a.delivery = u.n",
        "DELETE FROM deliveries d USING unnest($1::int8[]) AS u (n) WHERE d.number = u.n",
    ] {
        let statement = connection.prepare(sql).await?;
        connection.client().execute(&statement, &[&numbers]).await?;
    }
    Ok(numbers.len())
}
