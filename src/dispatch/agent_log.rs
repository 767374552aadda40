//! Writes down when agents are registered, and when they are no longer.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::agent::RegistrationChanges;
use crate::message::AgentChange;
use crate::store::{Store, StoreError};

/// Events written at once.
const BATCH: usize = 500;
/// Before another try, while the store is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until `end`, and until everything is written then; what cannot be written then is lost.
pub async fn run(store: Arc<dyn Store>, changes: RegistrationChanges, end: CancellationToken) {
    let mut is_failing = false;
    loop {
        let taken = changes.take(BATCH);
        if taken.is_empty() {
            if end.is_cancelled() {
                return;
            }
            tokio::select! {
                () = changes.filled() => {}
                () = end.cancelled() => {}
            }
            continue;
        }
        let events = taken.iter().cloned().map(AgentChange::event).collect();
        match store.append_agent_events(events).await {
            Ok(()) => is_failing = false,
            Err(error @ StoreError::Rejected(_)) => {
                tracing::error!(%error, "events of agents are rejected");
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "failed to write events of agents; trying again");
                }
                changes.put_back(taken);
                if end.is_cancelled() {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = end.cancelled() => {}
                }
            }
        }
    }
}
