//! Messages and events as rows, and back.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Error, Row};

use crate::message::{
    Contents, EventKind, Message, MessageId, OnUnknown, Status, Timestamp, Trace,
};
pub(super) use crate::store::codes::{contents_text, trace_text};
use crate::store::{Claimed, codes};

/// The columns that [`message`] reads, in its order: `s` is the row in `states`, `m` that in
/// `messages`.
pub(super) const MESSAGE: &str = "s.id, m.uri, m.account, m.send_at, m.attempts, m.on_unknown, \
     m.contents, m.body, m.trace, m.created_at, m.expires_at";
/// How many those are.
pub(super) const MESSAGE_COLUMNS: usize = 11;
/// Which of them are the URI and the account.
pub(super) const URI: usize = 1;
pub(super) const ACCOUNT: usize = 2;

pub(super) fn status_number(status: Status) -> i64 {
    i64::from(codes::status_number(status))
}

pub(super) fn status(row: &Row<'_>, at: usize) -> Result<Status, Error> {
    codes::status(row.get(at)?).ok_or_else(|| strange(at, "status"))
}

pub(super) fn kind_number(kind: EventKind) -> i64 {
    i64::from(codes::kind_number(kind))
}

pub(super) fn on_unknown_number(on_unknown: OnUnknown) -> i64 {
    i64::from(codes::on_unknown_number(on_unknown))
}

fn on_unknown(row: &Row<'_>, at: usize) -> Result<OnUnknown, Error> {
    codes::on_unknown(row.get(at)?).ok_or_else(|| strange(at, "on_unknown"))
}

pub(super) fn time(row: &Row<'_>, at: usize) -> Result<Timestamp, Error> {
    row.get(at).map(Timestamp::from_millis)
}

pub(super) fn optional_time(row: &Row<'_>, at: usize) -> Result<Option<Timestamp>, Error> {
    Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_millis))
}

pub(super) fn id(row: &Row<'_>, at: usize) -> Result<MessageId, Error> {
    let bytes = row.get_ref(at)?.as_blob()?;
    MessageId::from_bytes(bytes).ok_or_else(|| strange(at, "id"))
}

/// Empty when it was discarded.
fn body(row: &Row<'_>, at: usize) -> Result<Bytes, Error> {
    let bytes = row.get_ref(at)?.as_blob_or_null()?;
    Ok(bytes.map(Bytes::copy_from_slice).unwrap_or_default())
}

pub(super) fn shared(row: &Row<'_>, at: usize) -> Result<Arc<str>, Error> {
    Ok(row.get_ref(at)?.as_str()?.into())
}

pub(super) fn optional_shared(row: &Row<'_>, at: usize) -> Result<Option<Arc<str>>, Error> {
    Ok(row.get_ref(at)?.as_str_or_null()?.map(Into::into))
}

/// Reads the columns of [`MESSAGE`].
pub(super) fn message(row: &Row<'_>) -> Result<Message, Error> {
    let contents = codes::contents(row.get_ref(6)?.as_str()?);
    Ok(Message {
        id: id(row, 0)?,
        contents: Contents {
            uri: shared(row, URI)?,
            account: optional_shared(row, ACCOUNT)?,
            send_at: optional_time(row, 3)?,
            attempts: row.get(4)?,
            on_unknown: on_unknown(row, 5)?,
            body: body(row, 7)?,
            ..contents.ok_or_else(|| strange(6, "contents"))?
        },
        trace: trace(row, 8)?,
        created_at: time(row, 9)?,
        expires_at: time(row, 10)?,
    })
}

/// Reads id, uri, account, status, attempt, attempts, what to do about unknown outcomes, not
/// before, and the end of its time.
pub(super) fn claimed(row: &Row<'_>) -> Result<Claimed, Error> {
    Ok(Claimed {
        id: id(row, 0)?,
        uri: shared(row, 1)?,
        account: optional_shared(row, 2)?,
        status: status(row, 3)?,
        attempt: row.get(4)?,
        attempts: row.get(5)?,
        on_unknown: on_unknown(row, 6)?,
        not_before: optional_time(row, 7)?,
        expires_at: time(row, 8)?,
    })
}

pub(super) fn trace(row: &Row<'_>, at: usize) -> Result<Option<Trace>, Error> {
    Ok(codes::trace(row.get_ref(at)?.as_str_or_null()?))
}

pub(super) fn strange(column: usize, name: &str) -> Error {
    Error::InvalidColumnType(column, name.to_owned(), Type::Null)
}
