//! Reading messages.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::events::{LOGGED, logged};
use super::page::Filling;
use super::session::{Session, SqlRow, SqlValue, strange, values};
use super::{Claimed, MessageFilter, Messages, ReceiptTimes, StoreError, Stored, codes, receipts};
use crate::message::{Contents, Message, MessageId, Priority, Status};

/// Rows a page looks at.
const SCAN: usize = 2_000;

/// The columns that [`message`] reads, in its order: `s` is the row in `states`, `m` that in
/// `messages`.
pub(super) const MESSAGE: &str = "s.id, m.uri, m.account, m.send_at, m.attempts, m.on_unknown, \
     m.contents, m.body, m.trace, m.created_at, m.expires_at, m.priority";
/// Where the columns that say where it stands begin in a row of [`select`], and those of its newest
/// event.
const STATE: usize = 12;
const NEWEST: usize = STATE + 4;

pub(super) fn stored(
    session: &dyn Session,
    epoch: u64,
    id: MessageId,
) -> Result<Option<Stored>, StoreError> {
    let sql = select(session, "s.id = ?1");
    let found = session.first(&sql, &values![id], |row| read(row, epoch))?;
    let Some(mut stored) = found else {
        return Ok(None);
    };
    let mut times = receipts::times(session, &[*id.as_bytes()])?;
    stored.receipts = times.remove(&id).unwrap_or_default();
    Ok(Some(stored))
}

/// A page of messages: first the ids that it looks at, then those of them that pass.
pub(super) fn messages(
    session: &dyn Session,
    epoch: u64,
    filter: &MessageFilter,
    before: Option<MessageId>,
    limit: usize,
) -> Result<Messages, StoreError> {
    // Without a scan all of them pass.
    let scan = if filter.is_scan() { SCAN } else { limit };
    let mut ids = window(session, filter.status, before, scan.saturating_add(1))?;
    let has_more = ids.len() > scan;
    ids.truncate(scan);
    let wanted = limit.saturating_add(1);
    let mut values = vec![SqlValue::Ids(&ids), SqlValue::from(wanted)];
    let mut sql = select(session, "s.id IN (SELECT unhex(value) FROM json_each(?1))");
    if let Some(status) = filter.status {
        values.push(SqlValue::from(codes::status_number(status)));
        let _ = write!(sql, " AND s.status = ?{}", values.len());
    }
    if let Some(uri) = &filter.uri {
        values.push(SqlValue::from(&**uri));
        let _ = write!(sql, " AND m.uri = ?{}", values.len());
    }
    if let Some(accounts) = &filter.accounts {
        values.push(SqlValue::Texts(
            accounts.iter().map(|account| &**account).collect(),
        ));
        let list = format!("(SELECT value FROM json_each(?{}))", values.len());
        let _ = write!(sql, " AND coalesce(e.account, m.account) IN {list}");
    }
    sql.push_str(" ORDER BY s.id DESC LIMIT ?2");
    let (mut page, mut filling) = (Messages::default(), Filling::new(limit.into()));
    let mut is_cut = false;
    // SqlRow by row, so that no more of them is in memory than the page holds.
    session.read(&sql, &values, &mut |row| {
        let stored = read(row, epoch)?;
        if !filling.takes(stored.weight()) {
            is_cut = true;
            return Ok(ControlFlow::Break(()));
        }
        page.messages.push(stored);
        Ok(ControlFlow::Continue(()))
    })?;
    let shown: Vec<_> = page
        .messages
        .iter()
        .map(|one| *one.message.id.as_bytes())
        .collect();
    let mut times = receipts::times(session, &shown)?;
    for stored in &mut page.messages {
        stored.receipts = times.remove(&stored.message.id).unwrap_or_default();
    }
    if is_cut {
        page.next = page.messages.last().map(|stored| stored.message.id);
    } else if has_more {
        page.next = ids.last().and_then(|id| MessageId::from_bytes(id));
    }
    Ok(page)
}

