//! How an attempt ends, and how a message ends: by an outcome, a cancellation, or its time.

use std::time::Instant;

use super::tell::{event, record};
use super::{Acceptance, Attempt, AttemptKey, Board, Cancel, End, Entry, Phase, Teller};
use crate::message::retry::Situation;
use crate::message::{
    Cause, MessageId, Originator, Outcome, Timestamp, Trace, Unknown, What, retry,
};

/// An attempt that ended, as far as the board knows it.
#[derive(Clone, Copy, Debug)]
pub(in crate::dispatch) struct Ended {
    /// Of which message.
    pub(in crate::dispatch) message: MessageId,
    /// What the message is part of.
    pub(in crate::dispatch) trace: Option<Trace>,
    /// Which one of the message it was, from 1.
    pub(in crate::dispatch) attempt: u32,
    /// When its agent was given it; `None` when that was in another life of the gateway.
    pub(in crate::dispatch) given: Option<Instant>,
}

impl Board {
    /// The store knows the message as ended: somebody else saw to it.
    pub(in crate::dispatch) fn superseded(&mut self, key: AttemptKey, now: Timestamp) {
        let Some(attempt) = self.attempts.get(&key) else {
            return;
        };
        let id = attempt.message;
        let phase = self.entries.get(&id).map(|entry| entry.phase);
        match phase {
            Some(Phase::Sending(_)) => self.give_up(id, now),
            Some(Phase::Starting(_)) => {
                if let Some(attempt) = self.attempts.remove(&key) {
                    self.free(attempt.agent, &attempt.uri, now);
                }
                self.leave_lane(id, now);
                self.forget(id);
            }
            Some(
                Phase::Scheduled
                | Phase::Queued
                | Phase::Ready(_)
                | Phase::Loading(_)
                | Phase::Waiting
                | Phase::Ending(_),
            )
            | None => {}
        }
    }

