//! Figures of messages, and what the API shows of those that wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::{Event, MessageId, Priority, Timestamp, Trace};

/// Counts messages and attempts. Called by the dispatcher's task with every message, so it must
/// neither block nor be slow.
pub trait MessageObserver: Send + Sync {
    /// So many messages are durable and on their way.
    fn accepted(&self, messages: usize);

    /// The `sending` of an attempt is in the log, or on its way there. The attempt was begun at
    /// `begun`, before that, and the message could have been sent `since`.
    fn begun(&self, _sending: &Event, _since: Timestamp, _begun: Instant) {}

    fn attempted(&self, attempted: &FinishedAttempt<'_>);

    /// The end of a message is durable, so long after the message was taken in.
    fn finished(&self, event: &Event, took: Duration);
}

impl MessageObserver for () {
    fn accepted(&self, _messages: usize) {}

    fn attempted(&self, _attempted: &FinishedAttempt<'_>) {}

    fn finished(&self, _event: &Event, _took: Duration) {}
}

/// An attempt that ended.
#[derive(Clone, Copy, Debug)]
pub struct FinishedAttempt<'a> {
    pub message: MessageId,
    /// What the message is part of.
    pub trace: Option<Trace>,
    /// Which one of the message it was, from 1.
    pub attempt: u32,
    /// The agent that made it; `None` when it is gone, or when the whole gateway was.
    pub agent: Option<&'a str>,
    /// The code of the final response, or a word for why there was none.
    pub code: Result<u16, &'static str>,
    /// When its agent was given it; `None` when that was in another life of the gateway, or when no
    /// agent was given it.
    pub given: Option<Instant>,
    /// When its end was known.
    pub ended: Instant,
}

impl FinishedAttempt<'_> {
    /// From when its agent was given it to its end; `None` when this process gave it to none.
    pub fn took(&self) -> Option<Duration> {
        let given = self.given?;
        Some(self.ended.saturating_duration_since(given))
    }
}

/// How many messages are where.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct QueueCounts {
    /// Their `sendAt` has not come.
    pub scheduled: usize,
    /// They wait for their lane, for an agent, or for their next attempt.
    pub queued: usize,
    /// An attempt is under way.
    pub sending: usize,
    /// Since when the oldest of those queued waits.
    pub oldest: Option<Timestamp>,
    /// How many of all are of each class, in the order of [`Priority::ALL`].
    pub by_class: [usize; Priority::ALL.len()],
}

/// What a message waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WaitingFor {
    Schedule(Timestamp),
    /// The messages to the same target that go before it: those of its `from` that were accepted
    /// earlier, and the one that is being sent.
    Lane {
        /// How many they are.
        before: usize,
    },
    /// An agent of this account, or any when `None`: none is registered.
    Agent(Option<Arc<str>>),
    /// Room with an agent: each has as many open requests as it may.
    Slot,
    /// The rate of its account, until then.
    Rate(Timestamp),
    /// Messages of this higher class, which go before it.
    Priority(Priority),
    Retry(Timestamp),
    /// The store, which takes no events at the moment; nothing begins before it does.
    Store,
}
