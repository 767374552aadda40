//! Which message is where, and what it waits for.
//!
//! A lane holds the messages of one `from` to one target in the order of their acceptance, and only
//! its head is ever sent. Messages without `from` have a lane of their own at each target. A target
//! has at most one request in flight (RFC 3428 §8), whichever lane it comes from: its other heads
//! wait for that one, and for nothing else of another lane. The board is a plain value: time, slots
//! and contents come from outside, and work for its owner goes out through [`Board::take_work`] and
//! [`Board::pump`].
//!
//! | phase     | where                           | leaves when                              |
//! |-----------|---------------------------------|------------------------------------------|
//! | Scheduled | in no lane                      | `sendAt` comes: to the end of its lane   |
//! | Queued    | in its lane, behind the head    | it becomes the head                      |
//! | Queued    | head, its target is busy        | the request in flight has ended          |
//! | Ready     | head, waits for a slot          | the pool has one, or its time is over    |
//! | Loading   | head, has a slot and its target | its content was read from the store      |
//! | Starting  | head, has a slot and its target | its request may be written               |
//! | Sending   | head, has a slot and its target | the attempt has an outcome, or the       |
//! |           |                                 | message's time is over                   |
//! | Waiting   | head, deferred                  | the next attempt is due                  |
//! | Ending    | where it was                    | its content was read: its end is recorded |
//!
//! A message whose time is over while it is sent ends at once, ambiguous. Its attempt goes on
//! without it: slot and target stay taken until a final response, Timer F or the loss of the
//! connection, because RFC 3428 §8 allows the next request to a target only when the transaction
//! before it is over. No event of the message follows its response.

mod attempts;
mod conclude;
mod lanes;
mod phase;
mod precedence;
#[cfg(test)]
mod priority_simulation;
mod ready;
mod receipts;
mod reclaim;
mod records;
mod schedule;
#[cfg(test)]
mod simulation;
mod start;
#[cfg(test)]
mod tests;
mod turns;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::quota::QuotaPermit;
use crate::agent::AgentIndex;
use crate::clock;
use crate::message::retry::Backoff;
use crate::message::{
    ByMessage, EventId, Message, MessageId, OnUnknown, Priority, Status, Timestamp,
};
use crate::store::Claimed;
pub(super) use attempts::AttemptKey;
use attempts::Attempts;
pub(super) use conclude::EndedAttempt;
use lanes::{Lane, Lanes};
use phase::{LocalEnd, Phase};
use ready::Ready;
use records::BoardWork;
pub(super) use records::{SentBy, event};
pub(super) use start::NewAttempt;
use view::Ages;

/// Every message that has not ended.
#[derive(Debug)]
pub(super) struct Board {
    entries: ByMessage<BoardEntry>,
    /// Of clients that have a share of the room.
    permits: ByMessage<QuotaPermit>,
    lanes: Lanes,
    ready: Ready,
    ages: Ages,
    /// Messages whose `sendAt` has not come.
    scheduled: usize,
    /// Messages of each class.
    by_class: [usize; Priority::ALL.len()],
    timers: BTreeSet<(Timestamp, MessageId)>,
    attempts: Attempts,
    /// Now, as of the last [`Board::handle_timeout`], by both clocks.
    now: Timestamp,
    steady: Instant,
    /// Heads that became ready and have no timer yet: most are taken at once and never need one.
    untimed: Vec<MessageId>,
    work: BoardWork,
    held_bytes: usize,
    max_held_bytes: usize,
    backoff: Backoff,
    /// Heads that [`Board::pump`] looked at.
    #[cfg(test)]
    looked_at: usize,
}

#[derive(Debug)]
struct BoardEntry {
    uri: Arc<str>,
    account: Option<Arc<str>>,
    phase: Phase,
    acceptance: Acceptance,
    class: Priority,
    /// Since when it waits, its time to be sent having come.
    since: Timestamp,
    attempt: u32,
    attempts: u32,
    on_unknown: OnUnknown,
    not_before: Option<Timestamp>,
    expires_at: Timestamp,
    timer: Option<Timestamp>,
    avoid: Option<AgentIndex>,
    /// Losses of a connection in a row with this message in flight.
    losses: u32,
    content: Option<Arc<Message>>,
    /// The event of a receipt that says that it has arrived.
    receipt: Option<EventId>,
    /// Its last attempt.
    key: AttemptKey,
}

/// Whether the store has taken a message in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Acceptance {
    /// It will, unless it fails.
    Offered,
    /// It may know the request's key, and then this message is none.
    Asked,
    Accepted,
    /// It has not, and an attempt is under way: its outcome is awaited, and not recorded.
    Refused,
}

/// What [`Board::cancel`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cancel {
    /// Its end will be recorded.
    Canceled,
    /// It is being sent.
    TooLate,
    /// It is not here: ended, or never was.
    Unknown,
}

