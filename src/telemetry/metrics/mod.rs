//! Figures, counted where they arise and written down when somebody asks.
//!
//! Rooms report through observer traits of their own; this is what stands behind each of them.
//! Every label is resolved beforehand, so to count is an atomic addition or two: no lock, no text
//! and no memory is taken on the way of a message. No figure is kept by message or by target.

mod histogram;
mod http;
mod process;
mod text;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::agent;
use crate::api;
use crate::api::Answered;
use crate::dispatch;
use crate::dispatch::Attempted;
use crate::message::Cause;
use crate::message::Event;
use crate::message::What;
use crate::store;
use crate::store::StoreError;
use crate::webhook;
use crate::webhook::Answer;
use crate::webhook::Posted;
use histogram::Histogram;
use http::Requests;

/// Every figure of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Figures>);

/// What is counted while it happens; what only stands somewhere is read when it is asked for.
#[derive(Debug)]
struct Figures {
    accepted: AtomicU64,
    succeeded: AtomicU64,
    /// In the order of [`Cause::ALL`].
    failed: [AtomicU64; Cause::ALL.len()],
    /// From acceptance to the end.
    message_seconds: Histogram,
    /// By code, from 100.
    responses: Box<[AtomicU64]>,
    /// Attempts that ended without a final response.
    unanswered: AtomicU64,
    transaction_seconds: Histogram,
    reconnects: AtomicU64,
    /// Posts to webhooks: answered with 2xx, with something else, and not at all.
    webhooks_delivered: AtomicU64,
    webhooks_rejected: AtomicU64,
    webhooks_unanswered: AtomicU64,
    webhooks_pending: AtomicU64,
    commit_seconds: Histogram,
    batch_size: Histogram,
    commits_failed: AtomicU64,
    requests: Requests,
    /// Spans: taken by the collector, not taken by it, and never on their way to it.
    spans_exported: AtomicU64,
    spans_failed: AtomicU64,
    spans_dropped: AtomicU64,
}

/// From a millisecond to the longest that a message may live as a rule.
const MESSAGE_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1_800.0, 3_600.0, 86_400.0,
];
/// From half a millisecond to Timer F.
const TRANSACTION_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0,
    32.0,
];
/// From a disk with a cache to one that hangs.
const COMMIT_SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// Rows.
const BATCH_SIZES: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
];

/// The codes of SIP: 100 to 699.
const CODES: usize = 600;

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        Self(Arc::new(Figures {
            accepted: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            failed: Default::default(),
            message_seconds: Histogram::new(MESSAGE_SECONDS),
            responses: (0..CODES).map(|_| AtomicU64::new(0)).collect(),
            unanswered: AtomicU64::new(0),
            transaction_seconds: Histogram::new(TRANSACTION_SECONDS),
            reconnects: AtomicU64::new(0),
            webhooks_delivered: AtomicU64::new(0),
            webhooks_rejected: AtomicU64::new(0),
            webhooks_unanswered: AtomicU64::new(0),
            webhooks_pending: AtomicU64::new(0),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            batch_size: Histogram::new(BATCH_SIZES),
            commits_failed: AtomicU64::new(0),
            requests: Requests::new(api::PATHS),
            spans_exported: AtomicU64::new(0),
            spans_failed: AtomicU64::new(0),
            spans_dropped: AtomicU64::new(0),
        }))
    }

    /// So many spans were posted; whether they were taken.
    pub(super) fn spans_exported(&self, spans: usize, were_taken: bool) {
        let counter = match were_taken {
            true => &self.0.spans_exported,
            false => &self.0.spans_failed,
        };
        count(counter, spans);
    }

    /// A span found no room.
    pub(super) fn span_dropped(&self) {
        count(&self.0.spans_dropped, 1);
    }

    /// How many found none until now.
    pub(super) fn spans_dropped(&self) -> u64 {
        self.0.spans_dropped.load(Ordering::Relaxed)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

impl dispatch::Observer for Metrics {
    fn accepted(&self, messages: usize) {
        count(&self.0.accepted, messages);
    }

    fn attempted(&self, attempted: &Attempted<'_>) {
        let code = attempted.code.ok();
        let place = code.and_then(|code| usize::from(code).checked_sub(100));
        let counter = place.and_then(|place| self.0.responses.get(place));
        count(counter.unwrap_or(&self.0.unanswered), 1);
        if let Some(took) = attempted.took() {
            self.0.transaction_seconds.observe_time(took);
        }
    }

    fn finished(&self, event: &Event, took: Duration) {
        match &event.what {
            What::Succeeded { .. } => count(&self.0.succeeded, 1),
            What::Failed { cause, .. } => {
                let place = Cause::ALL.iter().position(|other| other == cause);
                if let Some(counter) = place.and_then(|place| self.0.failed.get(place)) {
                    count(counter, 1);
                }
            }
            What::Sending { .. } | What::Deferred { .. } => return,
        }
        self.0.message_seconds.observe_time(took);
    }
}

impl agent::Observer for Metrics {
    fn reconnecting(&self) {
        count(&self.0.reconnects, 1);
    }
}

impl webhook::Observer for Metrics {
    fn attempted(&self, posted: &Posted<'_>) {
        let counter = match posted.answer {
            Answer::Answered {
                status: 200..=299, ..
            } => &self.0.webhooks_delivered,
            Answer::Answered { .. } => &self.0.webhooks_rejected,
            Answer::Silent(_) => &self.0.webhooks_unanswered,
        };
        count(counter, 1);
    }

    fn pending(&self, count: u64) {
        self.0.webhooks_pending.store(count, Ordering::Relaxed);
    }
}

impl store::sqlite::Observer for Metrics {
    fn committed(&self, took: Duration, rows: usize) {
        self.0.commit_seconds.observe_time(took);
        self.0.batch_size.observe_count(rows);
    }

    fn failed(&self, _error: &StoreError) {
        count(&self.0.commits_failed, 1);
    }
}

impl api::Observer for Metrics {
    fn answered(&self, answered: &Answered<'_>) {
        let Answered {
            method,
            route,
            status,
            took,
            ..
        } = *answered;
        self.0.requests.count(method, route, status, took);
    }

    fn report(&self, readings: api::Readings) -> String {
        text::write(&self.0, readings)
    }
}
