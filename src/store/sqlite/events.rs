//! Reading the log, where it is no longer in memory.

use rusqlite::params;
use rusqlite::{Connection, Error, OptionalExtension as _, Row};

use super::rows;
use crate::message::MessageId;
use crate::store::page::Filling;
use crate::store::{EventFilter, Events, PageSize, StoreError};

/// Rows a page looks at.
const SCAN: usize = 4_096;

/// What follows `after`. `last` was durable before the query began, so whatever the query does not
/// find up to there is not there.
pub(super) fn events(
    connection: &Connection,
    after: u64,
    last: u64,
    filter: &EventFilter,
    size: PageSize,
    epoch: u64,
) -> Result<Events, StoreError> {
    if let Some(id) = filter.message_id {
        let page = events_of(connection, id, after, size, epoch)?;
        return Ok(page.filtered(filter, last));
    }
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM events e WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2",
        rows::LOGGED
    ))?;
    let mut rows = statement.query(params![after, SCAN])?;
    let mut page = Events {
        events: Vec::new(),
        scanned_to: after,
        is_cut: false,
    };
    let (mut looked_at, mut filling) = (0, Filling::new(size));
    while let Some(row) = rows.next()? {
        if passes(filter, row)? {
            let event = rows::logged(row, 0, epoch)?;
            if !filling.takes(event.weight()) {
                page.is_cut = true;
                return Ok(page);
            }
            page.events.push(event);
        }
        looked_at += 1;
        page.scanned_to = row.get(0)?;
    }
    if looked_at < SCAN {
        page.scanned_to = page.scanned_to.max(last);
    }
    Ok(page)
}

/// One message has few events, and its state knows them: the log need not be searched.
pub(super) fn events_of(
    connection: &Connection,
    id: MessageId,
    after: u64,
    size: PageSize,
    epoch: u64,
) -> Result<Events, StoreError> {
    // One view of the database, so that nothing is removed between two links of the chain.
    let view = connection.unchecked_transaction()?;
    let newest: Option<Option<u64>> = view
        .prepare_cached("SELECT last_event FROM states WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    let chain = chain(&view, newest.flatten(), after)?;
    let mut statement = view.prepare_cached(&format!(
        "SELECT {} FROM events e WHERE e.seq = ?1",
        rows::LOGGED
    ))?;
    let mut page = Events {
        events: Vec::new(),
        scanned_to: after,
        is_cut: false,
    };
    let mut filling = Filling::new(size);
    for seq in chain.into_iter().rev() {
        let event = statement.query_row([seq], |row| rows::logged(row, 0, epoch))?;
        if !filling.takes(event.weight()) {
            page.is_cut = true;
            break;
        }
        page.scanned_to = seq;
        page.events.push(event);
    }
    Ok(page)
}

/// The numbers of the events of a message after `after`, newest first.
fn chain(connection: &Connection, newest: Option<u64>, after: u64) -> Result<Vec<u64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT previous FROM events WHERE seq = ?1")?;
    let (mut numbers, mut next) = (Vec::new(), newest);
    while let Some(seq) = next.filter(|seq| *seq > after) {
        let found: Option<Option<u64>> = statement.query_row([seq], |row| row.get(0)).optional()?;
        numbers.extend(found.is_some().then_some(seq));
        next = found.flatten();
    }
    Ok(numbers)
}

/// [`EventFilter::passes`] on a row, before anything of it is copied.
fn passes(filter: &EventFilter, row: &Row<'_>) -> Result<bool, Error> {
    if !filter.kinds.is_empty() && !filter.kinds.contains(rows::kind(row, 1)?) {
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
