//! When a message moves on: in its lane, among the heads that are ready, on a timer.

use std::time::Instant;

use super::super::quota::QuotaPermit;
use super::lanes::{LaneMessage, Pushed};
use super::{Board, BoardEntry, LocalEnd, Phase, SentBy};
use crate::agent::AgentIndex;
use crate::message::{MessageId, Timestamp};
use crate::pool::{Pool, Slot};

/// Timers taken at once. A commit of more records would hold up requests that come meanwhile.
const DUE: usize = 500;

impl Board {
    /// The earliest time at which a message wants something of [`Board::handle_timeout`]. It is on
    /// the wall, because the times of messages are kept over restarts, and shown to clients.
    pub(in crate::dispatch) fn deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// The same for times that end with the process: an account's rate, and a young attempt.
    pub(in crate::dispatch) fn steady_deadline(&self) -> Option<Instant> {
        let deadlines = [self.attempts.deadline(), self.ready.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Lets time pass until `now`, which the other clock calls `steady`. Where much is due at once
    /// a part of it is left to the next call, and [`Board::deadline`] is in the past.
    pub(in crate::dispatch) fn handle_timeout(
        &mut self,
        pool: &Pool,
        senders: impl Fn(AgentIndex) -> Option<SentBy>,
        now: Timestamp,
        steady: Instant,
        jitter: f64,
    ) {
        (self.now, self.steady) = (now, steady);
        self.ready.open_due(steady);
        while let Some((key, id)) = self.attempts.pop_old(steady) {
            if let Some(entry) = self.entries.get(&id)
                && entry.key == key
            {
                self.set_timer(id, Some(entry.expires_at));
            }
        }
        for _ in 0..DUE {
            let Some(id) = self.pop_due(now) else {
                break;
            };
            let Some(entry) = self.entries.get(&id) else {
                continue;
            };
            let is_over = entry.expires_at <= now;
            match entry.phase {
                // Whether it is written is decided when its record is durable, see `lapsed`.
                Phase::Starting(_) => {}
                Phase::Sending(agent) if is_over => self.expire(id, senders(agent).as_ref(), now),
                Phase::Scheduled
                | Phase::Queued
                | Phase::Ready(_)
                | Phase::Loading(_)
                | Phase::Waiting
                | Phase::Ending(_)
                    if is_over =>
                {
                    let end = if pool.is_up(entry.account.as_ref()) {
                        LocalEnd::Expired
                    } else {
                        LocalEnd::NoAgent
                    };
                    self.end(id, end, now, jitter);
                }
                Phase::Scheduled => {
                    self.scheduled -= 1;
                    self.enqueue(id, now);
                }
                Phase::Waiting => self.become_head(id, now),
                Phase::Queued
                | Phase::Ready(_)
                | Phase::Loading(_)
                | Phase::Sending(_)
                | Phase::Ending(_) => {}
            }
        }
    }

    /// Ends the earliest timer that is due; the message that it is of.
    fn pop_due(&mut self, now: Timestamp) -> Option<MessageId> {
        let (_, id) = *self.timers.first().filter(|(time, _)| *time <= now)?;
        self.set_timer(id, None);
        Some(id)
    }

    /// Puts a message at the end of its lane.
    pub(super) fn enqueue(&mut self, id: MessageId, now: Timestamp) {
        self.begin_to_wait(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let (class, since) = (entry.class, entry.since);
        match self
            .lanes
            .push(entry.lane(), LaneMessage { id, class, since })
        {
            Pushed::Head => self.become_head(id, now),
            Pushed::Behind => self.wait_behind(id),
            Pushed::Outranks(head) => {
                self.wait_behind(id);
                let waits = |entry: &BoardEntry| entry.phase.waits();
                if self.entries.get(&head).is_some_and(waits) {
                    self.leave_ready(head);
                    self.step_back(head, now);
                }
            }
        }
    }

    /// A message waits behind the head of its lane.
    fn wait_behind(&mut self, id: MessageId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.phase = Phase::Queued;
            let expires_at = entry.expires_at;
            self.set_timer(id, Some(expires_at));
        }
    }

    /// A head that is not in flight lets one of a higher rank go before it; whether there is one.
    fn step_back(&mut self, head: MessageId, now: Timestamp) -> bool {
        let lane = self.entries.get(&head).map(BoardEntry::lane);
        let Some(next) = lane.and_then(|lane| self.lanes.overtake(&lane)) else {
            return false;
        };
        self.wait_behind(head);
        self.set_timer(next, None);
        self.become_head(next, now);
        true
    }

    /// A message waits again that had a slot: behind one that came meanwhile and goes before it,
    /// else where it was.
    pub(super) fn wait_again(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if !self.lanes.is_head(&entry.lane(), id) {
            self.wait_behind(id);
        } else if !self.step_back(id, now) {
            self.become_head(id, now);
        }
    }

    pub(super) fn become_head(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        // Found in flight after a restart, behind one that was accepted before it and scheduled:
        // whether it is sent again is decided first, and it becomes the head then.
        if let Phase::Ending(_) = entry.phase {
            return;
        }
        match entry.not_before {
            Some(time) if time > now => {
                entry.phase = Phase::Waiting;
                let until = time.min(entry.expires_at);
                self.set_timer(id, Some(until));
            }
            _ if !self.lanes.is_busy(&entry.uri) => {
                let holder = self.permits.get(&id).map(QuotaPermit::holder);
                let group = entry.account.clone();
                let place = self.ready.push(entry.class, group, holder, id, entry.since);
                entry.phase = Phase::Ready(place);
                self.untimed.push(id);
            }
            _ => drop(self.wait_for_target(id)),
        }
    }

    /// Lets a head wait as long as its target has a request in flight; `false` when it has none.
    pub(super) fn wait_for_target(&mut self, id: MessageId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        if !self.lanes.wait_for_target(&entry.uri, id) {
            return false;
        }
        entry.phase = Phase::Queued;
        let expires_at = entry.expires_at;
        self.set_timer(id, Some(expires_at));
        true
    }

    /// Gives back what an attempt had: its slot, and its target to the heads that wait for it.
    pub(super) fn free(&mut self, slot: Slot, uri: &str, now: Timestamp) {
        self.work.released.push(slot);
        for id in self.lanes.free_target(uri) {
            // Those that have ended, or are about to, are not queued any more.
            let phase = self.entries.get(&id).map(|entry| entry.phase);
            if phase == Some(Phase::Queued) {
                self.become_head(id, now);
            }
        }
    }

    /// Takes a message out of its lane; the next becomes the head if it was.
    pub(super) fn leave_lane(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if let Some(next) = self.lanes.remove(&entry.lane(), id, entry.class) {
            self.set_timer(next, None);
            self.become_head(next, now);
        }
    }

    pub(super) fn leave_ready(&mut self, id: MessageId) {
        if let Some(entry) = self.entries.get(&id)
            && let Phase::Ready(place) = entry.phase
        {
            self.ready.remove(entry.class, &entry.account, place);
        }
    }

    /// A message has at most one timer.
    pub(super) fn set_timer(&mut self, id: MessageId, time: Option<Timestamp>) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if let Some(before) = entry.timer.take() {
            self.timers.remove(&(before, id));
        }
        if let Some(time) = time {
            entry.timer = Some(time);
            self.timers.insert((time, id));
        }
    }
}
