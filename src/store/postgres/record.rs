//! Appending events, and moving their messages on.
//!
//! # The order of the log
//!
//! Numbers are taken from the one row of `log`, by an update, in the last statement before the
//! commit. PostgreSQL keeps that row locked until the commit, so the transaction that appends next
//! takes higher numbers and commits later. A reader that sees a number therefore sees every lower
//! one, at whichever replica, while any number of replicas write; there is nothing to step over,
//! and a transaction that fails leaves no hole.
//!
//! The other way would be a sequence, and readers that stop at the oldest open transaction. It
//! lets several commits overlap, and in return one transaction that hangs, of whatever program in
//! the same cluster, holds up every reader. What the row costs is that batches become durable one
//! after the other; each takes what has gathered meanwhile, so they become fuller.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::Connection;
use super::session;
use crate::message::{Event, MessageId, Timestamp};
use crate::store::session::SqlRow as _;
use crate::store::{Logged, Record, Recorded, StoreError, codes};

/// Messages that are there.
pub(super) type KnownMessages = HashMap<MessageId, KnownMessage>;

/// A message that is there.
pub(super) struct KnownMessage {
    /// Whether records of it count.
    is_open: bool,
    /// Its newest event.
    newest: Option<i64>,
    /// The account of that event; looked for only where a record names none.
    account: Option<Arc<str>>,
}

impl KnownMessage {
    /// A message that nothing was recorded of.
    pub(super) fn new(is_open: bool) -> Self {
        Self {
            is_open,
            newest: None,
            account: None,
        }
    }
}

/// Records that count, on their way into the log.
#[derive(Default)]
pub(super) struct Appending<'r> {
    is_kept: Vec<bool>,
    kept: Vec<&'r Record>,
    /// The account of each; of an event without one, the account of the message's event before.
    accounts: Vec<Option<Arc<str>>>,
    moves: StateChanges,
    /// Of each event, the one of the same message before it, when that is in the log.
    previous: Vec<Option<i64>>,
    /// The same, when it is in this batch: counted from 1.
    previous_places: Vec<Option<i64>>,
}

/// What was written.
#[derive(Default)]
pub(super) struct Appended {
    /// The number before that of the first event.
    base: u64,
    /// The JSON of each event after its id.
    members: Vec<Bytes>,
}

/// Another transaction moved one of the messages between the look and the update, or reported a
/// receipt for it.
#[derive(Debug)]
pub(super) struct Raced;

/// Where messages stand after this batch, a column each.
#[derive(Default)]
struct StateChanges {
    ids: Vec<Uuid>,
    /// Its newest event before this batch.
    newest: Vec<Option<i64>>,
    statuses: Vec<i16>,
    attempts: Vec<i32>,
    /// Of its newest event, counted from 1 within the batch.
    places: Vec<i64>,
    not_before: Vec<Option<i64>>,
    completed_at: Vec<Option<i64>>,
}

/// Looks at the messages of these records.
pub(super) async fn look(
    connection: &Connection,
    me: i64,
    records: &[&Record],
) -> Result<KnownMessages, StoreError> {
    if records.is_empty() {
        return Ok(KnownMessages::new());
    }
    let mut ids: Vec<Uuid> = records
        .iter()
        .map(|record| session::uuid(record.event.message_id))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let nameless: Vec<Uuid> = records
        .iter()
        .filter(|record| record.event.account.is_none())
        .map(|record| session::uuid(record.event.message_id))
        .collect();
    let statement = connection.prepare(LOOK).await?;
    let found = connection
        .client()
        .query(&statement, &[&ids, &me, &nameless])
        .await?;
    let known = |row: &tokio_postgres::Row| {
        let message = KnownMessage {
            is_open: row.try_get(1)?,
            newest: row.try_get(2)?,
            account: row.optional_shared(3)?,
        };
        Ok((row.message_id(0)?, message))
    };
    found.iter().map(known).collect()
}

