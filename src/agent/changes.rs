//! Agents that are registered from now on, or are no longer: on their way to the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::message::RegistrationChange;

/// Changes that wait for the store. Beyond that the oldest are dropped.
const MAX_WAITING: usize = 20_000;

/// A queue that agents fill, and one task empties. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RegistrationChanges(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<VecDeque<RegistrationChange>>,
    filled: Notify,
}

impl RegistrationChanges {
    pub(super) fn push(&self, change: RegistrationChange) {
        let mut waiting = self.lock();
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
            tracing::warn!("the store is away for too long; an event of an agent is dropped");
        }
        waiting.push_back(change);
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Resolves when there may be changes to take. Cancel-safe.
    pub async fn filled(&self) {
        self.0.filled.notified().await;
    }

    /// Takes up to `limit`, the oldest first.
    pub fn take(&self, limit: usize) -> Vec<RegistrationChange> {
        let mut waiting = self.lock();
        let count = waiting.len().min(limit);
        waiting.drain(..count).collect()
    }

    /// Puts changes back that were taken and could not be kept.
    pub fn put_back(&self, changes: Vec<RegistrationChange>) {
        let mut waiting = self.lock();
        for change in changes.into_iter().rev() {
            waiting.push_front(change);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<RegistrationChange>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
