//! Reading the log, where it is no longer in memory.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::Connection;
use super::rows;
use super::rows::event_columns;
use crate::message::MessageId;
use crate::store::EventFilter;
use crate::store::Events;
use crate::store::Logged;
use crate::store::StoreError;
use crate::store::codes;
use crate::store::tail::PAGE_BYTES;

/// Rows a page looks at.
const SCAN: i64 = 4_096;
/// Events the follower reads at once.
pub(super) const FOLLOWED: usize = 2_048;

/// What follows `after`, whatever it is.
pub(super) async fn following(
    connection: &Connection,
    after: u64,
    epoch: u64,
) -> Result<Vec<Logged>, StoreError> {
    let statement = connection
        .prepare(concat!(
            "SELECT ",
            event_columns!(),
            " FROM events e WHERE e.seq > $1 ORDER BY e.seq LIMIT $2"
        ))
        .await?;
    let found = connection
        .client()
        .query(
            &statement,
            &[&rows::from_seq(after), &rows::limit(FOLLOWED)],
        )
        .await?;
    found
        .iter()
        .map(|row| rows::logged(row, 0, epoch))
        .collect()
}

/// What follows `after` and passes. `last` was durable before the query began, so whatever the
/// query does not find up to there is not there.
pub(super) async fn events(
    connection: &Connection,
    after: u64,
    last: u64,
    filter: &EventFilter,
    limit: usize,
    epoch: u64,
) -> Result<Events, StoreError> {
    if let Some(id) = filter.message_id {
        return events_of_one(connection, id, after, last, filter, limit, epoch).await;
    }
    let window = connection
        .prepare(
            "SELECT count(*), max(seq) FROM (SELECT seq FROM events WHERE seq > $1 \
             ORDER BY seq LIMIT $2) w",
        )
        .await?;
    let after_number = rows::from_seq(after);
    let row = connection
        .client()
        .query_one(&window, &[&after_number, &SCAN])
        .await?;
    let looked_at: i64 = row.try_get(0)?;
    let reached: Option<i64> = row.try_get(1)?;
    let mut scanned_to = reached.map_or(after, rows::to_seq);
    if looked_at < SCAN {
        scanned_to = scanned_to.max(last);
    }
    let Some(reached) = reached else {
        return Ok(Events {
            events: Vec::new(),
            scanned_to,
        });
    };
    let (events, is_cut) = passing(connection, after_number, reached, filter, limit, epoch).await?;
    if is_cut {
        scanned_to = events.last().map_or(after, |event| event.seq);
    }
    Ok(Events { events, scanned_to })
}

/// What passes of a stretch of the log, and whether there is more than fits a page.
async fn passing(
    connection: &Connection,
    after: i64,
    reached: i64,
    filter: &EventFilter,
    limit: usize,
    epoch: u64,
) -> Result<(Vec<Logged>, bool), StoreError> {
    let statement = connection
        .prepare(concat!(
            "SELECT ",
            event_columns!(),
            " FROM events e WHERE e.seq > $1 AND e.seq <= $2 \
             AND ($3::int2[] IS NULL OR e.kind = ANY($3)) AND ($4::text IS NULL OR e.uri = $4) \
             AND ($5::text[] IS NULL OR e.account = ANY($5)) \
             AND (NOT $6::bool OR e.webhook IS NOT NULL) ORDER BY e.seq LIMIT $7"
        ))
        .await?;
    let kinds: Vec<i16> = filter
        .kinds
        .iter()
        .copied()
        .map(codes::kind_number)
        .collect();
    let kinds = (!kinds.is_empty()).then_some(kinds);
    let uri = filter.uri.as_deref();
    let accounts: Option<Vec<&str>> = filter
        .accounts
        .as_ref()
        .map(|accounts| accounts.iter().map(|account| &**account).collect());
    let rows_wanted = rows::limit(limit.saturating_add(1));
    let params: [&(dyn ToSql + Sync); 7] = [
        &after,
        &reached,
        &kinds,
        &uri,
        &accounts,
        &filter.has_webhook,
        &rows_wanted,
    ];
    let found = connection.client().query_raw(&statement, params).await?;
    let mut found = pin!(found);
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.try_next().await? {
        if events.len() == limit || bytes > PAGE_BYTES {
            return Ok((events, true));
        }
        let event = rows::logged(&row, 0, epoch)?;
        bytes += event.json.len();
        events.push(event);
    }
    Ok((events, false))
}

/// One message has few events, and its state knows them: the log need not be searched.
async fn events_of_one(
    connection: &Connection,
    id: MessageId,
    after: u64,
    last: u64,
    filter: &EventFilter,
    limit: usize,
    epoch: u64,
) -> Result<Events, StoreError> {
    let mut events = events_of(connection, id, epoch).await?;
    events.retain(|event| event.seq > after && filter.passes(event));
    let newest = events.last().map_or(after, |event| event.seq);
    let mut scanned_to = last.max(newest).max(after);
    if events.len() > limit {
        events.truncate(limit);
        scanned_to = events.last().map_or(after, |event| event.seq);
    }
    Ok(Events { events, scanned_to })
}

pub(super) async fn events_of(
    connection: &Connection,
    id: MessageId,
    epoch: u64,
) -> Result<Vec<Logged>, StoreError> {
    let statement = connection
        .prepare(concat!(
            "WITH RECURSIVE chain AS (SELECT e.* FROM states s JOIN events e \
             ON e.seq = s.last_event WHERE s.id = $1 UNION ALL SELECT e.* FROM chain c \
             JOIN events e ON e.seq = c.previous) SELECT ",
            event_columns!(),
            " FROM chain e ORDER BY e.seq"
        ))
        .await?;
    let id: Uuid = rows::uuid(id);
    let found = connection.client().query(&statement, &[&id]).await?;
    found
        .iter()
        .map(|row| rows::logged(row, 0, epoch))
        .collect()
}