impl<'r> Appending<'r> {
    /// Of these records, those whose messages have not ended and are not another replica's.
    pub(super) fn new(records: &[&'r Record], known: &KnownMessages) -> Self {
        let mut this = Self::default();
        let mut over: HashMap<MessageId, bool> = HashMap::with_capacity(records.len());
        let mut newest: HashMap<MessageId, i64> = HashMap::with_capacity(records.len());
        for &record in records {
            let id = record.event.message_id;
            let known = known.get(&id);
            let is_over = over
                .entry(id)
                .or_insert_with(|| known.is_none_or(|known| !known.is_open));
            this.is_kept.push(!*is_over);
            if *is_over {
                continue;
            }
            *is_over = record.status.is_final();
            this.kept.push(record);
            let place = session::limit(this.kept.len());
            let before = newest.insert(id, place);
            this.previous_places.push(before);
            let in_log = known.filter(|_| before.is_none());
            this.previous.push(in_log.and_then(|known| known.newest));
            let account = record.event.account.clone().or_else(|| match before {
                Some(before) => this.account_at(before),
                None => known.and_then(|known| known.account.clone()),
            });
            this.accounts.push(account);
        }
        this.moves = moves(&this.kept, &this.previous);
        this
    }

    /// The account of an event of this batch, counted from 1.
    fn account_at(&self, place: i64) -> Option<Arc<str>> {
        let at = usize::try_from(place - 1).ok()?;
        self.accounts.get(at)?.clone()
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Takes as many numbers as there are events, appends them, and moves their messages on; the
    /// number before the first. [`Raced`] when not every message is where it was a moment ago:
    /// then what was written must not stay.
    pub(super) async fn insert(
        &self,
        connection: &Connection,
        me: i64,
    ) -> Result<Result<Appended, Raced>, StoreError> {
        if self.kept.is_empty() {
            return Ok(Ok(Appended::default()));
        }
        let statement = connection.prepare(APPEND).await?;
        let events = || self.kept.iter().map(|record| &record.event);
        let members: Vec<Bytes> = events().map(members).collect();
        let moves = &self.moves;
        let columns: [&(dyn ToSql + Sync); 17] = [
            &session::limit(self.kept.len()),
            &me,
            &moves.ids,
            &moves.statuses,
            &moves.attempts,
            &moves.places,
            &moves.not_before,
            &moves.completed_at,
            &self.previous,
            &self.previous_places,
            &events()
                .map(|e| codes::kind_number(e.kind()))
                .collect::<Vec<_>>(),
            &events()
                .map(|e| session::uuid(e.message_id))
                .collect::<Vec<_>>(),
            &events().map(|e| &*e.uri).collect::<Vec<_>>(),
            &self
                .accounts
                .iter()
                .map(Option::as_deref)
                .collect::<Vec<_>>(),
            &events().map(|e| e.webhook.as_deref()).collect::<Vec<_>>(),
            &members.iter().map(|bytes| &**bytes).collect::<Vec<_>>(),
            &moves.newest,
        ];
        let row = connection.client().query_one(&statement, &columns).await?;
        let (base, moved) = (row.number(0)?, row.integer(1)?);
        Ok(if moved == session::limit(moves.ids.len()) {
            Ok(Appended { base, members })
        } else {
            Err(Raced)
        })
    }

    /// What became of each record, and what the log shows when they are durable.
    pub(super) fn finish(self, epoch: u64, appended: &Appended) -> (Vec<Recorded>, Vec<Logged>) {
        let mut seq = appended.base;
        let answer = |is_kept| {
            if is_kept {
                seq += 1;
                Recorded::Appended(seq)
            } else {
                Recorded::Ended
            }
        };
        let answers = self.is_kept.into_iter().map(answer).collect();
        let written = self.kept.into_iter().zip(self.accounts);
        let numbered = (appended.base + 1..).zip(written).zip(&appended.members);
        let logged = |((seq, (record, account)), members): (Numbered<'_>, &Bytes)| {
            let event = &record.event;
            let mut json = Vec::with_capacity(session::EVENT_ID + members.len());
            Event::write_id(epoch, seq, &mut json);
            json.extend_from_slice(members);
            Logged {
                seq,
                message_id: event.message_id,
                kind: event.kind(),
                uri: event.uri.clone(),
                account,
                webhook: event.webhook.clone(),
                json: json.into(),
            }
        };
        (answers, numbered.map(logged).collect())
    }
}

/// A record with its number in the log, and its account.
type Numbered<'r> = (u64, (&'r Record, Option<Arc<str>>));

