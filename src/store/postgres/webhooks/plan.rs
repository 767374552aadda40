//! From the log to deliveries, each event once.

use futures_util::future::try_join_all;
use tokio_postgres::Statement;

use crate::message::Timestamp;
use crate::store::postgres::connection::Connection;
use crate::store::postgres::rows;
use crate::store::postgres::schema::LOCKS;
use crate::store::{NewDelivery, Plan, StoreError, codes};

/// Statements that are on their way at the same time.
const PIPELINED: usize = 25;

/// Held while deliveries are added, or one ends and lets the next of its message go. Else a
/// delivery could be added behind one that ends unseen, and wait for it for ever.
const QUEUEING: i32 = 5;

/// Waits until nobody else adds deliveries or ends them. Taken before any other lock.
pub(super) async fn queue_alone(connection: &Connection) -> Result<(), StoreError> {
    let statement = connection
        .prepare("SELECT pg_advisory_xact_lock($1, $2)")
        .await?;
    connection
        .client()
        .execute(&statement, &[&LOCKS, &QUEUEING])
        .await?;
    Ok(())
}

pub(super) async fn plan(
    connection: &Connection,
    plan: &Plan,
    is_apart: bool,
) -> Result<bool, StoreError> {
    queue_alone(connection).await?;
    // Locked, so that of two replicas that plan the same stretch the second finds it planned.
    let facts = connection
        .client()
        .query(
            "SELECT value FROM facts WHERE name IN ('planned_to', 'endpoints_revision') \
             ORDER BY name FOR UPDATE",
            &[],
        )
        .await?;
    let facts = facts
        .iter()
        .map(|row| Ok(rows::to_seq(row.try_get(0)?)))
        .collect::<Result<Vec<u64>, StoreError>>()?;
    if facts != [plan.revision, plan.from] {
        return Ok(false);
    }
    insert(connection, &plan.deliveries, plan.now, is_apart).await?;
    connection
        .client()
        .execute(
            "UPDATE facts SET value = $1 WHERE name = 'planned_to'",
            &[&rows::from_seq(plan.to)],
        )
        .await?;
    Ok(true)
}

/// Adds deliveries; one that waits for an earlier event of its message is not due yet. Apart, one
/// that is rejected is left out, so that the others are posted.
pub(super) async fn insert(
    connection: &Connection,
    deliveries: &[NewDelivery],
    now: Timestamp,
    is_apart: bool,
) -> Result<(), StoreError> {
    let statement = connection
        .prepare(
            "INSERT INTO deliveries (queue, seq, message_id, kind, event_at, created_at, state, \
             tries, attempts, next_at, url, json) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, \
             CASE WHEN EXISTS (SELECT FROM deliveries WHERE state = 0 AND queue = $1 \
             AND message_id = $3) THEN NULL ELSE $6::int8 END, $7, $8) ON CONFLICT DO NOTHING",
        )
        .await?;
    if is_apart {
        for one in deliveries {
            insert_apart(connection, &statement, one, now).await?;
        }
        return Ok(());
    }
    for some in deliveries.chunks(PIPELINED) {
        let inserts = some
            .iter()
            .map(|one| insert_one(connection, &statement, one, now));
        try_join_all(inserts).await?;
    }
    Ok(())
}

async fn insert_apart(
    connection: &Connection,
    statement: &Statement,
    delivery: &NewDelivery,
    now: Timestamp,
) -> Result<(), StoreError> {
    let client = connection.client();
    client.batch_execute("SAVEPOINT part").await?;
    match insert_one(connection, statement, delivery, now).await {
        Err(StoreError::Rejected(error)) => {
            tracing::error!(message.id = %delivery.message_id, error, "a delivery is rejected");
            client.batch_execute("ROLLBACK TO part").await?;
        }
        inserted => inserted?,
    }
    Ok(client.batch_execute("RELEASE part").await?)
}

async fn insert_one(
    connection: &Connection,
    statement: &Statement,
    delivery: &NewDelivery,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection
        .client()
        .execute(
            statement,
            &[
                &&*delivery.queue,
                &rows::from_seq(delivery.seq),
                &rows::uuid(delivery.message_id),
                &codes::kind_number(delivery.kind),
                &delivery.time.as_millis(),
                &now.as_millis(),
                &delivery.url.as_deref(),
                &&*delivery.json,
            ],
        )
        .await?;
    Ok(())
}
