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
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::append::{Begins, EventColumns, Moves, NewStates, StateChange, moves};
use super::connection::Connection;
use super::memory::OwnMessages;
use super::session;
use crate::message::{ByMessage, Event};
use crate::store::packed::{self, EventRow};
use crate::store::session::SqlRow as _;
use crate::store::{Logged, Record, Recorded, StoreError, codes};

/// Messages that are there.
pub(super) type KnownMessages = ByMessage<KnownMessage>;

/// A message that is there.
#[derive(Clone)]
pub(super) struct KnownMessage {
    /// Whether records of it count.
    is_open: bool,
    /// It is taken in by this very transaction, which writes its row in `states` once.
    pub(super) is_new: bool,
    /// Its newest event.
    newest: Option<i64>,
    /// The account of that event; looked for only where a record names none.
    account: Option<Arc<str>>,
}

impl KnownMessage {
    /// A message that is open, and was taken in by a transaction before.
    pub(super) fn without_event() -> Self {
        Self {
            is_open: true,
            is_new: false,
            newest: None,
            account: None,
        }
    }

    /// A message that is taken in by this transaction.
    pub(super) fn new(is_open: bool) -> Self {
        Self {
            is_open,
            is_new: true,
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
    moves: Vec<StateChange>,
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

/// Another transaction moved one of the messages between the look and the update, took it in, or
/// reported a receipt for it.
#[derive(Debug)]
pub(super) struct Raced;

/// Looks at the messages of these records.
pub(super) async fn look(
    connection: &Connection,
    me: i64,
    records: &[&Record],
) -> Result<KnownMessages, StoreError> {
    if records.is_empty() {
        return Ok(KnownMessages::default());
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
            is_new: false,
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
        let (mut over, mut newest) = (ByMessage::<bool>::default(), ByMessage::<i64>::default());
        over.reserve(records.len());
        newest.reserve(records.len());
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
        this.moves = moves(&this.kept, &this.previous, known);
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

    /// Takes as many numbers as there are events, appends them, and writes where their messages
    /// stand, with the rows of those that are new. [`Raced`] when not every message is where it was
    /// a moment ago: then what was written must not stay.
    pub(super) async fn insert(
        &self,
        connection: &Connection,
        me: i64,
        new: &NewStates,
    ) -> Result<Result<Appended, Raced>, StoreError> {
        if self.kept.is_empty() {
            return Ok(Ok(Appended::default()));
        }
        let statement = connection.prepare(APPEND).await?;
        let members: Vec<Bytes> = self.kept.iter().map(|one| members(&one.event)).collect();
        let (mut begun, moved): (Vec<_>, Vec<_>) = self.moves.iter().partition(|one| one.is_new);
        // Unless so many rows are where they were a moment ago the statement fails.
        let expected = session::limit(begun.len() + moved.len());
        let mut begun: HashMap<Uuid, &StateChange> = begun
            .drain(..)
            .map(|one| (session::uuid(one.message_id), one))
            .collect();
        // A message that is handed over twice has its events in the first row, which is kept.
        let begun: Vec<_> = new.ids.iter().map(|id| begun.remove(id)).collect();
        let packed = self.packed(&members);
        let (events, moves) = (self.columns(&packed), Moves::of(&moved));
        let begins = Begins::of(new, &begun);
        let count = session::limit(self.kept.len());
        let columns = [&count as &(dyn ToSql + Sync), &me]
            .into_iter()
            .chain(moves.columns())
            .chain(events.columns())
            .chain(begins.columns(new))
            .chain([&expected as &(dyn ToSql + Sync)])
            .collect::<Vec<_>>();
        match connection.client().query_one(&statement, &columns).await {
            Ok(row) => Ok(Ok(Appended {
                base: row.number(0)?,
                members,
            })),
            Err(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => Ok(Err(Raced)),
            Err(error) => Err(error.into()),
        }
    }

    /// Where the messages of these records are, now that they were written.
    pub(super) fn teach(&self, appended: &Appended, own: &mut OwnMessages) {
        for moved in &self.moves {
            let id = moved.message_id;
            if moved.completed_at.is_some() {
                own.forget(id);
                continue;
            }
            let known = KnownMessage {
                is_open: true,
                is_new: false,
                newest: Some(session::from_seq(appended.base) + moved.place),
                account: self.account_at(moved.place),
            };
            own.is_open(id, known);
        }
    }

    /// The events as if they were the first of the log: where they are is not known.
    pub(super) fn unplaced(&self) -> Appended {
        Appended {
            base: 0,
            members: self.kept.iter().map(|one| members(&one.event)).collect(),
        }
    }

    /// The JSON of each event as the database keeps it.
    fn packed(&self, members: &[Bytes]) -> Vec<Vec<u8>> {
        let rows = self.kept.iter().zip(&self.accounts).zip(members);
        let packed = rows.map(|((record, account), members)| {
            let event_row = EventRow {
                message_id: record.event.message_id,
                uri: &record.event.uri,
                account: account.as_deref(),
            };
            packed::packed(members, event_row)
        });
        packed.collect()
    }

    fn columns<'c>(&'c self, packed: &'c [Vec<u8>]) -> EventColumns<'c> {
        let events = || self.kept.iter().map(|record| &record.event);
        EventColumns {
            previous: &self.previous,
            previous_places: &self.previous_places,
            kinds: events().map(|e| codes::kind_number(e.kind())).collect(),
            ids: events().map(|e| session::uuid(e.message_id)).collect(),
            uris: events().map(|e| &*e.uri).collect(),
            accounts: self.accounts.iter().map(Option::as_deref).collect(),
            webhooks: events().map(|e| e.webhook.as_deref()).collect(),
            members: packed.iter().map(|bytes| &**bytes).collect(),
        }
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

/// Statements that are sent together with others, and so are prepared before.
pub(super) const STATEMENTS: [&str; 2] = [LOOK, APPEND];

// Arrays are unnested in the select list: in FROM each is written to a buffer of its own first.
const LOOK: &str = "SELECT s.id, s.completed_at IS NULL AND s.owner = $2 AND s.claimed, s.last_event, \
     CASE WHEN s.id = ANY($3::uuid[]) THEN (SELECT account FROM events WHERE seq = s.last_event) \
     END \
     FROM (SELECT unnest($1::uuid[]) AS id) u JOIN states s ON s.id = u.id";

/// Everything about the log in one statement, so that its row is held for as short as can be. A
/// message that is taken in has its row written once, with what has become of it. When another
/// transaction was in the way it divides by zero: the commit is on its way already.
///
/// What has not ended is known by its status, and not by `completed_at`, which an index of all that
/// is open is made for: it is read to its end for every message, where it looks small to the
/// planner.
const APPEND: &str = "WITH taken AS (UPDATE log SET last = last + $1 RETURNING last - $1 AS base), \
     moved AS (UPDATE states s SET status = u.status, attempt = greatest(s.attempt, u.attempt), \
     last_event = taken.base + u.place, not_before = u.not_before, \
     completed_at = u.completed_at, failed = (u.status = 4) \
     FROM taken, (SELECT unnest($3::uuid[]) AS id, unnest($4::int2[]) AS status, \
     unnest($5::int4[]) AS attempt, unnest($6::int8[]) AS place, unnest($7::int8[]) AS not_before, \
     unnest($8::int8[]) AS completed_at, unnest($9::int8[]) AS newest) u \
     WHERE s.id = u.id AND s.status < 3 AND s.owner = $2 AND s.claimed \
     AND s.last_event IS NOT DISTINCT FROM u.newest \
     RETURNING s.id), \
     added AS (INSERT INTO events \
     (seq, previous, kind, message_id, uri, account, webhook, members) \
     SELECT taken.base + u.place, coalesce(u.previous, taken.base + u.before), u.kind, \
     u.message_id, u.uri, u.account, u.webhook, u.members \
     FROM taken, (SELECT unnest($10::int8[]) AS previous, unnest($11::int8[]) AS before, \
     unnest($12::int2[]) AS kind, unnest($13::uuid[]) AS message_id, unnest($14::text[]) AS uri, \
     unnest($15::text[]) AS account, unnest($16::text[]) AS webhook, \
     unnest($17::bytea[]) AS members, generate_series(1::int8, $1) AS place) u), \
     begun AS (INSERT INTO states (id, lane, owner, claimed, urgent, status, attempt, last_event, \
     not_before, completed_at, failed) SELECT u.id, u.lane, u.owner, u.claimed, u.urgent, u.status, \
     u.attempt, taken.base + u.event, u.not_before, u.completed_at, u.status = 4 \
     FROM taken, (SELECT unnest($18::uuid[]) AS id, unnest($19::int8[]) AS lane, \
     unnest($20::int8[]) AS owner, unnest($21::bool[]) AS claimed, unnest($22::bool[]) AS urgent, \
     unnest($23::int2[]) AS status, unnest($24::int4[]) AS attempt, unnest($25::int8[]) AS event, \
     unnest($26::int8[]) AS not_before, unnest($27::int8[]) AS completed_at, \
     generate_series(1, cardinality($18::uuid[])) AS place) u ORDER BY u.place \
     ON CONFLICT DO NOTHING RETURNING last_event) \
     SELECT base, 1 / (CASE WHEN (SELECT count(*) FROM moved) \
     + (SELECT count(last_event) FROM begun) = $28 THEN 1 ELSE 0 END) FROM taken";
