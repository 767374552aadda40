//! The attempts that have begun, by key.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::EndedAttempt;
use crate::message::MessageId;
use crate::pool::Slot;

/// Names one attempt between the dispatcher and an agent.
pub(in crate::dispatch) type AttemptKey = u64;

/// An attempt that has not ended after so long is given a timer: most end before they need one.
pub(super) const YOUNG: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_key: HashMap<AttemptKey, OpenAttempt>,
    last_key: AttemptKey,
    /// How many go on although their message has ended.
    abandoned: usize,
    /// Those without a timer, in the order in which they began. Some have ended.
    young: VecDeque<(Instant, AttemptKey)>,
}

#[derive(Debug)]
pub(super) struct OpenAttempt {
    pub(super) message: MessageId,
    pub(super) uri: Arc<str>,
    pub(super) slot: Slot,
    /// When its agent was given it.
    pub(super) sent: Option<Instant>,
    /// Set when the message has ended before it: its outcome is counted, and not recorded.
    pub(super) abandoned: Option<EndedAttempt>,
}

impl Attempts {
    /// Attempts whose message waits for their outcome.
    pub(super) fn in_flight(&self) -> usize {
        self.by_key.len() - self.abandoned
    }

    pub(super) fn begin(&mut self, message: MessageId, uri: Arc<str>, slot: Slot) -> AttemptKey {
        self.last_key += 1;
        let attempt = OpenAttempt {
            message,
            uri,
            slot,
            sent: None,
            abandoned: None,
        };
        self.by_key.insert(self.last_key, attempt);
        self.last_key
    }

    pub(super) fn get(&self, key: AttemptKey) -> Option<&OpenAttempt> {
        self.by_key.get(&key)
    }

    /// The request of an attempt is on its way since `at`; its message.
    pub(super) fn sent(&mut self, key: AttemptKey, at: Instant) -> Option<MessageId> {
        let attempt = self.by_key.get_mut(&key)?;
        attempt.sent = Some(at);
        Some(attempt.message)
    }

    /// The message of an attempt has ended before it.
    pub(super) fn abandon(
        &mut self,
        key: AttemptKey,
        ended: impl FnOnce(&OpenAttempt) -> EndedAttempt,
    ) {
        if let Some(attempt) = self.by_key.get_mut(&key) {
            attempt.abandoned = Some(ended(attempt));
            self.abandoned += 1;
        }
    }

    pub(super) fn remove(&mut self, key: AttemptKey) -> Option<OpenAttempt> {
        let attempt = self.by_key.remove(&key)?;
        self.abandoned -= usize::from(attempt.abandoned.is_some());
        Some(attempt)
    }

    /// An attempt that has just begun has no timer.
    pub(super) fn push_young(&mut self, begun: Instant, key: AttemptKey) {
        self.young.push_back((begun, key));
    }

    /// The next attempt that is no longer young, and its message.
    pub(super) fn pop_old(&mut self, now: Instant) -> Option<(AttemptKey, MessageId)> {
        while let Some(&(begun, key)) = self.young.front() {
            let attempt = self.by_key.get(&key);
            if attempt.is_some() && begun + YOUNG > now {
                return None;
            }
            self.young.pop_front();
            if let Some(attempt) = attempt {
                return Some((key, attempt.message));
            }
        }
        None
    }

    /// When the oldest of the young ones wants a timer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.young.front().map(|(begun, _)| *begun + YOUNG)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.abandoned == 0
    }
}
