//! What an account may send: its agents, and its rate with the part of it that is kept.

use std::time::{Duration, Instant};

use super::candidates::Candidates;
use crate::agent::AgentIndex;
use crate::clock::Rate;

#[derive(Debug, Default)]
pub(super) struct AccountLoad {
    /// Its agents with room.
    pub(super) free: Candidates,
    /// Its agents, and how many of them are registered.
    pub(super) agents: Vec<AgentIndex>,
    pub(super) up: usize,
    pub(super) rate: Option<AccountRate>,
}

/// A rate in two parts, so that urgent messages find their own part unused, however much of the
/// other is used up.
#[derive(Debug)]
pub(super) struct AccountRate {
    shared: Rate,
    /// Only for urgent messages.
    kept: Option<Rate>,
}

/// How far the messages sent may run ahead of the clock: a tenth of a second's worth, so that a
/// rate of thousands a second is not held back by timers of a millisecond.
const BURST: Duration = Duration::from_millis(100);

impl AccountLoad {
    /// Sets how many messages a second it may send, `None` for any number. What was sent already
    /// counts against it.
    pub(super) fn set_rate(&mut self, per_second: Option<f64>, reserved: f64) {
        match (&mut self.rate, per_second) {
            (Some(rate), Some(per_second)) => rate.set(per_second, reserved),
            (rate, per_second) => {
                *rate = per_second.map(|per_second| AccountRate::new(per_second, reserved));
            }
        }
    }

    pub(super) fn limited_until(&self, is_urgent: bool, now: Instant) -> Option<Instant> {
        self.rate.as_ref()?.limited_until(is_urgent, now)
    }
}

impl AccountRate {
    fn new(per_second: f64, reserved: f64) -> Self {
        let kept = share(per_second, reserved);
        Self {
            shared: Rate::new(per_second - kept, BURST),
            kept: (kept > 0.0).then(|| Rate::new(kept, BURST)),
        }
    }

    fn set(&mut self, per_second: f64, reserved: f64) {
        let kept = share(per_second, reserved);
        self.shared.set(per_second - kept);
        match &mut self.kept {
            Some(rate) if kept > 0.0 => rate.set(kept),
            rate => *rate = (kept > 0.0).then(|| Rate::new(kept, BURST)),
        }
    }

    /// `None` when a message may be sent now, else when one may.
    fn limited_until(&self, is_urgent: bool, now: Instant) -> Option<Instant> {
        let shared = self.shared.limited_until(now)?;
        match &self.kept {
            Some(kept) if is_urgent => Some(kept.limited_until(now)?.min(shared)),
            Some(_) | None => Some(shared),
        }
    }

    /// A message is sent. Urgent ones use their own part first.
    pub(super) fn count(&mut self, is_urgent: bool, now: Instant) {
        match &mut self.kept {
            Some(kept) if is_urgent && kept.limited_until(now).is_none() => kept.count(1, now),
            Some(_) | None => self.shared.count(1, now),
        }
    }
}

/// The kept part of so many slots, or of so many messages a second: a whole number.
pub(super) fn share(of: f64, reserved: f64) -> f64 {
    // A tenth of ten is one, although a tenth is no finite binary number.
    const ROUNDING: f64 = 1e-9;
    (of * reserved + ROUNDING).floor()
}
