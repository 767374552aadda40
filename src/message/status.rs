//! Where a message stands.

/// Where a message stands between its acceptance and its end.
///
/// ```text
/// scheduled ─► queued ─► sending ─► succeeded | failed
///                 ▲          │
///                 └ deferred ┘
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its `sendAt` has not come.
    Scheduled,
    /// Waits for its lane, for an agent, or for its next attempt.
    Queued,
    /// An attempt is under way.
    Sending,
    /// Ended with a final 2xx.
    Succeeded,
    /// Ended otherwise.
    Failed,
}

impl Status {
    /// Every status, in the order of a message's life.
    pub const ALL: [Self; 5] = [
        Self::Scheduled,
        Self::Queued,
        Self::Sending,
        Self::Succeeded,
        Self::Failed,
    ];

    /// The word the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// The status of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing will happen to the message any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::Scheduled | Self::Queued | Self::Sending => false,
            Self::Succeeded | Self::Failed => true,
        }
    }
}