/// The newest ids that may have this status.
fn window(
    session: &dyn Session,
    status: Option<Status>,
    before: Option<MessageId>,
    limit: usize,
) -> Result<Vec<[u8; 16]>, StoreError> {
    let sql = match status {
        None | Some(Status::Succeeded) => {
            "SELECT id FROM states WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
        }
        Some(Status::Scheduled | Status::Queued | Status::Sending) => session.either(
            "SELECT id FROM states INDEXED BY states_open \
             WHERE completed_at IS NULL AND id < ?1 ORDER BY id DESC LIMIT ?2",
            // What has not ended is found by its owner, of which there are few.
            "SELECT s.id FROM replicas r CROSS JOIN (VALUES (true), (false)) AS k (claimed) \
             CROSS JOIN LATERAL (SELECT id FROM states WHERE owner = r.number \
             AND claimed = k.claimed AND completed_at IS NULL AND id < ?1) s \
             ORDER BY s.id DESC LIMIT ?2",
        ),
        Some(Status::Failed) => session.either(
            "SELECT id FROM states INDEXED BY states_failed \
             WHERE status = 4 AND id < ?1 ORDER BY id DESC LIMIT ?2",
            "SELECT id FROM states WHERE failed AND id < ?1 ORDER BY id DESC LIMIT ?2",
        ),
    };
    // No id is above this one: the version of a UUIDv7 is not all ones.
    let before = before.map_or([u8::MAX; 16], |id| *id.as_bytes());
    session.all(sql, &[SqlValue::Id(before), SqlValue::from(limit)], |row| {
        row.blob(0)?.try_into().map_err(|_| strange("id"))
    })
}

/// Messages, where they stand, and their newest events; of those that have ended, the terminal one.
fn select(session: &dyn Session, condition: &str) -> String {
    let join = session.either("m.number = s.number", "m.id = s.id");
    format!(
        "SELECT {MESSAGE}, s.status, s.attempt, s.completed_at, s.not_before, {LOGGED} \
         FROM states s CROSS JOIN messages m LEFT JOIN events e \
         ON e.seq = coalesce(s.result, s.last_event) \
         WHERE {join} AND {condition}"
    )
}

/// Reads a row of [`select`].
fn read(row: &dyn SqlRow, epoch: u64) -> Result<Stored, StoreError> {
    let message = message(row)?;
    let completed_at = row.optional_time(STATE + 2)?;
    let has_ended = completed_at.is_some() && row.optional_integer(NEWEST)?.is_some();
    // The newest event is of the account of the attempt before it.
    let account = row.optional_shared(NEWEST + 4)?;
    Ok(Stored {
        account: account.or_else(|| message.contents.account.clone()),
        message: Arc::new(message),
        status: codes::status(row.integer(STATE)?).ok_or_else(|| strange("status"))?,
        attempt: row.count(STATE + 1)?,
        completed_at,
        not_before: row.optional_time(STATE + 3)?,
        result: has_ended.then(|| logged(row, NEWEST, epoch)).transpose()?,
        // In a table of their own.
        receipts: ReceiptTimes::default(),
    })
}

/// Reads the columns of [`MESSAGE`].
pub(super) fn message(row: &dyn SqlRow) -> Result<Message, StoreError> {
    let contents = codes::contents(row.text(6)?).ok_or_else(|| strange("contents"))?;
    let on_unknown = codes::on_unknown(row.integer(5)?);
    let contents = Contents {
        uri: row.shared(1)?,
        account: row.optional_shared(2)?,
        send_at: row.optional_time(3)?,
        attempts: row.count(4)?,
        on_unknown: on_unknown.ok_or_else(|| strange("on_unknown"))?,
        priority: priority(row, 11)?,
        body: row.optional_bytes(7)?.unwrap_or_default(),
        ..contents
    };
    let trace = codes::trace(row.optional_text(8)?);
    let (created_at, expires_at) = (row.time(9)?, row.time(10)?);
    Ok(Message::new(
        row.message_id(0)?,
        contents,
        trace,
        created_at,
        expires_at,
    ))
}

/// Reads the class of a message, if its client gave one.
pub(super) fn priority(row: &dyn SqlRow, at: usize) -> Result<Option<Priority>, StoreError> {
    let Some(number) = row.optional_integer(at)? else {
        return Ok(None);
    };
    let class = codes::priority(number).ok_or_else(|| strange("priority"))?;
    Ok(Some(class))
}

/// Reads id, uri, account, status, attempt, attempts, what to do about unknown outcomes, not
/// before, the end of its time, and its class.
pub(super) fn claimed(row: &dyn SqlRow) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        id: row.message_id(0)?,
        uri: row.shared(1)?,
        account: row.optional_shared(2)?,
        status: codes::status(row.integer(3)?).ok_or_else(|| strange("status"))?,
        attempt: row.count(4)?,
        attempts: row.count(5)?,
        on_unknown: codes::on_unknown(row.integer(6)?).ok_or_else(|| strange("on_unknown"))?,
        not_before: row.optional_time(7)?,
        expires_at: row.time(8)?,
        priority: priority(row, 9)?.unwrap_or_default(),
    })
}
