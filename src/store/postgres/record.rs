//! Appending events, and moving their messages on.
//!
//! # The order of the log
//!
//! Numbers are taken from the one row of `log`, by an update, as late in the transaction as can
//! be: what needs no number is done before. PostgreSQL holds that row for us until we have
//! committed, so whoever appends next takes higher numbers and commits later. A reader that sees a
//! number therefore sees every lower one, at whichever replica, while any number of replicas
//! write; there is nothing to step over, and a transaction that fails leaves no hole.
//!
//! The other way would be a sequence, and readers that stop at the oldest open transaction. It
//! lets several commits overlap, and in return one transaction that hangs, of whatever program in
//! the same cluster, holds up every reader. What the row costs is that batches become durable one
//! after the other; each takes what has gathered meanwhile, so they become fuller.

use std::collections::HashMap;

use bytes::Bytes;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::Connection;
use super::rows;
use crate::message::Event;
use crate::message::MessageId;
use crate::message::Timestamp;
use crate::store::Logged;
use crate::store::Record;
use crate::store::Recorded;
use crate::store::StoreError;
use crate::store::codes;

/// What became of records, and what the log shows when they are durable.
#[derive(Debug, Default)]
pub(super) struct Appending {
    pub(super) answers: Vec<Recorded>,
    pub(super) events: Vec<Logged>,
}

/// Somebody else moved one of the messages between two looks.
#[derive(Debug)]
pub(super) struct Raced;

/// Where messages stand after this batch, a column each.
#[derive(Default)]
struct Moves {
    ids: Vec<Uuid>,
    statuses: Vec<i16>,
    attempts: Vec<i32>,
    /// Of its newest event, counted from 1 within the batch.
    places: Vec<i64>,
    not_before: Vec<Option<i64>>,
    completed_at: Vec<Option<i64>>,
}

pub(super) async fn record(
    connection: &Connection,
    me: i64,
    epoch: u64,
    records: &[&Record],
) -> Result<Result<Appending, Raced>, StoreError> {
    let open = open(connection, me, records).await?;
    let mut kept: Vec<&Record> = Vec::with_capacity(records.len());
    let mut over: HashMap<MessageId, bool> = HashMap::with_capacity(open.len());
    let mut is_kept = Vec::with_capacity(records.len());
    for record in records {
        let id = record.event.message_id;
        let is_over = over.entry(id).or_insert_with(|| !open.contains_key(&id));
        is_kept.push(!*is_over);
        if !*is_over {
            kept.push(record);
            *is_over = record.status.is_final();
        }
    }
    if kept.is_empty() {
        let answers = vec![Recorded::Ended; records.len()];
        let events = Vec::new();
        return Ok(Ok(Appending { answers, events }));
    }
    let moves = moves(&kept);
    let Some(base) = take_numbers(connection, me, kept.len(), &moves).await? else {
        return Ok(Err(Raced));
    };
    let events = append(connection, epoch, base, &kept, open).await?;
    let mut seq = base;
    let answer = |is_kept| match is_kept {
        true => {
            seq += 1;
            Recorded::Appended(seq)
        }
        false => Recorded::Ended,
    };
    let answers = is_kept.into_iter().map(answer).collect();
    Ok(Ok(Appending { answers, events }))
}

/// The messages of these records that have not ended and are not another replica's, each with its
/// newest event.
async fn open(
    connection: &Connection,
    me: i64,
    records: &[&Record],
) -> Result<HashMap<MessageId, Option<i64>>, StoreError> {
    let mut ids: Vec<Uuid> = records
        .iter()
        .map(|record| rows::uuid(record.event.message_id))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let statement = connection
        .prepare(
            "SELECT s.id, s.last_event FROM unnest($1::uuid[]) AS u (id) \
             JOIN states s ON s.id = u.id \
             WHERE s.completed_at IS NULL AND s.owner = $2 AND s.claimed",
        )
        .await?;
    let found = connection.client().query(&statement, &[&ids, &me]).await?;
    found
        .iter()
        .map(|row| Ok((rows::id(row, 0)?, row.try_get(1)?)))
        .collect()
}

