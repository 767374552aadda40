//! Taking in messages that came in, each once, at whichever replica.
//!
//! The transaction holds the row of the log before [`INSERT`] begins, as every transaction does
//! that writes keys. So no two of them wait for each other's keys, and the statement sees all that
//! were there. It takes as many numbers as there are new messages: one trip, and one before it for
//! messages that name others.

use std::collections::HashSet;

use bytes::Bytes;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::Connection;
use super::session;
use crate::message::{Event, EventKind, Received};
use crate::store::received::{SentBy, answered, answers, key};
use crate::store::session::SqlRow as _;
use crate::store::{Arrived, Logged, StoreError};

/// Statements that are sent together with others, and so are prepared before.
pub(super) const STATEMENTS: [&str; 2] = [LOOK, INSERT];

const LOOK: &str = "SELECT s.id, coalesce(e.account, m.account) FROM unnest($1::uuid[]) AS u (id) \
     JOIN states s ON s.id = u.id JOIN messages m ON m.id = u.id \
     LEFT JOIN events e ON e.seq = s.last_event";
const INSERT: &str = "WITH given AS (SELECT * FROM unnest($1::bytea[], $2::int8[], $3::uuid[], \
     $4::text[], $5::text[], $6::bytea[]) WITH ORDINALITY \
     AS u (hash, created_at, id, account, sender, members, place)), \
     kept AS (INSERT INTO received_keys (hash, created_at) SELECT hash, created_at FROM given \
     ORDER BY place ON CONFLICT (hash) DO NOTHING RETURNING hash), \
     fresh AS (SELECT g.*, row_number() OVER (ORDER BY g.place) AS number \
     FROM given g JOIN kept k ON k.hash = g.hash), \
     taken AS (UPDATE log SET last = last + (SELECT count(*) FROM fresh) \
     RETURNING last - (SELECT count(*) FROM fresh) AS base), \
     added AS (INSERT INTO events (seq, kind, message_id, uri, account, members) \
     SELECT t.base + f.number, 4, f.id, f.sender, f.account, f.members FROM fresh f, taken t), \
     listed AS (INSERT INTO received (id, seq, account, sender) \
     SELECT f.id, t.base + f.number, f.account, f.sender FROM fresh f, taken t) \
     SELECT f.place, t.base + f.number FROM fresh f, taken t ORDER BY f.place";

/// Looks up which accounts sent the messages that are named. Most received messages name none.
pub(super) async fn look(
    connection: &Connection,
    received: &[&Received],
) -> Result<SentBy, StoreError> {
    let named = answers(received.iter().copied());
    if named.is_empty() {
        return Ok(SentBy::new());
    }
    let mut ids: Vec<Uuid> = named.into_iter().map(session::uuid).collect();
    ids.sort_unstable();
    ids.dedup();
    let statement = connection.prepare(LOOK).await?;
    let found = connection.client().query(&statement, &[&ids]).await?;
    let sent_by = |row: &tokio_postgres::Row| Ok((row.message_id(0)?, row.optional_shared(1)?));
    found.iter().map(sent_by).collect()
}

/// Messages on their way into the log.
#[derive(Default)]
pub(super) struct Receiving<'r> {
    /// All of them.
    received: Vec<&'r Received>,
    /// Those that no other of this batch has the key of, and where they are in it.
    kept: Vec<&'r Received>,
    places: Vec<usize>,
    keys: Vec<Vec<u8>>,
    /// The JSON of each event after its id.
    members: Vec<Bytes>,
}

impl<'r> Receiving<'r> {
    pub(super) fn new(received: &[&'r Received], sent_by: &SentBy) -> Self {
        let mut this = Self {
            received: received.to_vec(),
            ..Self::default()
        };
        let mut keys = HashSet::new();
        for (place, &one) in received.iter().enumerate() {
            let key = key(one);
            if !keys.insert(key) {
                continue;
            }
            let mut members = Vec::with_capacity(1_024);
            one.write_members(answered(one, sent_by), &mut members);
            this.kept.push(one);
            this.places.push(place);
            this.keys.push(key.to_vec());
            this.members.push(members.into());
        }
        this
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Appends those that are new; their numbers in the log, by their places among all.
    pub(super) async fn insert(
        &self,
        connection: &Connection,
    ) -> Result<Vec<(usize, u64)>, StoreError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let statement = connection.prepare(INSERT).await?;
        let kept = &self.kept;
        let ids: Vec<Uuid> = kept.iter().map(|one| session::uuid(one.id)).collect();
        let times: Vec<i64> = kept.iter().map(|one| one.time.as_millis()).collect();
        let accounts: Vec<&str> = kept.iter().map(|one| &*one.account).collect();
        let senders: Vec<&str> = kept.iter().map(|one| &*one.from.uri).collect();
        let members: Vec<&[u8]> = self.members.iter().map(|bytes| &**bytes).collect();
        let columns: [&(dyn ToSql + Sync); 6] =
            [&self.keys, &times, &ids, &accounts, &senders, &members];
        let found = connection.client().query(&statement, &columns).await?;
        found.iter().map(session::numbered).collect()
    }

    /// What became of each, and what the log shows when they are durable.
    pub(super) fn finish(
        self,
        epoch: u64,
        numbered: &[(usize, u64)],
    ) -> (Vec<Arrived>, Vec<Logged>) {
        let mut arrived = vec![Arrived::Repeated; self.received.len()];
        let mut events = Vec::with_capacity(numbered.len());
        for &(at, seq) in numbered {
            let place = self
                .places
                .get(at)
                .and_then(|place| arrived.get_mut(*place));
            let (Some(place), Some(one), Some(members)) =
                (place, self.kept.get(at), self.members.get(at))
            else {
                continue;
            };
            *place = Arrived::Appended(seq);
            let mut json = Vec::with_capacity(session::EVENT_ID + members.len());
            Event::write_id(epoch, seq, &mut json);
            json.extend_from_slice(members);
            events.push(Logged {
                seq,
                message_id: one.id,
                kind: EventKind::Received,
                uri: one.from.uri.as_str().into(),
                account: Some(one.account.clone()),
                webhook: None,
                json: json.into(),
            });
        }
        (arrived, events)
    }
}
