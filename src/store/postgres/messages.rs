//! Reading messages.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::Connection;
use super::rows;
use super::rows::{event_columns, message_columns};
use crate::message::{Message, MessageId, Status};
use crate::store::events::logged;
use crate::store::page::Filling;
use crate::store::{MessageFilter, Messages, StoreError, Stored, codes};

/// Rows a page looks at.
const SCAN: usize = 2_000;

/// Messages, where they stand, and their newest events.
macro_rules! stored_rows {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            message_columns!(),
            ", s.status, s.attempt, s.completed_at, s.not_before, ",
            event_columns!(),
            " FROM states s JOIN messages m ON m.id = s.id LEFT JOIN events e \
             ON e.seq = s.last_event WHERE ",
            $condition
        )
    };
}

pub(super) async fn load(
    connection: &Connection,
    ids: &[MessageId],
) -> Result<Vec<Arc<Message>>, StoreError> {
    let statement = connection
        .prepare(concat!(
            "SELECT ",
            message_columns!(),
            " FROM unnest($1::uuid[]) AS u (id) JOIN messages m ON m.id = u.id"
        ))
        .await?;
    let wanted: Vec<Uuid> = ids.iter().copied().map(rows::uuid).collect();
    let found = connection.client().query(&statement, &[&wanted]).await?;
    let mut by_id = HashMap::with_capacity(found.len());
    for row in &found {
        let message = rows::message(row)?;
        by_id.insert(message.id, Arc::new(message));
    }
    Ok(ids.iter().filter_map(|id| by_id.get(id).cloned()).collect())
}

pub(super) async fn message(
    connection: &Connection,
    id: MessageId,
    epoch: u64,
) -> Result<Option<Stored>, StoreError> {
    let statement = connection.prepare(stored_rows!("s.id = $1")).await?;
    let found = connection
        .client()
        .query_opt(&statement, &[&rows::uuid(id)])
        .await?;
    found.map(|row| stored(&row, epoch)).transpose()
}

pub(super) async fn messages(
    connection: &Connection,
    filter: &MessageFilter,
    before: Option<MessageId>,
    limit: usize,
    epoch: u64,
) -> Result<Messages, StoreError> {
    let looked_at = window(connection, filter.status, before).await?;
    let ids = looked_at.get(..SCAN).unwrap_or(&looked_at);
    let statement = connection
        .prepare(stored_rows!(
            "s.id = ANY($1) AND ($2::int2 IS NULL OR s.status = $2) \
             AND ($3::text IS NULL OR m.uri = $3) \
             AND ($4::text[] IS NULL OR coalesce(e.account, m.account) = ANY($4)) \
             ORDER BY s.id DESC LIMIT $5"
        ))
        .await?;
    let status = filter.status.map(codes::status_number);
    let uri = filter.uri.as_deref();
    let accounts: Option<Vec<&str>> = filter
        .accounts
        .as_ref()
        .map(|accounts| accounts.iter().map(|account| &**account).collect());
    let wanted = rows::limit(limit.saturating_add(1));
    let params: [&(dyn ToSql + Sync); 5] = [&ids, &status, &uri, &accounts, &wanted];
    // Row by row, so that no more of them is in memory than the page holds.
    let found = connection.client().query_raw(&statement, params).await?;
    let mut found = pin!(found);
    let (mut page, mut filling) = (Messages::default(), Filling::new(limit.into()));
    while let Some(row) = found.try_next().await? {
        let stored = stored(&row, epoch)?;
        if !filling.takes(stored.weight()) {
            page.next = page.messages.last().map(|stored| stored.message.id);
            return Ok(page);
        }
        page.messages.push(stored);
    }
    if looked_at.len() > SCAN {
        page.next = ids.last().map(|id| MessageId::new(*id));
    }
    Ok(page)
}

/// The ids that a page looks at, newest first, and one more when there are more.
async fn window(
    connection: &Connection,
    status: Option<Status>,
    before: Option<MessageId>,
) -> Result<Vec<Uuid>, StoreError> {
    let sql = match status {
        None | Some(Status::Succeeded) => {
            "SELECT id FROM states WHERE id < $1 ORDER BY id DESC LIMIT $2"
        }
        // What has not ended is found by its owner, of which there are few.
        Some(Status::Scheduled | Status::Queued | Status::Sending) => {
            "SELECT s.id FROM replicas r CROSS JOIN (VALUES (true), (false)) AS k (claimed) \
             CROSS JOIN LATERAL (SELECT id FROM states WHERE owner = r.number \
             AND claimed = k.claimed AND completed_at IS NULL AND id < $1) s \
             ORDER BY s.id DESC LIMIT $2"
        }
        Some(Status::Failed) => {
            "SELECT id FROM states WHERE failed AND id < $1 ORDER BY id DESC LIMIT $2"
        }
    };
    let statement = connection.prepare(sql).await?;
    // No id is above this one: the version of a UUIDv7 is not all ones.
    let before = before.map_or(Uuid::max(), rows::uuid);
    let found = connection
        .client()
        .query(&statement, &[&before, &rows::limit(SCAN + 1)])
        .await?;
    found.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Reads a row of [`stored_rows`].
fn stored(row: &Row, epoch: u64) -> Result<Stored, StoreError> {
    let state = rows::MESSAGE_COLUMNS;
    let event = state + 4;
    let completed_at = rows::optional_time(row, state + 2)?;
    let has_ended = completed_at.is_some() && row.try_get::<_, Option<i64>>(event)?.is_some();
    let message = rows::message(row)?;
    // The newest event is of the account of the attempt before it.
    let account =
        rows::optional_shared(row, event + 4)?.or_else(|| message.contents.account.clone());
    Ok(Stored {
        message: Arc::new(message),
        account,
        status: codes::status(row.try_get(state)?).ok_or_else(|| rows::strange("status"))?,
        attempt: rows::count(row, state + 1)?,
        completed_at,
        not_before: rows::optional_time(row, state + 3)?,
        result: has_ended.then(|| logged(row, event, epoch)).transpose()?,
    })
}
