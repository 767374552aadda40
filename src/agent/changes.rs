//! Agents that are registered from now on, or are no longer: on their way to the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::message::AgentChange;

/// Changes that wait for the store. Beyond that the oldest are dropped.
const MAX_WAITING: usize = 20_000;

/// A queue that agents fill, and one task empties. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RegistrationChanges(Arc<ChangeQueue>);

#[derive(Debug, Default)]
struct ChangeQueue {
    waiting: Mutex<PendingChanges>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct PendingChanges {
    changes: VecDeque<AgentChange>,
    /// Some were dropped since the last time that all were taken.
    is_dropping: bool,
}

impl RegistrationChanges {
    pub(super) fn push(&self, change: AgentChange) {
        let mut waiting = self.lock();
        waiting.changes.push_back(change);
        waiting.drop_oldest();
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Resolves when there may be changes to take. Cancel-safe.
    pub async fn filled(&self) {
        self.0.filled.notified().await;
    }

    /// Takes up to `limit`, the oldest first.
    pub fn take(&self, limit: usize) -> Vec<AgentChange> {
        let mut waiting = self.lock();
        waiting.is_dropping &= !waiting.changes.is_empty();
        let count = waiting.changes.len().min(limit);
        waiting.changes.drain(..count).collect()
    }

    /// Puts changes back that were taken and could not be kept.
    pub fn put_back(&self, changes: Vec<AgentChange>) {
        let mut waiting = self.lock();
        for change in changes.into_iter().rev() {
            waiting.changes.push_front(change);
        }
        waiting.drop_oldest();
    }

    fn lock(&self) -> MutexGuard<'_, PendingChanges> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingChanges {
    /// Drops those for which there is no room; the log tells of the first.
    fn drop_oldest(&mut self) {
        let excess = self.changes.len().saturating_sub(MAX_WAITING);
        self.changes.drain(..excess);
        if excess > 0 && !std::mem::replace(&mut self.is_dropping, true) {
            tracing::warn!(
                "the store is away for too long; the oldest events of agents are dropped"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Timestamp;

    fn change(number: usize) -> AgentChange {
        AgentChange {
            agent: number.to_string().into(),
            account: "sip:alice@example.com".into(),
            server: "wss://a".into(),
            time: Timestamp::EPOCH,
            down: None,
        }
    }

    #[test]
    fn no_more_wait_than_may_also_while_some_are_put_back() {
        let changes = RegistrationChanges::default();
        let names = |taken: &[AgentChange]| -> Vec<String> {
            taken.iter().map(|one| one.agent.to_string()).collect()
        };
        (0..MAX_WAITING).for_each(|number| changes.push(change(number)));
        // The store is away, and agents come and go meanwhile.
        for round in 0..3 {
            let taken = changes.take(500);
            for number in 0..500 {
                changes.push(change(MAX_WAITING + round * 500 + number));
            }
            changes.put_back(taken);
            changes.push(change(0));
            assert_eq!(changes.lock().changes.len(), MAX_WAITING);
        }
        let first = changes.take(1);
        assert_eq!(names(&first), ["1503"]);
        assert_eq!(changes.take(usize::MAX).len(), MAX_WAITING - 1);
    }
}
