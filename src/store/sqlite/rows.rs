//! Messages and events as rows, and back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Error;
use rusqlite::Row;
use rusqlite::types::Type;

use crate::message::BodyEncoding;
use crate::message::Event;
use crate::message::EventKind;
use crate::message::Header;
use crate::message::Message;
use crate::message::MessageId;
use crate::message::Metadata;
use crate::message::OnUnknown;
use crate::message::Status;
use crate::message::Timestamp;
use crate::store::Claimed;
use crate::store::Logged;

/// The columns that [`message`] reads, in its order.
pub(super) const MESSAGE: &str = "id, target, uri, account, body, body_encoding, content_type, \
     extra_headers, ttl, send_at, attempts, on_unknown, webhook, metadata, created_at, expires_at";
/// How many those are.
pub(super) const MESSAGE_COLUMNS: usize = 16;

/// The columns that [`claimed`] reads, in its order.
pub(super) const CLAIMED: &str = "id, uri, account, status, attempt, attempts, on_unknown, \
     coalesce(not_before, send_at), expires_at, number";

/// The columns that [`logged`] reads, in its order.
pub(super) const LOGGED: &str = "seq, message_id, kind, uri, account, members";

pub(super) fn status_number(status: Status) -> i64 {
    match status {
        Status::Scheduled => 0,
        Status::Queued => 1,
        Status::Sending => 2,
        Status::Succeeded => 3,
        Status::Failed => 4,
    }
}

pub(super) fn status(row: &Row<'_>, at: usize) -> Result<Status, Error> {
    let number = usize::try_from(row.get::<_, i64>(at)?).unwrap_or(usize::MAX);
    Status::ALL
        .get(number)
        .copied()
        .ok_or_else(|| strange(at, "status"))
}

pub(super) fn kind_number(kind: EventKind) -> i64 {
    match kind {
        EventKind::Sending => 0,
        EventKind::Deferred => 1,
        EventKind::Succeeded => 2,
        EventKind::Failed => 3,
    }
}

pub(super) fn encoding_number(encoding: BodyEncoding) -> i64 {
    match encoding {
        BodyEncoding::Utf8 => 0,
        BodyEncoding::Base64 => 1,
    }
}

pub(super) fn on_unknown_number(on_unknown: OnUnknown) -> i64 {
    match on_unknown {
        OnUnknown::Resend => 0,
        OnUnknown::Fail => 1,
    }
}

fn on_unknown(row: &Row<'_>, at: usize) -> Result<OnUnknown, Error> {
    match row.get::<_, i64>(at)? {
        0 => Ok(OnUnknown::Resend),
        1 => Ok(OnUnknown::Fail),
        _ => Err(strange(at, "on_unknown")),
    }
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

fn shared(row: &Row<'_>, at: usize) -> Result<Arc<str>, Error> {
    Ok(row.get_ref(at)?.as_str()?.into())
}

fn optional_shared(row: &Row<'_>, at: usize) -> Result<Option<Arc<str>>, Error> {
    Ok(row.get_ref(at)?.as_str_or_null()?.map(Into::into))
}

/// Reads the columns of [`MESSAGE`].
pub(super) fn message(row: &Row<'_>) -> Result<Message, Error> {
    let body_encoding = match row.get::<_, i64>(5)? {
        0 => BodyEncoding::Utf8,
        1 => BodyEncoding::Base64,
        _ => return Err(strange(5, "body_encoding")),
    };
    Ok(Message {
        id: id(row, 0)?,
        target: row.get(1)?,
        uri: shared(row, 2)?,
        account: optional_shared(row, 3)?,
        body: Bytes::from(row.get::<_, Vec<u8>>(4)?),
        body_encoding,
        content_type: row.get(6)?,
        extra_headers: read_headers(row, 7)?,
        ttl: Duration::from_secs(row.get::<_, u64>(8)?),
        send_at: optional_time(row, 9)?,
        attempts: row.get(10)?,
        on_unknown: on_unknown(row, 11)?,
        webhook: row.get(12)?,
        metadata: read_metadata(row, 13)?,
        created_at: time(row, 14)?,
        expires_at: time(row, 15)?,
    })
}

/// Reads the columns of [`CLAIMED`] and the number of the message.
pub(super) fn claimed(row: &Row<'_>) -> Result<(Claimed, i64), Error> {
    let claimed = Claimed {
        id: id(row, 0)?,
        uri: shared(row, 1)?,
        account: optional_shared(row, 2)?,
        status: status(row, 3)?,
        attempt: row.get(4)?,
        attempts: row.get(5)?,
        on_unknown: on_unknown(row, 6)?,
        not_before: optional_time(row, 7)?,
        expires_at: time(row, 8)?,
    };
    Ok((claimed, row.get(9)?))
}

/// Reads the columns of [`LOGGED`], from column `from` on.
pub(super) fn logged(row: &Row<'_>, from: usize, epoch: u64) -> Result<Logged, Error> {
    let seq: u64 = row.get(from)?;
    let number = usize::try_from(row.get::<_, i64>(from + 2)?).unwrap_or(usize::MAX);
    let kind = EventKind::ALL
        .get(number)
        .copied()
        .ok_or_else(|| strange(from + 2, "kind"))?;
    let members = row.get_ref(from + 5)?.as_blob()?;
    Ok(Logged {
        seq,
        message_id: id(row, from + 1)?,
        kind,
        uri: shared(row, from + 3)?,
        account: optional_shared(row, from + 4)?,
        json: json(epoch, seq, members),
    })
}

/// The whole object of an event.
pub(super) fn json(epoch: u64, seq: u64, members: &[u8]) -> Bytes {
    let mut json = Vec::with_capacity(48 + members.len());
    Event::write_id(epoch, seq, &mut json);
    json.extend_from_slice(members);
    json.into()
}

pub(super) fn write_headers(headers: &[Header]) -> String {
    if headers.is_empty() {
        return "[]".to_owned();
    }
    let pairs: Vec<_> = headers
        .iter()
        .map(|header| (&header.name, &header.value))
        .collect();
    // Strings are always JSON.
    serde_json::to_string(&pairs).unwrap_or_default()
}

fn read_headers(row: &Row<'_>, at: usize) -> Result<Vec<Header>, Error> {
    let text = row.get_ref(at)?.as_str()?;
    if text == "[]" {
        return Ok(Vec::new());
    }
    let pairs: Vec<(String, String)> =
        serde_json::from_str(text).map_err(|_| strange(at, "extra_headers"))?;
    Ok(pairs
        .into_iter()
        .map(|(name, value)| Header { name, value })
        .collect())
}

pub(super) fn write_metadata(metadata: &Metadata) -> String {
    if metadata.is_empty() {
        return "{}".to_owned();
    }
    serde_json::to_string(metadata).unwrap_or_default()
}

fn read_metadata(row: &Row<'_>, at: usize) -> Result<Metadata, Error> {
    let text = row.get_ref(at)?.as_str()?;
    if text == "{}" {
        return Ok(Metadata::new());
    }
    serde_json::from_str(text).map_err(|_| strange(at, "metadata"))
}

fn strange(column: usize, name: &str) -> Error {
    Error::InvalidColumnType(column, name.to_owned(), Type::Null)
}
