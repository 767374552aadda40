//! An agent as clients see it, and what they may ask of it.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use uuid::Builder;

use super::contents::Metadata;
use super::event::{Event, What};
use super::id::MessageId;
use super::time::Timestamp;

/// One registered user agent as the outside sees it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// Its name, safe in a path, stable over restarts: `alice-1`.
    pub id: Arc<str>,
    /// The address of record it sends as.
    pub account: Arc<str>,
    /// The WebSocket URL it is connected or connecting to.
    pub server: Arc<str>,
    /// What it is doing.
    pub state: AgentState,
    /// Since when it has been doing that.
    pub since: Timestamp,
    /// When its registration ends unless refreshed; `None` when it is not registered.
    pub registered_until: Option<Timestamp>,
    /// When it tries again; `None` unless it backs off.
    #[serde(default)]
    pub next_attempt_at: Option<Timestamp>,
    /// Requests written and not answered yet.
    pub in_flight: u32,
    /// Attempts handed to it since start.
    pub sent: u64,
    /// Attempts answered with 2xx since start.
    pub succeeded: u64,
    /// Attempts that ended otherwise since start.
    pub failed: u64,
    /// What went wrong last, in a sentence.
    pub last_error: Option<String>,
    /// Which of several replicas it is at; `None` where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<Arc<str>>,
}

/// An agent is registered from now on, or is no longer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentChange {
    /// Its name.
    pub agent: Arc<str>,
    /// The address of record it sends as.
    pub account: Arc<str>,
    /// The WebSocket URL it is or was connected to.
    pub server: Arc<str>,
    /// When that was.
    pub time: Timestamp,
    /// Why it is no longer registered, in a sentence; `None` when it is.
    pub down: Option<String>,
}

impl AgentChange {
    /// The event that tells of it. Events of one agent are posted in their order, as those of one
    /// message are: they have an id in common, which is no member of the JSON.
    pub fn event(self) -> Event {
        let digest = Sha256::digest(self.agent.as_bytes());
        let bytes = digest.first_chunk().copied().unwrap_or_default();
        let server = self.server;
        Event {
            message_id: MessageId::new(Builder::from_custom_bytes(bytes).into_uuid()),
            time: self.time,
            attempt: 0,
            agent: Some(self.agent),
            uri: "".into(),
            account: Some(self.account),
            webhook: None,
            trace: None,
            priority: None,
            metadata: Metadata::new(),
            what: match self.down {
                None => What::AgentUp { server },
                Some(reason) => What::AgentDown { server, reason },
            },
        }
    }
}

/// What an agent can be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AgentOrder {
    /// To take no more messages.
    Drain,
    /// To go back to work.
    Resume,
    /// To register anew.
    Reregister,
}

impl AgentOrder {
    /// The word that a store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Resume => "resume",
            Self::Reregister => "reregister",
        }
    }

    /// The order of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Drain, Self::Resume, Self::Reregister]
            .into_iter()
            .find(|order| order.as_str() == word)
    }
}

impl AgentOrder {
    /// The state that the order leads to at once. The agent follows in its own time.
    fn next(self, status: &AgentStatus) -> AgentState {
        use AgentState::{Connecting, Draining, Registered, Registering, Stopped};
        match (self, status.state) {
            (Self::Drain, state) if state != Stopped => Draining,
            (Self::Resume, Stopped) => Connecting,
            // It has not left yet, and stays.
            (Self::Resume, Draining) if status.registered_until.is_some() => Registered,
            (Self::Resume, Draining) => Registering,
            (Self::Drain | Self::Resume | Self::Reregister, state) => state,
        }
    }
}

impl AgentStatus {
    /// What it is when the agent has taken the order.
    pub fn after(mut self, order: AgentOrder, now: Timestamp) -> Self {
        let state = order.next(&self);
        if self.state != state {
            self.state = state;
            self.since = now;
            self.next_attempt_at = None;
        }
        self
    }
}

