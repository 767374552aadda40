//! What a replica may do beside the others: the machine behind its lease.
//!
//! | phase    | the replica                                   | ends when                             |
//! |----------|-----------------------------------------------|---------------------------------------|
//! | joining  | takes nothing in and claims nothing           | every replica that was there knows of |
//! |          |                                               | it, or has a lease that is over       |
//! | together | sends a request when its record is durable    | a renewal finds no other replica, and |
//! |          |                                               | no open message is another's          |
//! | alone    | may send a request before its record is there | a renewal finds another replica, or   |
//! |          |                                               | is answered when the lease is over    |
//!
//! A replica lets a newcomer know that it *knows* of it by a renewal, which writes the highest
//! number that it knows of into its row. It takes two of them: the first one finds the newcomer and
//! ends [`Phase::Alone`]; the second one begins after that was done, and after all that was sent
//! early is settled: durable, or refused and no longer in flight. So the old replica has stopped
//! before the new one begins. One that stands still renews nothing, and the newcomer waits for the
//! end of its lease, which the old one notices first by its own clock.
//!
//! Numbers are given under a lock, so a newcomer has a higher one than all that it finds. No time
//! and no randomness of its own; `simulation` runs whole fleets of it.

#[cfg(test)]
mod simulation;

use std::time::{Duration, Instant};

/// A replica among others, as it knows itself.
#[derive(Debug)]
pub(super) struct Membership {
    number: i64,
    length: Duration,
    phase: Phase,
    valid_until: Instant,
    /// Since when it was never late with renewing its lease.
    steady_since: Instant,
    /// Another replica was there at the last renewal.
    has_others: bool,
    /// The highest number that a renewal found, and the highest that one has written.
    newest: i64,
    told: i64,
    /// Something that was sent early is not settled.
    is_unsettled: bool,
    /// How often it could not have been alone: an answer to a question from before counts for
    /// nothing.
    era: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Joining,
    Together,
    Alone,
}

/// A renewal on its way to the database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewal {
    pub(super) number: i64,
    /// Every replica up to this number is known to the one that renews, and may begin.
    pub(super) knows: i64,
    before: Instant,
}

/// What a renewal finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundReplicas {
    /// The highest number of all replicas.
    pub(super) newest: i64,
    /// Another one is not fenced, whether its lease is over or not.
    pub(super) has_others: bool,
}

/// The question whether open messages are another replica's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inquiry {
    number: i64,
    era: u64,
}

impl Inquiry {
    /// The replica whose they should be.
    pub(super) fn number(self) -> i64 {
        self.number
    }
}

impl Membership {
    /// A replica that has just got this number, for which it asked at `before`.
    pub(super) fn joining(number: i64, length: Duration, before: Instant) -> Self {
        Self {
            number,
            length,
            phase: Phase::Joining,
            valid_until: before + length,
            steady_since: before,
            has_others: true,
            newest: number,
            told: 0,
            is_unsettled: false,
            era: 0,
        }
    }

    /// Begins anew under another number: others have taken over what it held.
    pub(super) fn rejoin(&mut self, number: i64, before: Instant) {
        let is_unsettled = self.is_unsettled;
        *self = Self {
            is_unsettled,
            ..Self::joining(number, self.length, before)
        };
    }

    /// The number that this replica writes under.
    pub(super) fn number(&self) -> i64 {
        self.number
    }

    /// Whether the lease holds, by a clock that is never later than the others'.
    pub(super) fn is_valid(&self, now: Instant) -> bool {
        now < self.valid_until
    }

    /// Whether this replica has renewed its lease in time for as long as a lease lasts. When the
    /// database was away every replica is late, and none is dead because of it.
    pub(super) fn is_steady(&self, now: Instant) -> bool {
        self.is_valid(now) && now.saturating_duration_since(self.steady_since) >= self.length
    }

    /// Whether it may take messages in.
    pub(super) fn has_joined(&self) -> bool {
        self.phase != Phase::Joining
    }

    /// Whether another replica was there at the last renewal.
    pub(super) fn has_others(&self) -> bool {
        self.has_others
    }

    /// What the next renewal writes.
    pub(super) fn renewal(&self, now: Instant) -> Renewal {
        let has_stopped = self.phase != Phase::Alone && !self.is_unsettled;
        Renewal {
            number: self.number,
            knows: if has_stopped { self.newest } else { self.told },
            before: now,
        }
    }

    /// Whether another renewal would tell a newcomer what it waits for.
    pub(super) fn has_news(&self, now: Instant) -> bool {
        self.renewal(now).knows > self.told
    }

    /// A renewal went through, and its answer is here.
    pub(super) fn renewed(&mut self, renewal: Renewal, found: FoundReplicas, now: Instant) {
        if renewal.number != self.number {
            return;
        }
        let was_over = !self.is_valid(now);
        if self.valid_until < renewal.before {
            self.steady_since = renewal.before;
        }
        self.valid_until = self.valid_until.max(renewal.before + self.length);
        self.newest = self.newest.max(found.newest);
        self.told = self.told.max(renewal.knows);
        self.has_others = found.has_others;
        // In a lease that was over others may have come, worked and gone.
        if was_over || found.has_others {
            self.era += 1;
            if self.phase == Phase::Alone {
                self.phase = Phase::Together;
            }
        }
    }

    /// The database says that no replica has to be waited for by the one with this number.
    pub(super) fn joined(&mut self, number: i64) {
        if number == self.number && self.phase == Phase::Joining {
            self.phase = Phase::Together;
        }
    }

    /// Asks whether open messages are another replica's, when this one may be alone.
    pub(super) fn inquiry(&self, now: Instant) -> Option<Inquiry> {
        let may_be = self.phase == Phase::Together && !self.has_others && self.is_valid(now);
        may_be.then_some(Inquiry {
            number: self.number,
            era: self.era,
        })
    }

    /// No open message is another replica's, the database says.
    pub(super) fn owns_all(&mut self, inquiry: Inquiry, now: Instant) {
        let is_of_now = inquiry.number == self.number && inquiry.era == self.era;
        if is_of_now && self.inquiry(now).is_some() {
            self.phase = Phase::Alone;
        }
    }

    /// Whether a request could be sent now before its record is durable.
    pub(super) fn is_alone(&self, now: Instant) -> bool {
        self.phase == Phase::Alone && self.is_valid(now)
    }

    /// While it is alone, the highest number that it knows of; every other one up to it is fenced.
    pub(super) fn alone_up_to(&self, now: Instant) -> Option<i64> {
        self.is_alone(now).then_some(self.newest)
    }

    /// The same; when it can, no other replica begins until [`Self::settled`].
    pub(super) fn send_early(&mut self, now: Instant) -> bool {
        let may = self.is_alone(now);
        self.is_unsettled |= may;
        may
    }

    /// All that was sent early is durable, or refused and no longer in flight.
    pub(super) fn settled(&mut self) {
        self.is_unsettled = false;
    }
}
