//! What the dispatcher is made of.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::observer::Observer;
use crate::agent::Report;
use crate::clock::Clock;
use crate::message::Targets;
use crate::message::retry::Backoff;
use crate::store::Store;

/// What the dispatcher works with.
pub struct Parts {
    /// Where messages and events become durable.
    pub store: Arc<dyn Store>,
    /// Accounts, with the messages a second each may send. Agents come by [`Report::Here`].
    pub accounts: Vec<(Arc<str>, Option<f64>)>,
    /// What the agents report. Each has a sender of its own.
    pub reports: mpsc::UnboundedReceiver<Report>,
    /// Told when no new attempt may begin; the loop ends when the open ones have.
    pub drain: CancellationToken,
    /// The time.
    pub clock: Clock,
    /// Told of what is counted.
    pub observer: Arc<dyn Observer>,
    /// What jitter is drawn from.
    pub seed: u64,
    /// What the operator configured.
    pub settings: Settings,
}

/// What the operator configures.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Messages that may wait or be in flight; more are refused.
    pub max_queued: usize,
    /// Bytes of waiting messages kept in memory; of more only their names are, and they are read
    /// from the store when their turn comes.
    pub max_held_bytes: usize,
    /// How long to stay away between attempts.
    pub backoff: Backoff,
    /// How the log of the process names targets.
    pub targets: Targets,
}