/// What an agent is doing.
#[derive(
    Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// Opens its connection.
    Connecting,
    /// Is connected and waits for the registrar.
    Registering,
    /// Takes messages.
    Registered,
    /// Waits before it tries again.
    Backoff,
    /// Takes no new messages and waits for the open ones.
    Draining,
    /// Has ended, or was told to stay away.
    Stopped,
}

impl AgentState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Connecting,
        Self::Registering,
        Self::Registered,
        Self::Backoff,
        Self::Draining,
        Self::Stopped,
    ];

    /// The word the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Registering => "registering",
            Self::Registered => "registered",
            Self::Backoff => "backoff",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// Why an agent did not do what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AgentError {
    /// No agent has this id.
    #[error("no agent has this id")]
    NotFound,
    /// The agent has ended.
    #[error("the agent has ended")]
    Stopped,
    /// As many orders as may wait to be passed on to other replicas.
    #[error("too many orders wait for agents of other replicas")]
    Overloaded,
}

/// Agents one after the other, each as it is when its turn comes: thousands of them are never all
/// in memory at once.
pub type AgentList = Box<dyn Iterator<Item = AgentStatus> + Send>;

/// The agents, for the API.
pub trait Agents: Send + Sync {
    /// Every agent of this replica, in the order of the configuration.
    fn list(&self) -> AgentList;

    /// Every agent of every replica, in the same order.
    fn list_all(&self) -> AgentList {
        self.list()
    }

    /// The agent of this id, at whichever replica.
    fn get(&self, id: &str) -> Option<AgentStatus>;

    /// Takes the agent out of the pool; what it has in flight ends as it would have.
    fn drain(&self, id: &str) -> Result<(), AgentError>;

    /// Puts a drained agent back to work.
    fn resume(&self, id: &str) -> Result<(), AgentError>;

    /// Makes the agent register anew at once.
    fn reregister(&self, id: &str) -> Result<(), AgentError>;
}

#[cfg(test)]
impl AgentStatus {
    /// An agent that has done nothing yet. A test changes what it is about.
    pub(crate) fn sample(state: AgentState) -> Self {
        Self {
            id: "alice-1".into(),
            account: "sip:alice@example.com".into(),
            server: "wss://sip.example.com".into(),
            state,
            since: Timestamp::EPOCH,
            registered_until: None,
            next_attempt_at: None,
            in_flight: 0,
            sent: 0,
            succeeded: 0,
            failed: 0,
            last_error: None,
            replica: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(state: AgentState) -> AgentStatus {
        AgentStatus {
            next_attempt_at: Some(Timestamp::EPOCH),
            ..AgentStatus::sample(state)
        }
    }

    #[test]
    fn an_order_leads_to_a_state_at_once() {
        use AgentOrder::{Drain, Reregister, Resume};
        use AgentState::{Backoff, Connecting, Draining, Registered, Registering, Stopped};
        let now = Timestamp::from_millis(1);
        for (order, before, after) in [
            (Drain, Connecting, Draining),
            (Drain, Registering, Draining),
            (Drain, Registered, Draining),
            (Drain, Backoff, Draining),
            (Drain, Draining, Draining),
            (Drain, Stopped, Stopped),
            (Resume, Stopped, Connecting),
            (Resume, Draining, Registering),
            (Resume, Backoff, Backoff),
            (Resume, Registered, Registered),
            (Reregister, Registered, Registered),
            (Reregister, Stopped, Stopped),
        ] {
            let agent = agent(before).after(order, now);
            assert_eq!(agent.state, after, "{order:?} of {before:?}");
            let since = if before == after {
                Timestamp::EPOCH
            } else {
                now
            };
            assert_eq!(agent.since, since, "{order:?} of {before:?}");
            assert_eq!(agent.next_attempt_at.is_some(), before == after);
        }
        let mut stays = agent(Draining);
        stays.registered_until = Some(now);
        assert_eq!(stays.after(Resume, now).state, Registered);
    }
}
