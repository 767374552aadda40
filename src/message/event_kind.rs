//! The types of events, and sets of them.

use super::status::Status;

/// The type of an event.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EventKind {
    /// See [`super::What::Sending`].
    Sending,
    /// See [`super::What::Deferred`].
    Deferred,
    /// See [`super::What::Succeeded`].
    Succeeded,
    /// See [`super::What::Failed`].
    Failed,
    /// See [`super::What::Received`].
    Received,
    /// See [`super::Disposition::Delivered`].
    Delivered,
    /// See [`super::Disposition::Displayed`].
    Displayed,
    /// See [`super::Disposition::Undelivered`].
    Undelivered,
    /// See [`super::What::AgentUp`].
    AgentUp,
    /// See [`super::What::AgentDown`].
    AgentDown,
}

impl EventKind {
    /// Every type.
    pub const ALL: [Self; 10] = [
        Self::Sending,
        Self::Deferred,
        Self::Succeeded,
        Self::Failed,
        Self::Received,
        Self::Delivered,
        Self::Displayed,
        Self::Undelivered,
        Self::AgentUp,
        Self::AgentDown,
    ];

    /// Every type, as errors name them.
    pub const WORDS: &str = "sending, deferred, succeeded, failed, received, delivered, \
        displayed, undelivered, agentUp or agentDown";

    /// The word the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Deferred => "deferred",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Received => "received",
            Self::Delivered => "delivered",
            Self::Displayed => "displayed",
            Self::Undelivered => "undelivered",
            Self::AgentUp => "agentUp",
            Self::AgentDown => "agentDown",
        }
    }

    /// The type of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The status of a message after this event; `None` where the event changes none.
    pub fn status(self) -> Option<Status> {
        match self {
            Self::Sending => Some(Status::Sending),
            Self::Deferred => Some(Status::Queued),
            Self::Succeeded => Some(Status::Succeeded),
            Self::Failed => Some(Status::Failed),
            Self::Received | Self::Delivered | Self::Displayed | Self::Undelivered => None,
            Self::AgentUp | Self::AgentDown => None,
        }
    }

    /// Whether it is about agents: given only to readers that name it.
    pub fn is_of_agent(self) -> bool {
        match self {
            Self::AgentUp | Self::AgentDown => true,
            Self::Sending | Self::Deferred | Self::Succeeded | Self::Failed => false,
            Self::Received | Self::Delivered | Self::Displayed | Self::Undelivered => false,
        }
    }

    /// Whether the message has ended; nothing but receipts follows.
    pub fn is_terminal(self) -> bool {
        self.status().is_some_and(Status::is_final)
    }
}

/// A set of types: to look whether a type is in it costs the same however it was written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EventKinds(u16);

impl EventKinds {
    /// The types for a reader that names none.
    pub fn of_messages() -> Self {
        let all = EventKind::ALL.into_iter();
        all.filter(|kind| !kind.is_of_agent()).collect()
    }

    /// Whether every type of these is in it.
    pub fn contains_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether no type is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this type is in it.
    pub fn contains(self, kind: EventKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// Every type in it.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        let all = EventKind::ALL.into_iter();
        all.filter(move |kind| self.contains(*kind))
    }

    fn bit(kind: EventKind) -> u16 {
        1 << kind as u8
    }
}

impl FromIterator<EventKind> for EventKinds {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        let bits = kinds.into_iter().map(Self::bit);
        Self(bits.fold(0, |all, bit| all | bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_every_type() {
        let named = EventKind::WORDS
            .split([',', ' '])
            .filter(|word| !["", "or"].contains(word));
        assert!(named.eq(EventKind::ALL.map(EventKind::as_str)));
    }

    #[test]
    fn a_set_of_types_is_what_was_put_into_it() {
        let kinds: EventKinds = [EventKind::Failed, EventKind::Sending, EventKind::Failed]
            .into_iter()
            .collect();
        let all: Vec<_> = kinds.iter().collect();
        assert_eq!(all, [EventKind::Sending, EventKind::Failed]);
        assert!(!kinds.contains(EventKind::Deferred) && !kinds.is_empty());
        assert!(EventKinds::default().is_empty());
        let all: EventKinds = EventKind::ALL.into_iter().collect();
        let usual = EventKinds::of_messages();
        assert!(all.contains_all(usual) && !usual.contains_all(all));
        assert_eq!(usual.iter().count() + 2, EventKind::ALL.len());
    }
}
