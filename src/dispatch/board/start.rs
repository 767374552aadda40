//! How an attempt begins: a slot, the content, the record of `sending`.

use std::sync::Arc;
use std::time::Instant;

use super::attempts::YOUNG;
use super::ready::NextHead;
use super::{Acceptance, AttemptKey, Board, BoardEntry, LocalEnd, Phase};
use crate::agent::AgentIndex;
use crate::message::{Message, MessageId, OnUnknown, Timestamp};
use crate::pool::{Busy, Pool, Slot};

/// After so many losses of a connection in a row a message is sent alone: it may be what its server
/// closes the connection for.
const MAX_LOSSES: u32 = 2;

/// An attempt that may begin: to be recorded, and to be handed to its agent.
#[derive(Debug)]
pub(in crate::dispatch) struct NewAttempt {
    pub(in crate::dispatch) key: AttemptKey,
    pub(in crate::dispatch) agent: AgentIndex,
    pub(in crate::dispatch) attempt: u32,
    /// Its request may be written before its record is durable: should the process end in between,
    /// the message may be sent again.
    pub(in crate::dispatch) may_precede_record: bool,
    /// Nothing else may be in flight on its connection.
    pub(in crate::dispatch) alone: bool,
    pub(in crate::dispatch) message: Arc<Message>,
    /// Since when the message could have been sent.
    pub(in crate::dispatch) since: Timestamp,
}

impl Board {
    /// Starts whatever can start now.
    pub(in crate::dispatch) fn pump(
        &mut self,
        pool: &mut Pool,
        steady: Instant,
    ) -> Vec<NewAttempt> {
        let mut starts = Vec::new();
        pool.begin_turn();
        while let Some(next) = self.next_head() {
            #[cfg(test)]
            {
                self.looked_at += 1;
            }
            let id = next.id;
            if self.wait_for_target(id) {
                self.ready.pop(&next);
                continue;
            }
            let entry = self.entries.get(&id);
            let avoid = entry.and_then(|entry| entry.avoid);
            let alone = entry.is_some_and(BoardEntry::goes_alone);
            if alone {
                // The idlest agent, and not the one that was chosen last.
                pool.begin_turn();
            }
            match pool.take(next.group.as_ref(), next.class, avoid, steady) {
                Ok(slot) => {
                    self.ready.pop(&next);
                    if alone {
                        pool.isolate(slot.agent);
                    }
                    self.give_slot(id, slot, &mut starts);
                }
                Err(Busy::Limited(until)) => self.ready.close(next, Some(until)),
                Err(Busy::Full | Busy::NoAgent) => self.ready.close(next, None),
            }
        }
        for id in std::mem::take(&mut self.untimed) {
            if let Some(entry) = self.entries.get(&id)
                && let (Phase::Ready(_), None) = (entry.phase, entry.timer)
            {
                self.set_timer(id, Some(entry.expires_at));
            }
        }
        starts
    }

    /// The head that is to begin next.
    fn next_head(&self) -> Option<NextHead> {
        let since = |id| self.entries.get(&id).map_or(self.now, |entry| entry.since);
        self.ready.first(since)
    }

    pub(super) fn give_slot(&mut self, id: MessageId, slot: Slot, starts: &mut Vec<NewAttempt>) {
        self.set_timer(id, None);
        let Some(entry) = self.entries.get_mut(&id) else {
            self.work.released.push(slot);
            return;
        };
        let agent = slot.agent;
        self.lanes.take_target(entry.uri.clone());
        match entry.content.clone() {
            Some(message) => self.start(id, agent, message, starts),
            None => {
                entry.phase = Phase::Loading(agent);
                self.work.loads.push(id);
            }
        }
    }

