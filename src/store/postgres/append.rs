//! What an append binds: events, and where their messages stand, a column each.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::record::KnownMessages;
use super::session;
use crate::message::{ByMessage, MessageId, Timestamp};
use crate::store::{Record, codes};

/// Where a message stands after this batch.
pub(super) struct StateChange {
    pub(super) message_id: MessageId,
    pub(super) is_new: bool,
    /// Its newest event before this batch.
    pub(super) newest: Option<i64>,
    pub(super) status: i16,
    pub(super) attempt: i32,
    /// Of its newest event, counted from 1 within the batch.
    pub(super) place: i64,
    pub(super) not_before: Option<i64>,
    pub(super) completed_at: Option<i64>,
}

/// Rows of `states` for messages that are taken in, a column each, in the order of acceptance.
#[derive(Default)]
pub(super) struct NewStates {
    pub(super) ids: Vec<Uuid>,
    pub(super) lanes: Vec<i64>,
    pub(super) owners: Vec<i64>,
    pub(super) claimed: Vec<bool>,
    pub(super) statuses: Vec<i16>,
    pub(super) urgent: Vec<bool>,
}

/// Where each message stands after its last record.
pub(super) fn moves(
    kept: &[&Record],
    previous: &[Option<i64>],
    known: &KnownMessages,
) -> Vec<StateChange> {
    let mut moves: Vec<StateChange> = Vec::with_capacity(kept.len());
    let mut places = ByMessage::<usize>::default();
    places.reserve(kept.len());
    for ((place, record), previous) in (1_i64..).zip(kept).zip(previous) {
        let event = &record.event;
        let at = *places.entry(event.message_id).or_insert(moves.len());
        let attempt = i32::try_from(event.attempt).unwrap_or(i32::MAX);
        let before = moves.get(at);
        let change = StateChange {
            message_id: event.message_id,
            is_new: known.get(&event.message_id).is_some_and(|one| one.is_new),
            newest: before.map_or(*previous, |before| before.newest),
            status: codes::status_number(record.status),
            attempt: before.map_or(attempt, |before| before.attempt.max(attempt)),
            place,
            not_before: record.not_before.map(Timestamp::as_millis),
            completed_at: record.status.is_final().then(|| event.time.as_millis()),
        };
        match moves.get_mut(at) {
            Some(before) => *before = change,
            None => moves.push(change),
        }
    }
    moves
}

type Column<'c> = &'c (dyn ToSql + Sync);

/// Changes of rows that are there.
pub(super) struct Moves {
    ids: Vec<Uuid>,
    statuses: Vec<i16>,
    attempts: Vec<i32>,
    places: Vec<i64>,
    not_before: Vec<Option<i64>>,
    completed_at: Vec<Option<i64>>,
    newest: Vec<Option<i64>>,
}

impl Moves {
    pub(super) fn of(moved: &[&StateChange]) -> Self {
        Self {
            ids: moved
                .iter()
                .map(|one| session::uuid(one.message_id))
                .collect(),
            statuses: moved.iter().map(|one| one.status).collect(),
            attempts: moved.iter().map(|one| one.attempt).collect(),
            places: moved.iter().map(|one| one.place).collect(),
            not_before: moved.iter().map(|one| one.not_before).collect(),
            completed_at: moved.iter().map(|one| one.completed_at).collect(),
            newest: moved.iter().map(|one| one.newest).collect(),
        }
    }

    pub(super) fn columns(&self) -> [Column<'_>; 7] {
        [
            &self.ids,
            &self.statuses,
            &self.attempts,
            &self.places,
            &self.not_before,
            &self.completed_at,
            &self.newest,
        ]
    }
}

/// Events on their way into the log.
pub(super) struct EventColumns<'c> {
    pub(super) previous: &'c Vec<Option<i64>>,
    pub(super) previous_places: &'c Vec<Option<i64>>,
    pub(super) kinds: Vec<i16>,
    pub(super) ids: Vec<Uuid>,
    pub(super) uris: Vec<&'c str>,
    pub(super) accounts: Vec<Option<&'c str>>,
    pub(super) webhooks: Vec<Option<&'c str>>,
    pub(super) members: Vec<&'c [u8]>,
}

impl EventColumns<'_> {
    pub(super) fn columns(&self) -> [Column<'_>; 8] {
        [
            self.previous,
            self.previous_places,
            &self.kinds,
            &self.ids,
            &self.uris,
            &self.accounts,
            &self.webhooks,
            &self.members,
        ]
    }
}

/// Where new messages stand: as they were accepted, or after their last record.
pub(super) struct Begins {
    statuses: Vec<i16>,
    attempts: Vec<i32>,
    places: Vec<Option<i64>>,
    not_before: Vec<Option<i64>>,
    completed_at: Vec<Option<i64>>,
}

impl Begins {
    pub(super) fn of(new: &NewStates, begun: &[Option<&StateChange>]) -> Self {
        let first = new.statuses.iter().zip(begun);
        let of = |part: fn(&StateChange) -> Option<i64>| {
            let parts = begun.iter().map(|one| one.and_then(part));
            parts.collect::<Vec<_>>()
        };
        Self {
            statuses: first
                .map(|(status, one)| one.map_or(*status, |one| one.status))
                .collect(),
            attempts: begun
                .iter()
                .map(|one| one.map_or(0, |one| one.attempt))
                .collect(),
            places: of(|one| Some(one.place)),
            not_before: of(|one| one.not_before),
            completed_at: of(|one| one.completed_at),
        }
    }

    pub(super) fn columns<'c>(&'c self, new: &'c NewStates) -> [Column<'c>; 10] {
        [
            &new.ids,
            &new.lanes,
            &new.owners,
            &new.claimed,
            &new.urgent,
            &self.statuses,
            &self.attempts,
            &self.places,
            &self.not_before,
            &self.completed_at,
        ]
    }
}
