//! How agents fare, as figures.

/// Counts what happens to agents. Called by their tasks, so it must not block.
pub trait AgentObserver: Send + Sync {
    /// An agent lost its connection, or got none, and will open one again.
    fn reconnecting(&self);

    /// A request of a peer was answered and not handed over.
    fn not_taken(&self, reason: NotTaken);
}

impl AgentObserver for () {
    fn reconnecting(&self) {}

    fn not_taken(&self, _reason: NotTaken) {}
}

/// Why a request of a peer was answered and not handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotTaken {
    /// It was refused, with 4xx or 505.
    Refused,
    /// Too much waits: 500 with Retry-After.
    Overloaded,
    /// It was handed over, and not answered in time: 500.
    Unanswered,
    /// An indication of typing (RFC 3994): 200.
    Typing,
    /// A receipt that cannot be read: 200.
    UnreadableReceipt,
    /// A receipt for what cannot be a message of ours: 200.
    UnknownReceipt,
    /// A receipt of a kind that is not reported: 200.
    OtherReceipt,
}

impl NotTaken {
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Overloaded,
        Self::Unanswered,
        Self::Typing,
        Self::UnreadableReceipt,
        Self::UnknownReceipt,
        Self::OtherReceipt,
    ];

    /// The word that figures use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Overloaded => "overloaded",
            Self::Unanswered => "unanswered",
            Self::Typing => "typing",
            Self::UnreadableReceipt => "unreadable_receipt",
            Self::UnknownReceipt => "unknown_receipt",
            Self::OtherReceipt => "other_receipt",
        }
    }
}
