//! What the passing of time does: a message is due, or its time is over.

use std::time::Instant;

use super::{Board, End, FRESH, Phase, Teller};
use crate::agent::AgentIndex;
use crate::message::Timestamp;
use crate::pool::Pool;

impl Board {
    /// The earliest time at which a message wants something of [`Board::handle_timeout`]. It is on
    /// the wall, because the times of messages are kept over restarts, and told to clients.
    pub(in crate::dispatch) fn deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// The same for what does not outlive the process: an account's rate, and a young attempt.
    pub(in crate::dispatch) fn steady_deadline(&self) -> Option<Instant> {
        let fresh = self.fresh.front().map(|(begun, _)| *begun + FRESH);
        match (fresh, self.ready.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Lets time pass until `now`, which the other clock calls `steady`.
    pub(in crate::dispatch) fn handle_timeout(
        &mut self,
        pool: &Pool,
        tellers: impl Fn(AgentIndex) -> Option<Teller>,
        now: Timestamp,
        steady: Instant,
        jitter: f64,
    ) {
        (self.now, self.steady) = (now, steady);
        self.ready.open_due(steady);
        self.time_attempts();
        while let Some(&(time, id)) = self.timers.first() {
            if time > now {
                break;
            }
            self.set_timer(id, None);
            let Some(entry) = self.entries.get(&id) else {
                continue;
            };
            if entry.expires_at <= now {
                match entry.phase {
                    // Whether it is written is decided when that is durable, see `lapsed`.
                    Phase::Starting(_) => continue,
                    Phase::Sending(agent) => {
                        self.expire(id, tellers(agent).as_ref(), now);
                        continue;
                    }
                    Phase::Scheduled
                    | Phase::Queued
                    | Phase::Ready(_)
                    | Phase::Loading(_)
                    | Phase::Waiting
                    | Phase::Ending(_) => {}
                }
                let end = if pool.is_up(entry.account.as_ref()) {
                    End::Expired
                } else {
                    End::NobodyRegistered
                };
                self.end(id, end, now, jitter);
                continue;
            }
            match entry.phase {
                Phase::Scheduled => {
                    self.scheduled -= 1;
                    self.enqueue(id, now);
                }
                Phase::Waiting => self.become_head(id, now),
                Phase::Queued
                | Phase::Ready(_)
                | Phase::Loading(_)
                | Phase::Starting(_)
                | Phase::Sending(_)
                | Phase::Ending(_) => {}
            }
        }
    }

    /// Gives timers to attempts that are no longer young.
    fn time_attempts(&mut self) {
        while let Some(&(begun, key)) = self.fresh.front() {
            let attempt = self.attempts.get(&key);
            if attempt.is_some() && begun + FRESH > self.steady {
                break;
            }
            self.fresh.pop_front();
            let id = attempt.map(|attempt| attempt.message);
            if let Some(id) = id
                && let Some(entry) = self.entries.get(&id)
                && entry.key == key
            {
                let expires_at = entry.expires_at;
                self.set_timer(id, Some(expires_at));
            }
        }
    }
}
