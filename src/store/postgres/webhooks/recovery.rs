//! Sending again what failed or was missed.

use super::settle::release;
use super::{endpoints, plan, rows};
use crate::message::MessageId;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::rows as common;
use crate::store::{Recovery, RecoveryStep, StoreError};

pub(super) async fn recover(
    connection: &Connection,
    step: &RecoveryStep,
    is_apart: bool,
) -> Result<Option<u64>, StoreError> {
    plan::queue_alone(connection).await?;
    let endpoint = endpoints::find(connection, step.endpoint).await?;
    let Some(recovery) = endpoint.and_then(|endpoint| endpoint.recovery) else {
        return Ok(None);
    };
    if recovery.cursor != step.from {
        return Ok(Some(recovery.cursor));
    }
    let queue = step.endpoint.to_string();
    let failed = failed(connection, &queue, step, recovery).await?;
    let reached = match failed.last() {
        Some((seq, _)) if failed.len() == step.limit => common::to_seq(*seq),
        _ => step.to,
    };
    let again = connection
        .prepare(
            "UPDATE deliveries SET state = 0, tries = 0, completed_at = NULL \
             WHERE queue = $1 AND seq = $2",
        )
        .await?;
    for (seq, _) in &failed {
        connection.client().execute(&again, &[&queue, seq]).await?;
    }
    let wanted = step.wanted.iter().filter(|one| one.seq <= reached);
    let wanted: Vec<_> = wanted.cloned().collect();
    plan::insert(connection, &wanted, step.now, is_apart).await?;
    for (_, message) in &failed {
        release(connection, &queue, *message, step.now).await?;
    }
    go_on(connection, step, reached, recovery.end).await
}

async fn failed(
    connection: &Connection,
    queue: &str,
    step: &RecoveryStep,
    recovery: Recovery,
) -> Result<Vec<(i64, MessageId)>, StoreError> {
    let statement = connection
        .prepare(
            "SELECT seq, message_id FROM deliveries WHERE state = 2 AND queue = $1 AND seq > $2 \
             AND seq <= $3 AND event_at >= $4 AND event_at < $5 ORDER BY seq LIMIT $6",
        )
        .await?;
    let found = connection
        .client()
        .query(
            &statement,
            &[
                &queue,
                &common::from_seq(step.from),
                &common::from_seq(step.to),
                &recovery.since.as_millis(),
                &recovery.until.as_millis(),
                &common::limit(step.limit),
            ],
        )
        .await?;
    found
        .iter()
        .map(|row| Ok((row.try_get(0)?, common::id(row, 1)?)))
        .collect()
}

async fn go_on(
    connection: &Connection,
    step: &RecoveryStep,
    reached: u64,
    end: u64,
) -> Result<Option<u64>, StoreError> {
    let id = rows::endpoint_uuid(step.endpoint);
    let client = connection.client();
    if reached < end {
        client
            .execute(
                "UPDATE endpoints SET recovery_cursor = $2 WHERE id = $1",
                &[&id, &common::from_seq(reached)],
            )
            .await?;
        return Ok(Some(reached));
    }
    client
        .execute(
            "UPDATE endpoints SET recovery_since = NULL, recovery_until = NULL, \
             recovery_cursor = NULL, recovery_end = NULL WHERE id = $1",
            &[&id],
        )
        .await?;
    Ok(None)
}
