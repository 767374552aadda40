//! Reading messages.

use std::sync::Arc;

use rusqlite::params;
use rusqlite::{Connection, Error, OptionalExtension as _, Row};

use super::rows;
use crate::message::{Message, MessageId, Status};
use crate::store::events::{LOGGED, logged};
use crate::store::page::Filling;
use crate::store::{MessageFilter, Messages, StoreError, Stored};

/// Rows a page looks at.
const SCAN: usize = 2_000;

pub(super) fn load(
    connection: &Connection,
    ids: &[MessageId],
) -> Result<Vec<Arc<Message>>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM states s CROSS JOIN messages m ON m.number = s.number WHERE s.id = ?1",
        rows::MESSAGE
    ))?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let message = statement
            .query_row([id.as_bytes()], rows::message)
            .optional()?;
        found.extend(message.map(Arc::new));
    }
    Ok(found)
}

pub(super) fn message(
    connection: &Connection,
    id: MessageId,
    epoch: u64,
) -> Result<Option<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(&select("", "s.id = ?1"))?;
    let mut rows = statement.query([id.as_bytes()])?;
    rows.next()?.map(|row| stored(row, epoch)).transpose()
}

pub(super) fn messages(
    connection: &Connection,
    filter: &MessageFilter,
    before: Option<MessageId>,
    limit: usize,
    epoch: u64,
) -> Result<Messages, StoreError> {
    let sql = match filter.status {
        None | Some(Status::Succeeded) => select("", NEWEST_FIRST),
        Some(Status::Scheduled | Status::Queued | Status::Sending) => select(
            "INDEXED BY states_open",
            &format!("s.completed_at IS NULL AND {NEWEST_FIRST}"),
        ),
        Some(Status::Failed) => select(
            "INDEXED BY states_failed",
            &format!("s.status = 4 AND {NEWEST_FIRST}"),
        ),
    };
    // No id is above this one: the version of a UUIDv7 is not all ones.
    let before = before.map_or([u8::MAX; 16], |id| *id.as_bytes());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![before, SCAN + 1])?;
    let (mut page, mut looked_at) = (Messages::default(), 0);
    let (mut filling, mut last) = (Filling::new(limit.into()), None);
    while let Some(row) = rows.next()? {
        if filling.has_all_rows() || looked_at == SCAN {
            page.next = last;
            break;
        }
        if passes(filter, row)? {
            let stored = stored(row, epoch)?;
            if !filling.takes(stored.weight()) {
                page.next = last;
                break;
            }
            page.messages.push(stored);
        }
        looked_at += 1;
        last = Some(rows::id(row, 0)?);
    }
    Ok(page)
}

const NEWEST_FIRST: &str = "s.id < ?1 ORDER BY s.id DESC LIMIT ?2";

/// Whether the row is wanted, before anything of it is copied.
fn passes(filter: &MessageFilter, row: &Row<'_>) -> Result<bool, Error> {
    if let Some(status) = filter.status
        && rows::status(row, rows::MESSAGE_COLUMNS)? != status
    {
        return Ok(false);
    }
    if let Some(uri) = &filter.uri
        && row.get_ref(rows::URI)?.as_str()? != &**uri
    {
        return Ok(false);
    }
    Ok(filter.accounts.is_none() || filter.admits(account(row)?))
}

/// The account of the newest event, which is that of the attempt before it; else the one that the
/// message names.
fn account<'r>(row: &'r Row<'_>) -> Result<Option<&'r str>, Error> {
    let newest = row.get_ref(NEWEST_EVENT + 4)?.as_str_or_null()?;
    match newest {
        Some(account) => Ok(Some(account)),
        None => Ok(row.get_ref(rows::ACCOUNT)?.as_str_or_null()?),
    }
}

/// Where the columns of the newest event begin in a row of [`select`].
const NEWEST_EVENT: usize = rows::MESSAGE_COLUMNS + 4;

/// Messages, where they stand, and their newest events.
fn select(index: &str, condition: &str) -> String {
    format!(
        "SELECT {}, s.status, s.attempt, s.completed_at, s.not_before, {} \
         FROM states s {index} CROSS JOIN messages m ON m.number = s.number \
         LEFT JOIN events e ON e.seq = s.last_event \
         WHERE {condition}",
        rows::MESSAGE,
        LOGGED
    )
}

/// Reads a row of [`select`].
fn stored(row: &Row<'_>, epoch: u64) -> Result<Stored, StoreError> {
    let state = rows::MESSAGE_COLUMNS;
    let completed_at = rows::optional_time(row, state + 2)?;
    let has_ended = completed_at.is_some() && row.get::<_, Option<u64>>(NEWEST_EVENT)?.is_some();
    Ok(Stored {
        message: Arc::new(rows::message(row)?),
        account: account(row)?.map(Into::into),
        status: rows::status(row, state)?,
        attempt: row.get(state + 1)?,
        completed_at,
        not_before: rows::optional_time(row, state + 3)?,
        result: has_ended
            .then(|| logged(row, NEWEST_EVENT, epoch))
            .transpose()?,
    })
}
