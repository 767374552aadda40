//! Standing endpoints.

use tokio_postgres::types::ToSql;

use super::rows;
use super::rows::endpoint_columns;
use crate::message::{EndpointId, Timestamp};
use crate::store::postgres::connection::Connection;
use crate::store::postgres::{rows as common, schema};
use crate::store::{Change, Endpoint, Endpoints, StoreError, codes};

/// Locks the endpoints for this transaction, and says how far the log reaches.
async fn begin(connection: &Connection) -> Result<u64, StoreError> {
    let client = connection.client();
    client
        .execute(
            "UPDATE facts SET value = value + 1 WHERE name = 'endpoints_revision'",
            &[],
        )
        .await?;
    let row = client.query_one("SELECT last FROM log", &[]).await?;
    Ok(common::to_seq(row.try_get(0)?))
}

pub(super) async fn create(
    connection: &Connection,
    endpoint: Endpoint,
    limit: usize,
) -> Result<bool, StoreError> {
    let after = begin(connection).await?;
    let row = connection
        .client()
        .query_one("SELECT count(*) FROM endpoints", &[])
        .await?;
    if row.try_get::<_, i64>(0)? >= common::limit(limit) {
        return Ok(false);
    }
    write(connection, &Endpoint { after, ..endpoint }).await?;
    Ok(true)
}

pub(super) async fn all(connection: &Connection) -> Result<Endpoints, StoreError> {
    // The revision first: should an endpoint change in between, the plan made from it is refused.
    let revision = schema::fact(connection, "endpoints_revision").await?;
    let statement = connection
        .prepare(concat!(
            "SELECT ",
            endpoint_columns!(),
            " FROM endpoints ORDER BY id"
        ))
        .await?;
    let found = connection.client().query(&statement, &[]).await?;
    Ok(Endpoints {
        revision,
        endpoints: found.iter().map(rows::endpoint).collect::<Result<_, _>>()?,
    })
}

pub(super) async fn change(
    connection: &Connection,
    id: EndpointId,
    change: &Change,
) -> Result<Option<Endpoint>, StoreError> {
    let last_event = begin(connection).await?;
    let Some(mut endpoint) = find(connection, id).await? else {
        return Ok(None);
    };
    endpoint.apply(change, last_event);
    write(connection, &endpoint).await?;
    Ok(Some(endpoint))
}

pub(super) async fn delete(connection: &Connection, id: EndpointId) -> Result<bool, StoreError> {
    begin(connection).await?;
    let client = connection.client();
    let deleted = client
        .execute(
            "DELETE FROM endpoints WHERE id = $1",
            &[&rows::endpoint_uuid(id)],
        )
        .await?;
    if deleted == 0 {
        return Ok(false);
    }
    client
        .execute(
            "INSERT INTO deleted_queues VALUES ($1) ON CONFLICT DO NOTHING",
            &[&id.to_string()],
        )
        .await?;
    Ok(true)
}

pub(super) async fn find(
    connection: &Connection,
    id: EndpointId,
) -> Result<Option<Endpoint>, StoreError> {
    let statement = connection
        .prepare(concat!(
            "SELECT ",
            endpoint_columns!(),
            " FROM endpoints WHERE id = $1 FOR UPDATE"
        ))
        .await?;
    let found = connection
        .client()
        .query_opt(&statement, &[&rows::endpoint_uuid(id)])
        .await?;
    found.as_ref().map(rows::endpoint).transpose()
}

async fn write(connection: &Connection, endpoint: &Endpoint) -> Result<(), StoreError> {
    let client = connection.client();
    let previous = endpoint.previous_secret.as_ref();
    let recovery = endpoint.recovery;
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let id = rows::endpoint_uuid(endpoint.id);
    let columns: [&(dyn ToSql + Sync); 18] = [
        &id,
        &&*endpoint.url,
        &codes::kinds_text(&endpoint.kinds),
        &codes::list_text(&endpoint.accounts),
        &endpoint.description,
        &endpoint.disabled.map(|disabled| disabled.because.as_str()),
        &millis(endpoint.disabled.map(|disabled| disabled.at)),
        &&*endpoint.secret,
        &previous.map(|(secret, _)| &**secret),
        &millis(previous.map(|(_, until)| *until)),
        &common::from_seq(endpoint.after),
        &endpoint.created_at.as_millis(),
        &endpoint.updated_at.as_millis(),
        &millis(endpoint.failing_since),
        &millis(recovery.map(|recovery| recovery.since)),
        &millis(recovery.map(|recovery| recovery.until)),
        &recovery.map(|recovery| common::from_seq(recovery.cursor)),
        &recovery.map(|recovery| common::from_seq(recovery.end)),
    ];
    client
        .execute("DELETE FROM endpoints WHERE id = $1", &[&id])
        .await?;
    let statement = connection
        .prepare(concat!(
            "INSERT INTO endpoints (",
            endpoint_columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
             $17, $18)"
        ))
        .await?;
    client.execute(&statement, &columns).await?;
    Ok(())
}