/// The JSON of an event after its id.
fn members(event: &Event) -> Bytes {
    let mut json = Vec::with_capacity(512);
    event.write_members(&mut json);
    json.into()
}

/// Where each message stands after its last record.
fn moves(kept: &[&Record], previous: &[Option<i64>]) -> StateChanges {
    let mut moves = StateChanges::default();
    let mut known: HashMap<MessageId, usize> = HashMap::with_capacity(kept.len());
    for ((place, record), previous) in (1_i64..).zip(kept).zip(previous) {
        let event = &record.event;
        let attempt = i32::try_from(event.attempt).unwrap_or(i32::MAX);
        let not_before = record.not_before.map(Timestamp::as_millis);
        let completed_at = record.status.is_final().then(|| event.time.as_millis());
        let status = codes::status_number(record.status);
        match known.get(&event.message_id) {
            Some(&at) => {
                moves.statuses[at] = status;
                moves.attempts[at] = moves.attempts[at].max(attempt);
                moves.places[at] = place;
                moves.not_before[at] = not_before;
                moves.completed_at[at] = completed_at;
            }
            None => {
                known.insert(event.message_id, moves.ids.len());
                moves.ids.push(session::uuid(event.message_id));
                moves.newest.push(*previous);
                moves.statuses.push(status);
                moves.attempts.push(attempt);
                moves.places.push(place);
                moves.not_before.push(not_before);
                moves.completed_at.push(completed_at);
            }
        }
    }
    moves
}

/// Statements that are sent together with others, and so are prepared before.
pub(super) const STATEMENTS: [&str; 2] = [LOOK, APPEND];

const LOOK: &str = "SELECT s.id, s.completed_at IS NULL AND s.owner = $2 AND s.claimed, s.last_event, \
     CASE WHEN s.id = ANY($3::uuid[]) THEN (SELECT account FROM events WHERE seq = s.last_event) \
     END \
     FROM unnest($1::uuid[]) AS u (id) JOIN states s ON s.id = u.id";

/// Everything about the log in one statement, so that its row is held for as short as can be.
///
/// What has not ended is known by its status, and not by `completed_at`, which an index of all that
/// is open is made for: it is read to its end for every message, where it looks small to the
/// planner.
const APPEND: &str = "WITH taken AS (UPDATE log SET last = last + $1 RETURNING last - $1 AS base), \
     moved AS (UPDATE states s SET status = u.status, attempt = greatest(s.attempt, u.attempt), \
     last_event = taken.base + u.place, not_before = u.not_before, \
     completed_at = u.completed_at, failed = (u.status = 4) \
     FROM taken, unnest($3::uuid[], $4::int2[], $5::int4[], $6::int8[], $7::int8[], $8::int8[], \
     $17::int8[]) AS u (id, status, attempt, place, not_before, completed_at, newest) \
     WHERE s.id = u.id AND s.status < 3 AND s.owner = $2 AND s.claimed \
     AND s.last_event IS NOT DISTINCT FROM u.newest \
     RETURNING s.id), \
     added AS (INSERT INTO events \
     (seq, previous, kind, message_id, uri, account, webhook, members) \
     SELECT taken.base + u.place, coalesce(u.previous, taken.base + u.before), u.kind, \
     u.message_id, u.uri, u.account, u.webhook, u.members \
     FROM taken, unnest($9::int8[], $10::int8[], $11::int2[], $12::uuid[], $13::text[], \
     $14::text[], $15::text[], $16::bytea[]) WITH ORDINALITY \
     AS u (previous, before, kind, message_id, uri, account, webhook, members, place)) \
     SELECT base, (SELECT count(*) FROM moved) FROM taken";
