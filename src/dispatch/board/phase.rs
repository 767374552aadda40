//! Where a message is on the board: the table of [`super`].

use super::ready::ReadyPlace;
use crate::agent::AgentIndex;
use crate::message::EventId;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Scheduled,
    Queued,
    Ready(ReadyPlace),
    Loading(AgentIndex),
    Starting(AgentIndex),
    Sending(AgentIndex),
    Waiting,
    Ending(LocalEnd),
}

/// An end that no attempt brought about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LocalEnd {
    Canceled,
    Expired,
    NoAgent,
    Died,
    /// By this receipt.
    Settled(EventId),
}

impl Phase {
    /// The agent whose slot the message has.
    pub(super) fn agent(self) -> Option<AgentIndex> {
        match self {
            Self::Loading(agent) | Self::Starting(agent) | Self::Sending(agent) => Some(agent),
            Self::Scheduled | Self::Queued | Self::Ready(_) | Self::Waiting | Self::Ending(_) => {
                None
            }
        }
    }

    pub(super) fn has_slot(self) -> bool {
        self.agent().is_some()
    }

    /// Whether nothing is under way: no attempt, and no end.
    pub(super) fn waits(self) -> bool {
        match self {
            Self::Scheduled | Self::Queued | Self::Ready(_) | Self::Waiting => true,
            Self::Loading(_) | Self::Starting(_) | Self::Sending(_) | Self::Ending(_) => false,
        }
    }
}