impl Board {
    /// An empty board that keeps at most about `max_held_bytes` of waiting messages in memory, and
    /// only their names beyond.
    pub(super) fn new(backoff: Backoff, max_held_bytes: usize) -> Self {
        Self {
            entries: ByMessage::default(),
            permits: ByMessage::default(),
            lanes: Lanes::default(),
            ready: Ready::default(),
            ages: Ages::default(),
            scheduled: 0,
            by_class: Default::default(),
            timers: BTreeSet::new(),
            attempts: Attempts::default(),
            now: Timestamp::EPOCH,
            steady: clock::now(),
            untimed: Vec::new(),
            work: BoardWork::default(),
            held_bytes: 0,
            max_held_bytes,
            backoff,
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// How many messages have not ended.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many messages are being sent.
    pub(super) fn in_flight(&self) -> usize {
        self.attempts.in_flight()
    }

    /// Takes a message that is being accepted: it may begin, and whether it stays follows by
    /// [`Board::confirm`] or [`Board::withdraw`]. `may_repeat`: its request has a key, and may be
    /// one that was answered before.
    pub(super) fn offer(&mut self, message: Arc<Message>, may_repeat: bool, now: Timestamp) {
        let claimed = Claimed {
            id: message.id,
            uri: message.contents.uri.clone(),
            account: message.contents.account.clone(),
            status: match message.contents.send_at {
                Some(time) if time > now => Status::Scheduled,
                _ => Status::Queued,
            },
            attempt: 0,
            attempts: message.contents.attempts,
            on_unknown: message.contents.on_unknown,
            not_before: message.contents.send_at,
            expires_at: message.expires_at,
            priority: message.contents.class(),
        };
        // However much is held: it is in memory anyway, and it cannot be read from the store
        // yet.
        self.held_bytes += message.weight();
        let acceptance = if may_repeat {
            Acceptance::Asked
        } else {
            Acceptance::Offered
        };
        self.insert(claimed, acceptance, Some(message), now);
    }

    /// The message was accepted. Beyond the budget only its name is kept while it waits.
    pub(super) fn confirm(&mut self, id: MessageId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.acceptance = Acceptance::Accepted;
        if self.held_bytes > self.max_held_bytes
            && entry.phase.waits()
            && let Some(content) = entry.content.take()
        {
            self.held_bytes = self.held_bytes.saturating_sub(content.weight());
        }
    }

    /// The message was not accepted. An attempt that has not begun is ended by
    /// [`Board::superseded`]; one that has keeps its slot and its lane until its outcome is there.
    pub(super) fn withdraw(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.acceptance = Acceptance::Refused;
        if entry.phase.waits() {
            self.leave_ready(id);
            self.remove(id, now);
        }
    }

    fn insert(
        &mut self,
        claimed: Claimed,
        acceptance: Acceptance,
        content: Option<Arc<Message>>,
        now: Timestamp,
    ) {
        let Claimed {
            id,
            uri,
            account,
            status,
            attempt,
            ..
        } = claimed;
        let is_early = claimed.not_before.is_some_and(|time| time > now);
        let is_scheduled = status == Status::Scheduled && is_early;
        let entry = BoardEntry {
            uri,
            account,
            phase: if is_scheduled {
                Phase::Scheduled
            } else {
                Phase::Queued
            },
            acceptance,
            class: claimed.priority,
            since: now,
            attempt,
            attempts: claimed.attempts,
            on_unknown: claimed.on_unknown,
            not_before: claimed.not_before,
            expires_at: claimed.expires_at,
            timer: None,
            avoid: None,
            losses: 0,
            content,
            receipt: None,
            key: 0,
        };
        self.by_class[entry.class as usize] += 1;
        self.entries.insert(id, entry);
        match status {
            Status::Scheduled if is_scheduled => {
                self.scheduled += 1;
                self.set_timer(id, claimed.not_before);
            }
            // An attempt was under way when the process that made it ended.
            Status::Sending => {
                self.enqueue(id, now);
                self.end(id, LocalEnd::Died, now, 0.0);
            }
            Status::Scheduled | Status::Queued => self.enqueue(id, now),
            Status::Succeeded | Status::Failed => self.forget(id),
        }
    }

    /// Keeps what a message that is about to be offered holds of its client's share, until it is
    /// forgotten.
    pub(super) fn hold(&mut self, id: MessageId, permit: QuotaPermit) {
        self.permits.insert(id, permit);
    }

    /// Takes a message out of its lane and forgets it.
    fn remove(&mut self, id: MessageId, now: Timestamp) {
        self.leave_lane(id, now);
        self.forget(id);
    }

    /// Forgets a message that is in no lane.
    fn forget(&mut self, id: MessageId) {
        if !self.permits.is_empty() {
            self.permits.remove(&id);
        }
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        self.by_class[entry.class as usize] -= 1;
        if let Some(time) = entry.timer {
            self.timers.remove(&(time, id));
        }
        if entry.phase == Phase::Scheduled {
            self.scheduled -= 1;
        }
        if entry.phase == Phase::Ending(LocalEnd::Canceled) {
            self.work.forgotten.push(id);
        }
        if let Some(content) = entry.content {
            self.held_bytes = self.held_bytes.saturating_sub(content.weight());
        }
    }

    /// The pool may have a slot for this account again.
    pub(super) fn slot_freed(&mut self, account: &Arc<str>) {
        self.ready.open(&Some(account.clone()));
        self.ready.open(&None);
    }

    /// What there is to do since the last time.
    pub(super) fn take_work(&mut self) -> BoardWork {
        std::mem::take(&mut self.work)
    }
}

impl BoardEntry {
    fn lane(&self) -> Lane {
        (self.uri.clone(), self.account.clone())
    }
}
