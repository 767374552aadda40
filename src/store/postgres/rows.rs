//! Messages and events as rows, and back.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::message::{Contents, Message, MessageId, Timestamp, Trace};
use crate::store::{Claimed, StoreError, codes};

/// The columns that [`message`] reads, in its order, of the row `m` in `messages`.
macro_rules! message_columns {
    () => {
        "m.id, m.uri, m.account, m.send_at, m.attempts, m.on_unknown, m.contents, m.body, \
         m.trace, m.created_at, m.expires_at"
    };
}
/// How many those are.
pub(super) const MESSAGE_COLUMNS: usize = 11;

/// The columns that [`logged`] reads, in its order, of the row `e` in `events`.
macro_rules! event_columns {
    () => {
        "e.seq, e.kind, e.message_id, e.uri, e.account, e.members, e.webhook"
    };
}
pub(super) use event_columns;
pub(super) use message_columns;

pub(super) fn uuid(id: MessageId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// The lane of a target. Two targets that share one by chance wait for each other, no more.
pub(super) fn lane(uri: &str) -> i64 {
    let digest = Sha256::digest(uri.as_bytes());
    let first = digest.first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

/// A number of the log as a column, and back. Numbers from elsewhere can be anything.
pub(super) fn from_seq(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

pub(super) fn to_seq(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn optional_time(row: &Row, at: usize) -> Result<Option<Timestamp>, StoreError> {
    let millis: Option<i64> = row.try_get(at)?;
    Ok(millis.map(Timestamp::from_millis))
}

pub(super) fn time(row: &Row, at: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_millis(row.try_get(at)?))
}

pub(super) fn id(row: &Row, at: usize) -> Result<MessageId, StoreError> {
    Ok(MessageId::new(row.try_get(at)?))
}

pub(super) fn shared(row: &Row, at: usize) -> Result<Arc<str>, StoreError> {
    Ok(row.try_get::<_, &str>(at)?.into())
}

pub(super) fn optional_shared(row: &Row, at: usize) -> Result<Option<Arc<str>>, StoreError> {
    Ok(row.try_get::<_, Option<&str>>(at)?.map(Into::into))
}

pub(super) fn count(row: &Row, at: usize) -> Result<u32, StoreError> {
    u32::try_from(row.try_get::<_, i32>(at)?).map_err(|_| strange("a count"))
}

/// Reads the columns of [`message_columns`].
pub(super) fn message(row: &Row) -> Result<Message, StoreError> {
    let contents = codes::contents(row.try_get(6)?);
    let body: Option<&[u8]> = row.try_get(7)?;
    Ok(Message {
        id: id(row, 0)?,
        contents: Contents {
            uri: shared(row, 1)?,
            account: optional_shared(row, 2)?,
            send_at: optional_time(row, 3)?,
            attempts: count(row, 4)?,
            on_unknown: codes::on_unknown(row.try_get(5)?).ok_or_else(|| strange("on_unknown"))?,
            // Empty when it was discarded.
            body: body.map(Bytes::copy_from_slice).unwrap_or_default(),
            ..contents.ok_or_else(|| strange("contents"))?
        },
        trace: trace(row, 8)?,
        created_at: time(row, 9)?,
        expires_at: time(row, 10)?,
    })
}

/// Reads id, uri, account, status, attempt, attempts, what to do about unknown outcomes, not
/// before, and the end of its time.
pub(super) fn claimed(row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        id: id(row, 0)?,
        uri: shared(row, 1)?,
        account: optional_shared(row, 2)?,
        status: codes::status(row.try_get(3)?).ok_or_else(|| strange("status"))?,
        attempt: count(row, 4)?,
        attempts: count(row, 5)?,
        on_unknown: codes::on_unknown(row.try_get(6)?).ok_or_else(|| strange("on_unknown"))?,
        not_before: optional_time(row, 7)?,
        expires_at: time(row, 8)?,
    })
}

pub(super) fn trace(row: &Row, at: usize) -> Result<Option<Trace>, StoreError> {
    Ok(codes::trace(row.try_get(at)?))
}

pub(super) fn strange(column: &str) -> StoreError {
    StoreError::Damaged(format!("{column} holds what no sipost writes"))
}
