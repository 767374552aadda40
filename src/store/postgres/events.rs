//! Reading the log, where it is no longer in memory.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::Connection;
use super::rows;
use super::rows::event_columns;
use crate::message::MessageId;
use crate::store::page::Filling;
use crate::store::{EventFilter, Events, Logged, PageSize, StoreError, codes};

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
    size: PageSize,
    epoch: u64,
) -> Result<Events, StoreError> {
    if let Some(id) = filter.message_id {
        let page = events_of(connection, id, after, size, epoch).await?;
        return Ok(page.filtered(filter, last));
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
            is_cut: false,
        });
    };
    let (events, is_cut) = passing(connection, after_number, reached, filter, size, epoch).await?;
    if is_cut {
        scanned_to = events.last().map_or(after, |event| event.seq);
    }
    Ok(Events {
        events,
        scanned_to,
        is_cut,
    })
}

/// What passes of a stretch of the log, and whether there is more than fits a page.
async fn passing(
    connection: &Connection,
    after: i64,
    reached: i64,
    filter: &EventFilter,
    size: PageSize,
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
    let kinds: Vec<i16> = filter.kinds.iter().map(codes::kind_number).collect();
    let kinds = (!kinds.is_empty()).then_some(kinds);
    let uri = filter.uri.as_deref();
    let accounts: Option<Vec<&str>> = filter
        .accounts
        .as_ref()
        .map(|accounts| accounts.iter().map(|account| &**account).collect());
    let rows_wanted = rows::limit(size.rows.saturating_add(1));
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
    let (mut events, mut filling) = (Vec::new(), Filling::new(size));
    while let Some(row) = found.try_next().await? {
        let event = rows::logged(&row, 0, epoch)?;
        if !filling.takes(event.weight()) {
            return Ok((events, true));
        }
        events.push(event);
    }
    Ok((events, false))
}

/// One message has few events, and its state knows them: the log need not be searched. The chain is
/// followed without what its events say, of which no more is read than a page holds.
pub(super) async fn events_of(
    connection: &Connection,
    id: MessageId,
    after: u64,
    size: PageSize,
    epoch: u64,
) -> Result<Events, StoreError> {
    let statement = connection
        .prepare(concat!(
            "WITH RECURSIVE chain AS (SELECT e.seq, e.previous, length(e.members) AS length \
             FROM states s JOIN events e ON e.seq = s.last_event WHERE s.id = $1 \
             UNION ALL SELECT e.seq, e.previous, length(e.members) FROM chain c \
             JOIN events e ON e.seq = c.previous WHERE c.previous > $2), \
             sizes AS (SELECT seq, sum(length) OVER w - length AS before, \
             row_number() OVER w AS place FROM chain WHERE seq > $2 WINDOW w AS (ORDER BY seq)) \
             SELECT ",
            event_columns!(),
            " FROM sizes z JOIN events e ON e.seq = z.seq \
             WHERE z.before <= $3 OR z.place <= 2 ORDER BY e.seq LIMIT $4"
        ))
        .await?;
    let (id, bytes): (Uuid, i64) = (rows::uuid(id), rows::limit(size.bytes));
    let (after_number, rows_wanted) = (
        rows::from_seq(after),
        rows::limit(size.rows.saturating_add(1)),
    );
    let params: [&(dyn ToSql + Sync); 4] = [&id, &after_number, &bytes, &rows_wanted];
    let found = connection.client().query(&statement, &params).await?;
    let mut page = Events {
        events: Vec::new(),
        scanned_to: after,
        is_cut: false,
    };
    let mut filling = Filling::new(size);
    for row in &found {
        let event = rows::logged(row, 0, epoch)?;
        if !filling.takes(event.weight()) {
            page.is_cut = true;
            break;
        }
        page.scanned_to = event.seq;
        page.events.push(event);
    }
    Ok(page)
}
