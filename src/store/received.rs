//! Messages that came in: each once, to be listed, removed and erased.
//!
//! What such a message says is in its event alone. Its row in `received` leads there, and its key
//! in `received_keys` outlasts both.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::events::{LOGGED, logged};
use super::filter::is_one_of;
use super::page::Filling;
use super::session::{Lock, Session, SqlValue, strange, values};
use super::{Accounts, Logged, StoreError, frames, retention};
use crate::message::{EndpointId, MessageId, Received, Timestamp};

/// Rows a page looks at.
const SCAN: usize = 4_096;

/// What became of a message that came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrived {
    /// It is in the log, under this number.
    Appended(u64),
    /// It was taken in before: a fork of a proxy, or a retransmission.
    Repeated,
    /// The database does not take a value of it; nothing was appended, and never will be.
    Rejected,
}

/// Which received messages to list. Everything `None` lists all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReceivedFilter {
    /// The accounts that received them, one of these.
    pub accounts: Option<Accounts>,
    /// The URI of their sender.
    pub sender: Option<Arc<str>>,
}

impl ReceivedFilter {
    /// Whether messages to this account pass.
    pub fn admits(&self, account: &str) -> bool {
        is_one_of(self.accounts.as_deref(), Some(account))
    }

    /// Whether many messages may be looked at for each that passes.
    pub(in crate::store) fn is_scan(&self) -> bool {
        self.accounts.is_some() || self.sender.is_some()
    }
}

/// A page of received messages.
#[derive(Clone, Debug, Default)]
pub struct ReceivedPage {
    /// Their events, newest first.
    pub messages: Vec<Logged>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<MessageId>,
}

/// Where a received message came from: what a reply to it needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReceivedOrigin {
    /// Our name for it.
    pub id: MessageId,
    /// The account that received it.
    pub account: Arc<str>,
    /// The URI of its sender.
    pub sender: Arc<str>,
    pub call_id: String,
}

/// What makes a request that comes again the same one: a hash of the account, the Call-ID, the tag
/// of From and the number of CSeq. Half of a SHA-256 is enough that no two are alike.
pub(super) fn key(received: &Received) -> [u8; 16] {
    let mut hash = Sha256::new();
    let request = &received.request;
    for part in [&*received.account, &request.call_id, &received.from_tag] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(request.cseq.to_be_bytes());
    hash.finalize().first_chunk().copied().unwrap_or_default()
}

/// The messages that In-Reply-To of these may name.
pub(super) fn answers<'r>(received: impl IntoIterator<Item = &'r Received>) -> Vec<MessageId> {
    let named = received
        .into_iter()
        .flat_map(|one| one.answers.iter().take(Received::MAX_ANSWERS));
    named.copied().collect()
}

/// Which account sent each of some messages.
pub(super) type SentBy = HashMap<MessageId, Option<Arc<str>>>;

/// The message of ours that this one answers.
pub(super) fn answered(received: &Received, sent_by: &SentBy) -> Option<MessageId> {
    let mut named = received.answers.iter().take(Received::MAX_ANSWERS);
    let is_ours = |id: &&MessageId| {
        let account = sent_by.get(id).and_then(Option::as_deref);
        account == Some(&*received.account)
    };
    named.find(is_ours).copied()
}

