//! What several replicas that work on one store have to agree on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{LogStore, Reply};
use crate::message::{AgentOrder, AgentStatus, ByMessage, MessageId, Timestamp};

/// What a store does for replicas that share it. By default there is only one, and everything is
/// its own.
pub trait ReplicaStore: LogStore {
    /// How often the replicas have to agree on their agents; `None` when there is only one.
    fn agreeing(&self) -> Option<Duration> {
        None
    }

    /// Changes whenever there may be something to [`claim`](super::Store::claim). A hint, not a
    /// promise.
    fn claimable(&self) -> watch::Receiver<u64> {
        // What there is to claim is there from the beginning.
        watch::channel(0).1
    }

    /// Whether this replica does what one of them has to do for all: post webhooks.
    fn leads(&self) -> watch::Receiver<bool> {
        watch::channel(true).1
    }

    /// Whether this replica still holds what it took in and claimed, by its own clock. When it does
    /// not, others may be at work on it: what was recorded must not be transmitted any more.
    fn is_held(&self) -> bool {
        true
    }

    /// Whether no other replica may be sending to the targets of messages that this one takes in.
    /// Then a request may be sent before its record is durable.
    fn is_alone(&self) -> bool {
        true
    }

    /// The same; and when it is, no other replica begins until [`settled`](Self::settled).
    fn send_early(&self) -> bool {
        true
    }

    /// All that was sent early is durable, or was refused and is no longer in flight.
    fn settled(&self) {}

    /// Whether a commit costs much beside what it writes, because the store is another process.
    /// Then fewer and fuller ones are worth a moment.
    fn commits_are_dear(&self) -> bool {
        false
    }

    /// Which replica has each of these messages to send. Left out are messages that this replica
    /// knows, and those that do not wait.
    fn holders(&self, _ids: Vec<MessageId>) -> Reply<ByMessage<Holder>> {
        Box::pin(async { Ok(ByMessage::default()) })
    }

    /// The number of the newest durable event, whichever replica appended it. More than
    /// [`bounds`](super::Store::bounds) say while this replica has yet to hear of it.
    fn newest(&self) -> Reply<u64> {
        let bounds = self.bounds();
        Box::pin(async move { Ok(bounds.await?.last) })
    }

    /// Gives lanes to replicas that have an agent for them, when this one has none; the targets of
    /// those it gave. None of their messages may be in flight.
    fn hand_over(&self, _stranded: Vec<Stranded>) -> Reply<Vec<Arc<str>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Which of the agents that the configuration wants this replica is to run, when it runs those
    /// in `held` now. Those of `held` that are not in the answer are to end, and are free for
    /// others when they are not held any more.
    fn leases(&self, wanted: Vec<AgentLease>, _held: Vec<AgentLease>) -> Reply<Vec<AgentLease>> {
        Box::pin(async { Ok(wanted) })
    }

    /// Gives the other replicas the agents of this one and the orders to theirs, and takes the same
    /// from them.
    fn share_agents(
        &self,
        _own: Vec<AgentStatus>,
        _orders: Vec<(Arc<str>, AgentOrder)>,
    ) -> Reply<SharedAgents> {
        Box::pin(async { Ok(SharedAgents::default()) })
    }
}

/// A place for one agent of an account.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AgentLease {
    /// The address of record.
    pub account: Arc<str>,
    /// Which of its agents, from 1.
    pub number: u32,
}

/// A replica that has a message to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// What it is called. It can be this one, when it has yet to take the message up.
    pub replica: String,
    /// The end of its lease: unless it is heard from again, others take over after that.
    pub until: Timestamp,
}

/// A lane whose first message no agent of this replica can send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stranded {
    pub uri: Arc<str>,
    /// The account that must send it; `None` when any may.
    pub account: Option<Arc<str>>,
}

/// What other replicas tell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SharedAgents {
    pub agents: Vec<AgentStatus>,
    /// What their clients ask of agents of this one.
    pub orders: Vec<(Arc<str>, AgentOrder)>,
}
