//! How an attempt ends, and how a message ends: by an outcome, a cancellation, or its time.

use std::time::Instant;

use super::attempts::OpenAttempt;
use super::records::{event, record};
use super::{Acceptance, AttemptKey, Board, BoardEntry, Cancel, LocalEnd, Phase, SentBy};
use crate::message::retry::Situation;
use crate::message::{
    Cause, MessageId, Originator, Outcome, Timestamp, Trace, Unknown, What, retry,
};

/// An attempt that ended, as far as the board knows it.
#[derive(Clone, Copy, Debug)]
pub(in crate::dispatch) struct EndedAttempt {
    pub(in crate::dispatch) message: MessageId,
    /// What the message is part of.
    pub(in crate::dispatch) trace: Option<Trace>,
    /// Which one of the message it was, from 1.
    pub(in crate::dispatch) attempt: u32,
    /// When its agent was given it; `None` when that was in another life of the gateway.
    pub(in crate::dispatch) given: Option<Instant>,
}

impl Board {
    /// Removes an attempt, and gives back its slot and its target.
    pub(super) fn end_attempt(&mut self, key: AttemptKey, now: Timestamp) -> Option<OpenAttempt> {
        let attempt = self.attempts.remove(key)?;
        self.free(attempt.slot, &attempt.uri, now);
        Some(attempt)
    }

    /// Whether this message has not ended here.
    pub(in crate::dispatch) fn has(&self, id: MessageId) -> bool {
        self.entries.contains_key(&id)
    }

    /// The store knows the message as ended: another replica saw to it.
    pub(in crate::dispatch) fn superseded(&mut self, key: AttemptKey, now: Timestamp) {
        let Some(id) = self.attempts.get(key).map(|attempt| attempt.message) else {
            return;
        };
        let phase = self.entries.get(&id).map(|entry| entry.phase);
        if let Some(Phase::Sending(_)) = phase {
            self.give_up(id, now);
        } else if let Some(Phase::Starting(_)) = phase {
            self.end_attempt(key, now);
            self.remove(id, now);
        }
    }

