//! Agents with room, in the order in which they are chosen.

use std::collections::BTreeSet;

use crate::agent::AgentIndex;

/// An agent as the order of choice sees it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Candidate {
    pub(super) in_flight: u32,
    pub(super) used: u64,
    pub(super) agent: AgentIndex,
}

/// Whom an agent has room for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Room {
    None,
    /// Only for urgent messages.
    Kept,
    Any,
}

/// The idlest first. An agent is in one of the two sets at most.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    any: BTreeSet<Candidate>,
    kept: BTreeSet<Candidate>,
}

impl Room {
    pub(super) fn takes(self, is_urgent: bool) -> bool {
        match self {
            Self::None => false,
            Self::Kept => is_urgent,
            Self::Any => true,
        }
    }
}

impl Candidates {
    pub(super) fn insert(&mut self, room: Room, candidate: Candidate) {
        if let Some(set) = self.set(room) {
            set.insert(candidate);
        }
    }

    pub(super) fn remove(&mut self, room: Room, candidate: Candidate) {
        if let Some(set) = self.set(room) {
            set.remove(&candidate);
        }
    }

    /// Those with room for a message. Kept slots are used last.
    pub(super) fn iter(&self, is_urgent: bool) -> impl Iterator<Item = &Candidate> {
        let kept = is_urgent.then(|| self.kept.iter());
        self.any.iter().chain(kept.into_iter().flatten())
    }

    fn set(&mut self, room: Room) -> Option<&mut BTreeSet<Candidate>> {
        match room {
            Room::None => None,
            Room::Kept => Some(&mut self.kept),
            Room::Any => Some(&mut self.any),
        }
    }
}
