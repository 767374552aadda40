//! How attempts ended, and what follows.

use crate::message::{EndpointId, MessageId, Timestamp};
use crate::store::postgres::connection::Connection;
use crate::store::postgres::rows as common;
use crate::store::{Attempted, DeliveryState, Fate, MAX_ATTEMPTS_KEPT, Settled, StoreError};

use super::{plan, rows};

pub(super) async fn settle(
    connection: &Connection,
    attempts: &[Attempted],
) -> Result<Vec<Option<Settled>>, StoreError> {
    plan::queue_alone(connection).await?;
    let mut settled = Vec::with_capacity(attempts.len());
    for attempted in attempts {
        settled.push(settle_one(connection, attempted).await?);
    }
    Ok(settled)
}

async fn settle_one(
    connection: &Connection,
    attempted: &Attempted,
) -> Result<Option<Settled>, StoreError> {
    let (key, attempt) = (&attempted.key, &attempted.attempt);
    let ended_at = attempt.at.plus(attempt.took);
    let (state, next_at, completed_at) = match attempted.fate {
        Fate::Delivered => (DeliveryState::Delivered, None, Some(ended_at)),
        Fate::Failed => (DeliveryState::Failed, None, Some(ended_at)),
        Fate::Again(at) => (DeliveryState::Pending, Some(at), None),
    };
    let statement = connection
        .prepare(
            "UPDATE deliveries SET state = $3, next_at = $4, completed_at = $5, \
             tries = tries + 1, attempts = attempts + 1 \
             WHERE queue = $1 AND seq = $2 AND state = 0 RETURNING number, attempts, message_id",
        )
        .await?;
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let updated = connection
        .client()
        .query_opt(
            &statement,
            &[
                &&*key.queue,
                &common::from_seq(key.seq),
                &rows::state_number(state),
                &millis(next_at),
                &millis(completed_at),
            ],
        )
        .await?;
    let Some(row) = updated else {
        return Ok(None);
    };
    note(connection, row.try_get(0)?, row.try_get(1)?, attempted).await?;
    if completed_at.is_some() {
        release(connection, &key.queue, common::id(&row, 2)?, ended_at).await?;
    }
    health(connection, attempted).await.map(Some)
}

/// Keeps how the attempt went, and lets go of the oldest when there are many.
async fn note(
    connection: &Connection,
    delivery: i64,
    number: i32,
    attempted: &Attempted,
) -> Result<(), StoreError> {
    let attempt = &attempted.attempt;
    let statement = connection
        .prepare(
            "INSERT INTO attempts (delivery, number, at, took, status, answer, error) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .await?;
    let took = i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX);
    connection
        .client()
        .execute(
            &statement,
            &[
                &delivery,
                &number,
                &attempt.at.as_millis(),
                &took,
                &attempt.status.map(i32::from),
                &rows::storable(&attempt.answer),
                &attempt.error.as_deref().map(rows::storable),
            ],
        )
        .await?;
    let kept = i32::try_from(MAX_ATTEMPTS_KEPT).unwrap_or(i32::MAX);
    if number > kept {
        let trim = connection
            .prepare("DELETE FROM attempts WHERE delivery = $1 AND number <= $2")
            .await?;
        connection
            .client()
            .execute(&trim, &[&delivery, &(number - kept)])
            .await?;
    }
    Ok(())
}

/// Queues of URLs that messages name have no endpoint whose health could be kept.
async fn health(connection: &Connection, attempted: &Attempted) -> Result<Settled, StoreError> {
    let Ok(id) = attempted.key.queue.parse::<EndpointId>() else {
        return Ok(Settled {
            failing_since: None,
        });
    };
    let statement = connection
        .prepare(
            "UPDATE endpoints SET failing_since = \
             CASE WHEN $2::bool THEN NULL ELSE coalesce(failing_since, $3::int8) END \
             WHERE id = $1 RETURNING failing_since",
        )
        .await?;
    let succeeded = attempted.fate == Fate::Delivered;
    let at = attempted.attempt.at.as_millis();
    let found = connection
        .client()
        .query_opt(&statement, &[&rows::endpoint_uuid(id), &succeeded, &at])
        .await?;
    let failing_since = match found {
        Some(row) => common::optional_time(&row, 0)?,
        None => None,
    };
    Ok(Settled { failing_since })
}

/// Of the deliveries of one message to one queue one at most is due; when none is, the oldest
/// becomes so.
pub(super) async fn release(
    connection: &Connection,
    queue: &str,
    message: MessageId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let statement = connection
        .prepare(
            "UPDATE deliveries SET next_at = $3 WHERE number = (SELECT number FROM deliveries \
             WHERE state = 0 AND queue = $1 AND message_id = $2 ORDER BY seq LIMIT 1) \
             AND NOT EXISTS (SELECT FROM deliveries WHERE state = 0 AND queue = $1 \
             AND message_id = $2 AND next_at IS NOT NULL)",
        )
        .await?;
    connection
        .client()
        .execute(
            &statement,
            &[&queue, &common::uuid(message), &now.as_millis()],
        )
        .await?;
    Ok(())
}
