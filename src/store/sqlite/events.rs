//! Reading the log, where it is no longer in memory.

use rusqlite::Connection;
use rusqlite::Error;
use rusqlite::OptionalExtension as _;
use rusqlite::Row;
use rusqlite::params;

use super::rows;
use crate::message::MessageId;
use crate::store::EventFilter;
use crate::store::Events;
use crate::store::Logged;
use crate::store::StoreError;
use crate::store::tail::PAGE_BYTES;

/// Rows a page looks at.
const SCAN: usize = 4_096;

/// What follows `after`. `last` was durable before the query began, so whatever the query does not
/// find up to there is not there.
pub(super) fn events(
    connection: &Connection,
    after: u64,
    last: u64,
    filter: &EventFilter,
    limit: usize,
    epoch: u64,
) -> Result<Events, StoreError> {
    if let Some(id) = filter.message_id {
        return events_of_one(connection, id, after, last, filter, limit, epoch);
    }
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM events e WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2",
        rows::LOGGED
    ))?;
    let mut rows = statement.query(params![after, SCAN])?;
    let mut page = Events {
        events: Vec::new(),
        scanned_to: after,
    };
    let (mut looked_at, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        let passes = passes(filter, row)?;
        if passes && (page.events.len() >= limit || bytes > PAGE_BYTES) {
            return Ok(page);
        }
        looked_at += 1;
        page.scanned_to = seq;
        if passes {
            let event = rows::logged(row, 0, epoch)?;
            bytes += event.json.len();
            page.events.push(event);
        }
    }
    if looked_at < SCAN {
        page.scanned_to = page.scanned_to.max(last);
    }
    Ok(page)
}

/// One message has few events, and its state knows them: the log need not be searched.
fn events_of_one(
    connection: &Connection,
    id: MessageId,
    after: u64,
    last: u64,
    filter: &EventFilter,
    limit: usize,
    epoch: u64,
) -> Result<Events, StoreError> {
    let mut events = events_of(connection, id, epoch)?;
    events.retain(|event| event.seq > after && filter.passes(event));
    let newest = events.last().map_or(after, |event| event.seq);
    let mut scanned_to = last.max(newest).max(after);
    if events.len() > limit {
        events.truncate(limit);
        scanned_to = events.last().map_or(after, |event| event.seq);
    }
    Ok(Events { events, scanned_to })
}

pub(super) fn events_of(
    connection: &Connection,
    id: MessageId,
    epoch: u64,
) -> Result<Vec<Logged>, StoreError> {
    // One view of the database, so that nothing is removed between two links of the chain.
    let view = connection.unchecked_transaction()?;
    let newest: Option<Option<u64>> = view
        .prepare_cached("SELECT last_event FROM states WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    let mut statement = view.prepare_cached(&format!(
        "SELECT {}, e.previous FROM events e WHERE e.seq = ?1",
        rows::LOGGED
    ))?;
    let mut events = Vec::new();
    let mut next = newest.flatten();
    while let Some(seq) = next {
        let found = statement
            .query_row([seq], |row| {
                Ok((rows::logged(row, 0, epoch)?, row.get::<_, Option<u64>>(7)?))
            })
            .optional()?;
        next = found.as_ref().and_then(|(_, previous)| *previous);
        events.extend(found.map(|(event, _)| event));
    }
    events.reverse();
    Ok(events)
}

/// [`EventFilter::passes`] on a row, before anything of it is copied.
fn passes(filter: &EventFilter, row: &Row<'_>) -> Result<bool, Error> {
    if !filter.kinds.is_empty() && !filter.kinds.contains(&rows::kind(row, 1)?) {
        return Ok(false);
    }
    if let Some(uri) = &filter.uri
        && row.get_ref(3)?.as_str()? != &**uri
    {
        return Ok(false);
    }
    if filter.accounts.is_some() && !filter.admits(row.get_ref(4)?.as_str_or_null()?) {
        return Ok(false);
    }
    Ok(!filter.has_webhook || row.get_ref(6)?.as_str_or_null()?.is_some())
}