    pub(super) fn start(
        &mut self,
        id: MessageId,
        agent: AgentIndex,
        message: Arc<Message>,
        starts: &mut Vec<NewAttempt>,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.phase = Phase::Starting(agent);
        entry.attempt += 1;
        let made_at = id.made_at();
        let since = entry.not_before.take().unwrap_or(made_at).max(made_at);
        let slot = Slot::of(agent, entry.class);
        let key = self.attempts.begin(id, entry.uri.clone(), slot);
        entry.key = key;
        starts.push(NewAttempt {
            key,
            agent,
            attempt: entry.attempt,
            may_precede_record: match (entry.on_unknown, entry.acceptance) {
                (OnUnknown::Resend, Acceptance::Offered | Acceptance::Accepted) => true,
                (OnUnknown::Resend, Acceptance::Asked | Acceptance::Refused) => false,
                (OnUnknown::Fail, _) => false,
            },
            alone: entry.goes_alone(),
            message,
            since,
        });
        let expires_at = entry.expires_at;
        if expires_at.since(self.now) < YOUNG {
            self.set_timer(id, Some(expires_at));
        } else {
            self.attempts.push_young(self.steady, key);
        }
    }

    /// An attempt that may begin does not: its agent is gone. The message waits for another.
    pub(in crate::dispatch) fn unstarted(&mut self, key: AttemptKey, now: Timestamp) {
        let Some(attempt) = self.end_attempt(key, now) else {
            return;
        };
        let id = attempt.message;
        if let Some(entry) = self.entries.get_mut(&id)
            && let Phase::Starting(_) = entry.phase
        {
            entry.attempt -= 1;
            self.wait_again(id, now);
        }
    }

    /// Ends a message whose time was over before its request could be written; whether it was.
    pub(in crate::dispatch) fn lapsed(&mut self, key: AttemptKey, now: Timestamp) -> bool {
        let Some(id) = self.attempts.get(key).map(|attempt| attempt.message) else {
            return false;
        };
        let is_over = |entry: &BoardEntry| {
            entry.expires_at <= now && matches!(entry.phase, Phase::Starting(_))
        };
        if !self.entries.get(&id).is_some_and(is_over) {
            return false;
        }
        self.end_attempt(key, now);
        self.end(id, LocalEnd::Expired, now, 0.0);
        true
    }

    /// Takes contents that were asked for; `None` for a message that is gone from the store. Unless
    /// attempts `may_begin`, a message that was to be sent waits for its turn again.
    pub(in crate::dispatch) fn loaded(
        &mut self,
        id: MessageId,
        message: Option<Arc<Message>>,
        may_begin: bool,
        now: Timestamp,
        jitter: f64,
    ) -> Vec<NewAttempt> {
        let mut starts = Vec::new();
        let Some(entry) = self.entries.get_mut(&id) else {
            return starts;
        };
        let (phase, uri, expires_at) = (entry.phase, entry.uri.clone(), entry.expires_at);
        let class = entry.class;
        let slot = |agent| Slot::of(agent, class);
        let Some(message) = message else {
            if let Phase::Loading(agent) = phase {
                self.free(slot(agent), &uri, now);
            }
            self.remove(id, now);
            return starts;
        };
        if entry.content.is_none() {
            self.held_bytes += message.weight();
            entry.content = Some(message.clone());
        }
        let is_over = expires_at <= now;
        match phase {
            Phase::Loading(agent) if may_begin && !is_over => {
                self.start(id, agent, message, &mut starts);
            }
            Phase::Loading(agent) => {
                self.free(slot(agent), &uri, now);
                if is_over {
                    self.end(id, LocalEnd::Expired, now, jitter);
                } else {
                    self.wait_again(id, now);
                }
            }
            Phase::Ending(end) => self.tell_end(id, end, now, jitter),
            Phase::Scheduled
            | Phase::Queued
            | Phase::Ready(_)
            | Phase::Starting(_)
            | Phase::Sending(_)
            | Phase::Waiting => {}
        }
        starts
    }

    /// The target of an attempt that has not ended.
    pub(in crate::dispatch) fn target_of(&self, key: AttemptKey) -> Option<Arc<str>> {
        self.attempts.get(key).map(|attempt| attempt.uri.clone())
    }

    /// The request is on its way since `at`.
    pub(in crate::dispatch) fn sending(&mut self, key: AttemptKey, at: Instant) {
        if let Some(id) = self.attempts.sent(key, at)
            && let Some(entry) = self.entries.get_mut(&id)
            && let Phase::Starting(agent) = entry.phase
        {
            entry.phase = Phase::Sending(agent);
        }
    }
}

impl BoardEntry {
    fn goes_alone(&self) -> bool {
        self.losses >= MAX_LOSSES
    }
}