    /// The time of a message is over while it is sent. `teller` is told in the event.
    pub(super) fn expire(&mut self, id: MessageId, teller: Option<&Teller>, now: Timestamp) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if let Some(message) = &entry.content
            && entry.acceptance != Acceptance::Refused
        {
            let what = What::Failed {
                originator: Originator::System,
                cause: Cause::Expires,
                response: None,
                ambiguous: true,
            };
            let event = event(message, entry.attempt, teller, what, now);
            self.work.records.push(record(event, None));
        }
        self.give_up(id, now);
    }

    /// Forgets a message that is being sent. Its attempt keeps its slot and its target until the
    /// transaction is over.
    pub(super) fn give_up(&mut self, id: MessageId, now: Timestamp) {
        if let Some(entry) = self.entries.get(&id)
            && let Some(attempt) = self.attempts.get_mut(&entry.key)
        {
            attempt.given_up = Some(entry.ended(id, attempt.sent));
            self.given_up += 1;
        }
        self.leave_lane(id, now);
        self.forget(id);
    }

    /// An attempt ended. `teller` is told in the event. `None` for an attempt that is not known, or
    /// was not given to an agent.
    pub(in crate::dispatch) fn ended(
        &mut self,
        key: AttemptKey,
        outcome: Outcome,
        teller: Option<&Teller>,
        now: Timestamp,
        jitter: f64,
    ) -> Option<Ended> {
        let attempt = self.attempts.remove(&key)?;
        let Attempt { message, agent, .. } = attempt;
        self.free(agent, &attempt.uri, now);
        if attempt.given_up.is_some() {
            self.given_up -= 1;
            return attempt.given_up;
        }
        let sent = attempt.sent;
        let entry = self.entries.get_mut(&message)?;
        entry.avoid = Some(agent);
        match outcome {
            Outcome::Unknown(Unknown::Disconnected) => entry.losses += 1,
            Outcome::Answered(_) | Outcome::Unknown(Unknown::Silent) => entry.losses = 0,
            Outcome::NotWritten | Outcome::TooLarge | Outcome::Unknown(Unknown::Died) => {}
        }
        let ended = entry.ended(message, sent);
        if entry.acceptance == Acceptance::Refused {
            self.leave_lane(message, now);
            self.forget(message);
        } else {
            self.conclude(message, outcome, teller, now, jitter);
        }
        ended.given.map(|_| ended)
    }

    /// Records what follows from an outcome, and moves the message on.
    pub(super) fn conclude(
        &mut self,
        id: MessageId,
        outcome: Outcome,
        teller: Option<&Teller>,
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
            jitter,
        };
        let what = retry::decide(outcome, situation, self.backoff);
        let deferred_to = match &what {
            What::Deferred {
                next_attempt_at, ..
            } => Some(*next_attempt_at),
            What::Sending { .. } | What::Succeeded { .. } | What::Failed { .. } => None,
        };
        let event = event(&message, entry.attempt, teller, what, now);
        self.work.records.push(record(event, deferred_to));
        match deferred_to {
            Some(time) => {
                entry.not_before = Some(time);
                entry.phase = Phase::Queued;
                let (lane, expires_at) = (entry.lane(), entry.expires_at);
                let is_head = self
                    .lanes
                    .get(&lane)
                    .is_some_and(|lane| lane.front() == Some(&id));
                if is_head {
                    self.become_head(id, now);
                } else {
                    self.set_timer(id, Some(expires_at));
                }
            }
            None => {
                self.leave_lane(id, now);
                self.forget(id);
            }
        }
    }

    /// Cancels a message that is not being sent.
    pub(in crate::dispatch) fn cancel(&mut self, id: MessageId, now: Timestamp) -> Cancel {
        let Some(entry) = self.entries.get(&id) else {
            return Cancel::Unknown;
        };
        match entry.phase {
            Phase::Scheduled | Phase::Queued | Phase::Ready(_) | Phase::Waiting => {
                self.end(id, End::Canceled, now, 0.0);
                Cancel::Canceled
            }
            Phase::Loading(_) | Phase::Starting(_) | Phase::Sending(_) => Cancel::TooLate,
            Phase::Ending(_) => Cancel::TooLate,
        }
    }

    /// Ends a message that has no attempt under way; its content is read first when only its name
    /// is here. It keeps its place in the lane until then: as long as nothing is told of its end,
    /// an end of the process would have it sent after those that came later.
    pub(super) fn end(&mut self, id: MessageId, end: End, now: Timestamp, jitter: f64) {
        self.set_timer(id, None);
        self.leave_ready(id);
        self.leave_schedule(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.phase = Phase::Ending(end);
        if entry.content.is_some() {
            self.tell_end(id, end, now, jitter);
        } else {
            self.work.loads.push(id);
        }
    }

    pub(super) fn tell_end(&mut self, id: MessageId, end: End, now: Timestamp, jitter: f64) {
        let (originator, cause) = match end {
            End::Canceled => (Originator::Local, Cause::Canceled),
            End::Expired => (Originator::System, Cause::Expires),
            End::NobodyRegistered => (Originator::System, Cause::ConnectionError),
            End::Died => {
                let ended = self.entries.get(&id).map(|entry| entry.ended(id, None));
                self.work.died.extend(ended);
                let outcome = Outcome::Unknown(crate::message::Unknown::Died);
                return self.conclude(id, outcome, None, now, jitter);
            }
        };
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let Some(message) = entry.content.clone() else {
            return;
        };
        let what = What::Failed {
            originator,
            cause,
            response: None,
            ambiguous: false,
        };
        let event = event(&message, entry.attempt, None, what, now);
        self.work.records.push(record(event, None));
        self.leave_lane(id, now);
        self.forget(id);
    }
}

impl Entry {
    fn ended(&self, message: MessageId, given: Option<Instant>) -> Ended {
        Ended {
            message,
            trace: self.content.as_ref().and_then(|content| content.trace),
            attempt: self.attempt,
            given,
        }
    }
}