/// A page of them: first those that pass, by their rows, then what they say.
pub(super) fn list(
    session: &dyn Session,
    epoch: u64,
    filter: &ReceivedFilter,
    before: Option<MessageId>,
    limit: usize,
) -> Result<ReceivedPage, StoreError> {
    let (mut ids, mut looked_at, mut last, mut has_more) = (Vec::new(), 0, None, false);
    let scan = if filter.is_scan() { SCAN } else { limit };
    // No id is above this one: the version of a UUIDv7 is not all ones.
    let before = before.map_or([u8::MAX; 16], |id| *id.as_bytes());
    session.read(
        "SELECT id, account, sender FROM received WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
        &[SqlValue::Id(before), SqlValue::from(scan.saturating_add(1))],
        &mut |row| {
            if ids.len() == limit || looked_at == scan {
                has_more = true;
                return Ok(ControlFlow::Break(()));
            }
            looked_at += 1;
            let id: [u8; 16] = row.blob(0)?.try_into().map_err(|_| strange("id"))?;
            last = MessageId::from_bytes(&id);
            let sender = row.optional_text(2)?;
            let is_wanted = sender.is_some_and(|sender| {
                let wanted = filter.sender.as_deref();
                wanted.is_none_or(|wanted| wanted == sender)
            });
            if is_wanted && filter.admits(row.text(1)?) {
                ids.push(id);
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    let mut page = ReceivedPage {
        messages: Vec::new(),
        next: last.filter(|_| has_more),
    };
    let sql = format!(
        "SELECT {LOGGED} FROM received r CROSS JOIN events e WHERE e.seq = r.seq \
         AND r.sender IS NOT NULL AND r.id IN (SELECT unhex(value) FROM json_each(?1)) \
         ORDER BY r.id DESC"
    );
    let mut filling = Filling::new(limit.into());
    session.read(&sql, &[SqlValue::Ids(&ids)], &mut |row| {
        let event = logged(row, 0, epoch)?;
        if !filling.takes(event.weight()) {
            page.next = page.messages.last().map(|last| last.message_id);
            return Ok(ControlFlow::Break(()));
        }
        page.messages.push(event);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(page)
}

/// The event of one that was not erased.
pub(super) fn find(
    session: &dyn Session,
    epoch: u64,
    id: MessageId,
) -> Result<Option<Logged>, StoreError> {
    let sql = format!(
        "SELECT {LOGGED} FROM received r CROSS JOIN events e \
         WHERE r.id = ?1 AND r.sender IS NOT NULL AND e.seq = r.seq"
    );
    session.first(&sql, &values![id], |row| logged(row, 0, epoch))
}

/// See [`LogStore::origins`](super::LogStore::origins).
pub(super) fn origins(
    session: &dyn Session,
    epoch: u64,
    ids: &[MessageId],
) -> Result<Vec<ReceivedOrigin>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Members {
        request: Request,
    }
    #[derive(serde::Deserialize)]
    struct Request {
        #[serde(rename = "callId")]
        call_id: String,
    }
    let ids: Vec<_> = ids.iter().map(|id| *id.as_bytes()).collect();
    let sql = format!(
        "SELECT {LOGGED} FROM received r CROSS JOIN events e WHERE e.seq = r.seq \
         AND r.sender IS NOT NULL AND r.id IN (SELECT unhex(value) FROM json_each(?1))"
    );
    session.all(&sql, &[SqlValue::Ids(&ids)], |row| {
        let event = logged(row, 0, epoch)?;
        let members: Result<Members, _> = serde_json::from_slice(&event.json);
        let members = members.map_err(|_| strange("members"))?;
        Ok(ReceivedOrigin {
            id: event.message_id,
            account: event.account.unwrap_or_default(),
            sender: event.uri,
            call_id: members.request.call_id,
        })
    })
}

/// Removes the oldest of them; how many there were, and up to which event the log has holes then.
pub(super) fn purge(
    session: &dyn Session,
    before: Timestamp,
    limit: usize,
) -> Result<(usize, Option<u64>), StoreError> {
    if !session.try_lock(Lock::Removing)? {
        return Ok((0, None));
    }
    // What webhooks have yet to post stays.
    let planned_to = session.fact("planned_to")?;
    let (mut ids, mut seqs) = (Vec::new(), Vec::new());
    session.read(
        "SELECT id, seq FROM received ORDER BY id LIMIT ?1",
        &values![limit],
        &mut |row| {
            let (id, seq) = (row.message_id(0)?, row.number(1)?);
            // An id is made when its message comes in.
            if id.made_at() >= before || seq > planned_to {
                return Ok(ControlFlow::Break(()));
            }
            ids.push(*id.as_bytes());
            seqs.push(row.integer(1)?);
            Ok(ControlFlow::Continue(()))
        },
    )?;
    let last = seqs.iter().max().and_then(|seq| u64::try_from(*seq).ok());
    let Some(last) = last else {
        return Ok((0, None));
    };
    session.execute(
        "DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?1))",
        &values![&*seqs],
    )?;
    session.execute(
        "DELETE FROM received WHERE id IN (SELECT unhex(value) FROM json_each(?1))",
        &[SqlValue::Ids(&ids)],
    )?;
    frames::forget_messages(session, &ids)?;
    Ok((ids.len(), Some(retention::forget_to(session, last)?)))
}

/// Erases one; returns its tombstone.
pub(super) fn erase(
    session: &dyn Session,
    epoch: u64,
    id: MessageId,
) -> Result<Option<Logged>, StoreError> {
    // Deliveries are planned before this, or from the tombstone.
    session.lock(Lock::Deliveries)?;
    let Some(event) = find(session, epoch, id)? else {
        return Ok(None);
    };
    let account = event.account.clone().unwrap_or_default();
    let (_, time) = event.facts();
    let time = time.ok_or_else(|| strange("members"))?;
    let mut members = Vec::new();
    Received::write_erased(time, id, &account, &mut members);
    let json = erased_json(&event.json, time, id, &account);
    let (seq, members) = (event.seq, Bytes::from(members));
    session.execute(
        "UPDATE events SET members = ?2, uri = '' WHERE seq = ?1",
        &values![seq, &members],
    )?;
    session.execute(
        "UPDATE received SET sender = NULL WHERE id = ?1",
        &values![id],
    )?;
    erase_deliveries(session, seq, &json)?;
    frames::forget_messages(session, &[*id.as_bytes()])?;
    // Tells replicas that events in their memory are stale.
    let sql = "UPDATE facts SET value = value + 1 WHERE name = 'erasures'";
    session.execute(sql, &[])?;
    Ok(Some(Logged {
        uri: Arc::default(),
        json,
        ..event
    }))
}

/// Those of these that were erased, and the accounts that received them.
pub(super) fn erased(
    session: &dyn Session,
    ids: &[[u8; 16]],
) -> Result<HashMap<MessageId, Arc<str>>, StoreError> {
    let found = session.all(
        "SELECT id, account FROM received \
         WHERE sender IS NULL AND id IN (SELECT unhex(value) FROM json_each(?1))",
        &[SqlValue::Ids(ids)],
        |row| Ok((row.message_id(0)?, row.shared(1)?)),
    )?;
    Ok(found.into_iter().collect())
}

/// The tombstone of an event, under the same id.
pub(super) fn erased_json(json: &[u8], time: Timestamp, id: MessageId, account: &str) -> Bytes {
    // `{"id":"…"`: up to the first comma.
    let end = json.iter().position(|byte| *byte == b',');
    let mut left = json
        .get(..end.unwrap_or_default())
        .unwrap_or_default()
        .to_vec();
    Received::write_erased(time, id, account, &mut left);
    left.into()
}

/// Deliveries are found by their queue: a standing endpoint, there or deleted. No received message
/// has a webhook of its own.
fn erase_deliveries(session: &dyn Session, seq: u64, json: &Bytes) -> Result<(), StoreError> {
    let endpoints = session.all("SELECT id FROM endpoints", &[], |row| {
        let id = EndpointId::from_bytes(row.blob(0)?);
        Ok(id.ok_or_else(|| strange("id"))?.to_string())
    })?;
    let deleted = session.all("SELECT queue FROM deleted_queues", &[], |row| {
        Ok(row.text(0)?.to_owned())
    })?;
    let rows: Vec<Vec<SqlValue<'_>>> = endpoints
        .iter()
        .chain(&deleted)
        .map(|queue| values![&**queue, seq, json].into())
        .collect();
    let sql = "UPDATE deliveries SET json = ?3 WHERE queue = ?1 AND seq = ?2";
    session.execute_each(sql, &rows)
}