    /// The time of a message is over while it is sent. The event names `sent_by`.
    pub(super) fn expire(&mut self, id: MessageId, sent_by: Option<&SentBy>, now: Timestamp) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if let Some(message) = &entry.content
            && entry.acceptance != Acceptance::Refused
        {
            let expired = What::Failed {
                originator: Originator::System,
                cause: Cause::Expires,
                response: None,
                ambiguous: true,
            };
            let what = entry.receipt.map_or(expired, retry::settled_by);
            let event = event(message, entry.attempt, sent_by, what, now);
            self.work.records.push(record(event, None));
        }
        self.give_up(id, now);
    }

    /// Forgets a message that is being sent. Its attempt keeps its slot and its target until the
    /// transaction is over.
    pub(super) fn give_up(&mut self, id: MessageId, now: Timestamp) {
        if let Some(entry) = self.entries.get(&id) {
            self.attempts
                .abandon(entry.key, |attempt| entry.ended(id, attempt.sent));
        }
        self.remove(id, now);
    }

    /// An attempt ended. The event names `sent_by`. `None` for an attempt that is not known, or
    /// was not given to an agent.
    pub(in crate::dispatch) fn ended(
        &mut self,
        key: AttemptKey,
        outcome: Outcome,
        sent_by: Option<&SentBy>,
        now: Timestamp,
        jitter: f64,
    ) -> Option<EndedAttempt> {
        let attempt = self.end_attempt(key, now)?;
        if attempt.abandoned.is_some() {
            return attempt.abandoned;
        }
        let message = attempt.message;
        let entry = self.entries.get_mut(&message)?;
        entry.avoid = Some(attempt.slot.agent);
        match outcome {
            Outcome::Unknown(Unknown::Disconnected) => entry.losses += 1,
            Outcome::Answered(_) | Outcome::Unknown(Unknown::Silent) => entry.losses = 0,
            Outcome::NotWritten | Outcome::TooLarge | Outcome::Unknown(Unknown::Died) => {}
        }
        let ended = entry.ended(message, attempt.sent);
        if entry.acceptance == Acceptance::Refused {
            self.remove(message, now);
        } else {
            self.conclude(message, outcome, sent_by, now, jitter);
        }
        ended.given.map(|_| ended)
    }

    /// Records what follows from an outcome, and moves the message on.
    pub(super) fn conclude(
        &mut self,
        id: MessageId,
        outcome: Outcome,
        sent_by: Option<&SentBy>,
        now: Timestamp,
        jitter: f64,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Some(message) = entry.content.clone() else {
            return;
        };
        let situation = Situation {
            attempt: entry.attempt,
            attempts: entry.attempts,
            on_unknown: entry.on_unknown,
            expires_at: entry.expires_at,
            now,
            receipt: entry.receipt,
            jitter,
        };
        let what = retry::decide(outcome, situation, self.backoff);
        let deferred_to = match &what {
            What::Deferred {
                next_attempt_at, ..
            } => Some(*next_attempt_at),
            What::Sending { .. }
            | What::Succeeded { .. }
            | What::Failed { .. }
            | What::Received(_)
            | What::Receipt { .. }
            | What::AgentUp { .. }
            | What::AgentDown { .. } => None,
        };
        let event = event(&message, entry.attempt, sent_by, what, now);
        self.work.records.push(record(event, deferred_to));
        let Some(time) = deferred_to else {
            return self.remove(id, now);
        };
        entry.not_before = Some(time);
        entry.phase = Phase::Queued;
        self.wait_again(id, now);
    }

    /// Cancels a message that is not being sent.
    pub(in crate::dispatch) fn cancel(&mut self, id: MessageId, now: Timestamp) -> Cancel {
        let Some(entry) = self.entries.get(&id) else {
            return Cancel::Unknown;
        };
        if !entry.phase.waits() {
            return Cancel::TooLate;
        }
        self.end(id, LocalEnd::Canceled, now, 0.0);
        Cancel::Canceled
    }

    /// Ends a message that has no attempt under way; its content is read first when only its name
    /// is here. It keeps its place in the lane until then: as long as its end is not recorded,
    /// an end of the process would have it sent after those that came later.
    pub(super) fn end(&mut self, id: MessageId, end: LocalEnd, now: Timestamp, jitter: f64) {
        self.set_timer(id, None);
        self.leave_ready(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry.phase == Phase::Scheduled {
            self.scheduled -= 1;
        }
        entry.phase = Phase::Ending(end);
        if entry.content.is_some() {
            self.tell_end(id, end, now, jitter);
        } else {
            self.work.loads.push(id);
        }
    }

    pub(super) fn tell_end(&mut self, id: MessageId, end: LocalEnd, now: Timestamp, jitter: f64) {
        let failed = |originator, cause| What::Failed {
            originator,
            cause,
            response: None,
            ambiguous: false,
        };
        let what = match end {
            LocalEnd::Canceled => failed(Originator::Local, Cause::Canceled),
            LocalEnd::Expired => failed(Originator::System, Cause::Expires),
            LocalEnd::NoAgent => failed(Originator::System, Cause::ConnectionError),
            LocalEnd::Settled(receipt) => retry::settled_by(receipt),
            LocalEnd::Died => {
                let ended = self.entries.get(&id).map(|entry| entry.ended(id, None));
                self.work.died.extend(ended);
                let outcome = Outcome::Unknown(Unknown::Died);
                return self.conclude(id, outcome, None, now, jitter);
            }
        };
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let Some(message) = entry.content.clone() else {
            return;
        };
        let event = event(&message, entry.attempt, None, what, now);
        self.work.records.push(record(event, None));
        self.remove(id, now);
    }
}

impl BoardEntry {
    fn ended(&self, message: MessageId, given: Option<Instant>) -> EndedAttempt {
        EndedAttempt {
            message,
            trace: self.content.as_ref().and_then(|content| content.trace),
            attempt: self.attempt,
            given,
        }
    }
}
