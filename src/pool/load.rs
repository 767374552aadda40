//! An agent as the pool knows it: how many requests it may have open, and for whom it has room.

use super::candidates::{Candidate, Room};
use super::probation::Probation;
use crate::agent::AgentIndex;

#[derive(Debug)]
pub(super) struct AgentLoad {
    pub(super) account: usize,
    pub(super) capacity: u32,
    pub(super) in_flight: u32,
    /// How many of them are not urgent.
    pub(super) ordinary: u32,
    /// How many of its slots are kept.
    pub(super) kept: u32,
    pub(super) used: u64,
    pub(super) up: bool,
    pub(super) probation: Probation,
}

impl AgentLoad {
    /// How many requests may be open.
    pub(super) fn slots(&self) -> u32 {
        if self.up {
            self.probation.limit(self.capacity)
        } else {
            0
        }
    }

    pub(super) fn room(&self) -> Room {
        let slots = self.slots();
        // One on probation takes one message, of whichever class.
        let kept = if slots < self.capacity { 0 } else { self.kept };
        if self.in_flight >= slots {
            Room::None
        } else if self.ordinary + kept >= slots {
            Room::Kept
        } else {
            Room::Any
        }
    }

    pub(super) fn candidate(&self, agent: AgentIndex) -> Candidate {
        Candidate {
            in_flight: self.in_flight,
            used: self.used,
            agent,
        }
    }
}