/// Where each message stands after its last record.
fn moves(kept: &[&Record]) -> Moves {
    let mut moves = Moves::default();
    let mut known: HashMap<MessageId, usize> = HashMap::with_capacity(kept.len());
    for (place, record) in (1_i64..).zip(kept) {
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
                moves.ids.push(rows::uuid(event.message_id));
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

/// Takes as many numbers as there are events and moves the messages on; the number before the
/// first. `None` when not every message is where it was a moment ago.
async fn take_numbers(
    connection: &Connection,
    me: i64,
    count: usize,
    moves: &Moves,
) -> Result<Option<u64>, StoreError> {
    let statement = connection
        .prepare(
            "WITH taken AS (UPDATE log SET last = last + $1 RETURNING last - $1 AS base) \
             UPDATE states s SET status = u.status, attempt = greatest(s.attempt, u.attempt), \
             last_event = taken.base + u.place, not_before = u.not_before, \
             completed_at = u.completed_at, failed = (u.status = 4) \
             FROM taken, unnest($2::uuid[], $3::int2[], $4::int4[], $5::int8[], $6::int8[], \
             $7::int8[]) AS u (id, status, attempt, place, not_before, completed_at) \
             WHERE s.id = u.id AND s.completed_at IS NULL AND s.owner = $8 AND s.claimed \
             RETURNING taken.base",
        )
        .await?;
    let count = rows::limit(count);
    let moved = connection
        .client()
        .query(
            &statement,
            &[
                &count,
                &moves.ids,
                &moves.statuses,
                &moves.attempts,
                &moves.places,
                &moves.not_before,
                &moves.completed_at,
                &me,
            ],
        )
        .await?;
    match moved.first() {
        Some(row) if moved.len() == moves.ids.len() => Ok(Some(rows::to_seq(row.try_get(0)?))),
        Some(_) | None => Ok(None),
    }
}

async fn append(
    connection: &Connection,
    epoch: u64,
    base: u64,
    kept: &[&Record],
    mut newest: HashMap<MessageId, Option<i64>>,
) -> Result<Vec<Logged>, StoreError> {
    let mut events = Vec::with_capacity(kept.len());
    let mut members = Vec::with_capacity(kept.len());
    let (mut seqs, mut previous) = (Vec::with_capacity(kept.len()), Vec::new());
    for (seq, record) in (base + 1..).zip(kept) {
        let event = &record.event;
        let number = rows::from_seq(seq);
        let mut json = Vec::with_capacity(512);
        Event::write_id(epoch, seq, &mut json);
        let after_id = json.len();
        event.write_members(&mut json);
        let json = Bytes::from(json);
        members.push(json.slice(after_id..));
        seqs.push(number);
        previous.push(newest.insert(event.message_id, Some(number)).flatten());
        events.push(Logged {
            seq,
            message_id: event.message_id,
            kind: event.kind(),
            uri: event.uri.clone(),
            account: event.account.clone(),
            webhook: event.webhook.clone(),
            json,
        });
    }
    let kinds: Vec<i16> = events.iter().map(|e| codes::kind_number(e.kind)).collect();
    let ids: Vec<Uuid> = events.iter().map(|e| rows::uuid(e.message_id)).collect();
    let uris: Vec<&str> = events.iter().map(|e| &*e.uri).collect();
    let accounts: Vec<Option<&str>> = events.iter().map(|e| e.account.as_deref()).collect();
    let webhooks: Vec<Option<&str>> = events.iter().map(|e| e.webhook.as_deref()).collect();
    let members: Vec<&[u8]> = members.iter().map(|bytes| &**bytes).collect();
    let statement = connection
        .prepare(
            "INSERT INTO events (seq, previous, kind, message_id, uri, account, webhook, members) \
             SELECT * FROM unnest($1::int8[], $2::int8[], $3::int2[], $4::uuid[], $5::text[], \
             $6::text[], $7::text[], $8::bytea[])",
        )
        .await?;
    let columns: [&(dyn ToSql + Sync); 8] = [
        &seqs, &previous, &kinds, &ids, &uris, &accounts, &webhooks, &members,
    ];
    connection.client().execute(&statement, &columns).await?;
    Ok(events)
}
