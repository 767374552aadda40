//! Metrics, counted where they arise and encoded on `GET /metrics`.
//!
//! Rooms report through observer traits of their own, which [`Watch`](super::Watch) implements. No
//! label holds a message or a target, and every label value is from a closed set, so that no client
//! and no peer can make a series of its own.

mod classic;
mod labels;
mod process;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::agent;
use crate::agent::NotTaken;
use crate::api;
use crate::api::{Answered, MetricsFormat, Readings};
use crate::dispatch::{FinishedAttempt, InboundEnd};
use crate::message::{AgentState, Cause, Event, Priority, Timestamp, What};
use crate::store;
use crate::store::{StoreError, WebhookHealth};
use crate::trace::{HepOutcome, NotKept, TraceObserver};
use crate::webhook::{PostResult, Posted};
use labels::{
    BATCH_BUCKETS, COMMIT_BUCKETS, CodeLabel, FinishedLabels, MESSAGE_BUCKETS, OutcomeLabel,
    PriorityLabel, REQUEST_BUCKETS, ReasonLabel, RequestLabels, RouteLabels, SUCCEEDED, StateLabel,
    TRANSACTION_BUCKETS, failed,
};

/// Every metric of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Families>);

/// Makes [`Families`]: of each metric the field with its type, how it begins if not by default, the
/// name, the help, and the unit if there is one.
macro_rules! families {
    ($($field:ident: $kind:ty $(= $new:expr)?, $name:literal, $help:literal $(, $unit:expr)?;)*) => {
        #[derive(Debug)]
        struct Families {
            registry: Registry,
            $($field: $kind,)*
        }

        impl Families {
            fn new() -> Self {
                let mut registry = Registry::default();
                $(
                    let $field: $kind = families!(@new $($new)?);
                    families!(@register registry, $field, $name, $help $(, $unit)?);
                )*
                Self { registry, $($field,)* }
            }
        }
    };
    (@new) => { Default::default() };
    (@new $new:expr) => { $new };
    (@register $registry:ident, $metric:ident, $name:literal, $help:literal) => {
        $registry.register($name, $help, $metric.clone())
    };
    (@register $registry:ident, $metric:ident, $name:literal, $help:literal, $unit:expr) => {
        $registry.register_with_unit($name, $help, $unit, $metric.clone())
    };
}

families! {
    accepted: Counter, "sipost_messages_accepted", "Messages accepted";
    finished: Family<FinishedLabels, Counter>,
        "sipost_messages_finished", "Messages that ended, by result and cause";
    scheduled: Gauge, "sipost_messages_scheduled", "Messages whose sendAt is in the future";
    queued: Gauge,
        "sipost_messages_queued",
        "Messages that wait for their lane, an agent or their next attempt";
    sending: Gauge, "sipost_messages_sending", "Messages with an attempt under way";
    oldest_queued: Gauge<f64, AtomicU64>,
        "sipost_message_oldest_queued", "Age of the oldest queued message", Unit::Seconds;
    open: Family<PriorityLabel, Gauge>,
        "sipost_messages_open", "Messages that have not ended, by priority";
    wait_seconds: Family<PriorityLabel, Histogram, fn() -> Histogram>
            = Family::new_with_constructor(|| Histogram::new(MESSAGE_BUCKETS)),
        "sipost_message_wait",
        "From when an attempt could have begun to when it began, by priority",
        Unit::Seconds;
    message_seconds: Histogram = Histogram::new(MESSAGE_BUCKETS),
        "sipost_message", "From the acceptance of a message to its end", Unit::Seconds;
    responses: Family<CodeLabel, Counter>,
        "sipost_sip_responses", "Final responses to MESSAGE requests, by code";
    unanswered: Counter, "sipost_sip_unanswered", "Attempts that ended without a final response";
    transaction_seconds: Histogram = Histogram::new(TRANSACTION_BUCKETS),
        "sipost_sip_transaction",
        "From handing a request to its agent to the end of the attempt",
        Unit::Seconds;
    received: Family<OutcomeLabel, Counter>,
        "sipost_received", "Messages and receipts that came in, by what became of them";
    agents: Family<StateLabel, Gauge>, "sipost_agents", "Agents, by state";
    reconnects: Counter,
        "sipost_reconnects", "Times that an agent had to open its connection again";
    not_taken: Family<ReasonLabel, Counter>,
        "sipost_sip_requests_not_taken",
        "Requests of peers that were answered and not handed over, by reason";
    streams: Gauge, "sipost_sse_connections", "Event streams that are open";
    requests: Family<RequestLabels, Counter>,
        "sipost_http_requests", "HTTP requests that were answered, by route, method and status";
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>
            = Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS)),
        "sipost_http_request",
        "From the head of a request to the head of its answer, by route and method",
        Unit::Seconds;
    webhook_attempts: Family<OutcomeLabel, Counter>,
        "sipost_webhook_attempts", "Posts to webhooks, by outcome: 2xx, another status, no answer";
    webhooks: Family<StateLabel, Gauge>,
        "sipost_webhooks",
        "Standing webhooks, by state: enabled, failing, disabled; counted every ten seconds";
    webhook_pending: Gauge,
        "sipost_webhook_pending",
        "Deliveries to webhooks that have not ended, counted every ten seconds";
    commit_seconds: Histogram = Histogram::new(COMMIT_BUCKETS),
        "sipost_store_commit", "Duration of a commit, with its sync", Unit::Seconds;
    batch_size: Histogram = Histogram::new(BATCH_BUCKETS),
        "sipost_store_batch_size", "Rows in a commit";
    commits_failed: Counter,
        "sipost_store_commits_failed", "Commits that failed; their rows are kept and tried again";
    frames_not_kept: Family<ReasonLabel, Counter>,
        "sipost_trace_frames_dropped",
        "SIP messages of messages that were to be kept and were not, by reason";
    hep_frames: Family<OutcomeLabel, Counter>,
        "sipost_hep_frames",
        "SIP messages for the HEP server, by outcome: sent, failed, dropped";
    spans: Family<OutcomeLabel, Counter>,
        "sipost_spans",
        "Spans of messages, by outcome: taken by the collector, not taken, dropped";
}

const DROPPED: OutcomeLabel = OutcomeLabel { outcome: "dropped" };

/// What the exporter of spans counts.
#[cfg(feature = "otlp")]
impl Metrics {
    /// A post of spans ended; whether the collector took them.
    pub(super) fn spans_exported(&self, spans: usize, were_taken: bool) {
        let outcome = if were_taken { "exported" } else { "failed" };
        self.0
            .spans
            .get_or_create(&OutcomeLabel { outcome })
            .inc_by(spans as u64);
    }

    /// The queue of spans was full.
    pub(super) fn span_dropped(&self) {
        self.0.spans.get_or_create(&DROPPED).inc();
    }

    /// How many spans were dropped until now.
    pub(super) fn spans_dropped(&self) -> u64 {
        self.0.spans.get_or_create(&DROPPED).get()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut families = Families::new();
        families.create_known_series();
        let registry = &mut families.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("sipost_build", "The version of this program", version);
        registry.register_collector(Box::new(process::Process));
        Self(Arc::new(families))
    }

    pub(super) fn accepted(&self, messages: usize) {
        self.0.accepted.inc_by(messages as u64);
    }

    pub(super) fn begun(&self, sending: &Event, since: Timestamp) {
        let waited = sending.time.since(since).as_secs_f64();
        let label = PriorityLabel::of(sending.priority.unwrap_or_default());
        self.0.wait_seconds.get_or_create(&label).observe(waited);
    }

    pub(super) fn took_in(&self, end: InboundEnd) {
        let label = OutcomeLabel {
            outcome: end.as_str(),
        };
        self.0.received.get_or_create(&label).inc();
    }

    pub(super) fn attempted(&self, attempted: &FinishedAttempt<'_>) {
        match attempted.code {
            Ok(code) if (100..700).contains(&code) => {
                self.0.responses.get_or_create(&CodeLabel { code }).inc();
            }
            _ => {
                self.0.unanswered.inc();
            }
        }
        if let Some(took) = attempted.took() {
            self.0.transaction_seconds.observe(took.as_secs_f64());
        }
    }

    pub(super) fn finished(&self, event: &Event, took: Duration) {
        let label = match &event.what {
            What::Succeeded { .. } => SUCCEEDED,
            What::Failed { cause, .. } => failed(*cause),
            What::Sending { .. }
            | What::Deferred { .. }
            | What::Received(_)
            | What::Receipt { .. }
            | What::AgentUp { .. }
            | What::AgentDown { .. } => return,
        };
        self.0.finished.get_or_create(&label).inc();
        self.0.message_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn posted(&self, posted: &Posted<'_>) {
        let outcome = match posted.answer {
            PostResult::Answered {
                status: 200..=299, ..
            } => "delivered",
            PostResult::Answered { .. } => "rejected",
            PostResult::Silent(_) => "unanswered",
        };
        self.0
            .webhook_attempts
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
    }

    pub(super) fn pending(&self, count: u64) {
        self.0
            .webhook_pending
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn webhook_health(&self, health: WebhookHealth) {
        for (state, count) in health.by_state() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.0
                .webhooks
                .get_or_create(&StateLabel { state })
                .set(count);
        }
    }

    pub(super) fn answered(&self, answered: &Answered<'_>) {
        let route = RouteLabels {
            route: api::PATHS
                .iter()
                .find(|path| Some(**path) == answered.route)
                .unwrap_or(&"none"),
            method: labels::method_label(answered.method),
        };
        let times = self.0.request_seconds.get_or_create(&route);
        times.observe(answered.took.as_secs_f64());
        let request = RequestLabels {
            route: route.route,
            method: route.method,
            status: answered.status.as_u16(),
        };
        self.0.requests.get_or_create(&request).inc();
    }

    pub(super) fn report(&self, readings: Readings, format: MetricsFormat) -> String {
        self.0.set(&readings);
        let mut page = String::with_capacity(16 * 1024);
        // Writing to a String cannot fail, and no metric here refuses to be encoded.
        let _ = text::encode(&mut page, &self.0.registry);
        match format {
            MetricsFormat::OpenMetrics => page,
            MetricsFormat::Classic => classic::from_open_metrics(&page),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Families {
    /// Series that exist from the start, at zero: `rate()` needs a first value.
    fn create_known_series(&self) {
        drop(self.finished.get_or_create(&SUCCEEDED));
        for cause in Cause::ALL {
            drop(self.finished.get_or_create(&failed(cause)));
        }
        for end in InboundEnd::ALL {
            let outcome = end.as_str();
            drop(self.received.get_or_create(&OutcomeLabel { outcome }));
        }
        for outcome in ["delivered", "rejected", "unanswered"] {
            let label = OutcomeLabel { outcome };
            drop(self.webhook_attempts.get_or_create(&label));
        }
        for (state, _) in WebhookHealth::default().by_state() {
            drop(self.webhooks.get_or_create(&StateLabel { state }));
        }
        for label in Priority::ALL.map(PriorityLabel::of) {
            drop(self.open.get_or_create(&label));
            drop(self.wait_seconds.get_or_create(&label));
        }
        for reason in NotTaken::ALL.map(NotTaken::as_str) {
            drop(self.not_taken.get_or_create(&ReasonLabel { reason }));
        }
        for reason in NotKept::ALL.map(NotKept::as_str) {
            drop(self.frames_not_kept.get_or_create(&ReasonLabel { reason }));
        }
        for outcome in HepOutcome::ALL.map(HepOutcome::as_str) {
            drop(self.hep_frames.get_or_create(&OutcomeLabel { outcome }));
        }
        for outcome in ["exported", "failed"] {
            drop(self.spans.get_or_create(&OutcomeLabel { outcome }));
        }
        drop(self.spans.get_or_create(&DROPPED));
    }

    /// Sets the gauges that are read when the metrics are requested.
    fn set(&self, readings: &Readings) {
        if let Some(counts) = readings.counts {
            let age = counts.oldest.map(|since| readings.now.since(since));
            set(&self.scheduled, counts.scheduled);
            set(&self.queued, counts.queued);
            set(&self.sending, counts.sending);
            for (class, count) in Priority::ALL.into_iter().zip(counts.by_class) {
                set(&self.open.get_or_create(&PriorityLabel::of(class)), count);
            }
            self.oldest_queued
                .set(age.unwrap_or_default().as_secs_f64());
        }
        for state in AgentState::ALL {
            let in_state = readings.agents.iter().filter(|other| **other == state);
            let label = StateLabel {
                state: state.as_str(),
            };
            set(&self.agents.get_or_create(&label), in_state.count());
        }
        set(&self.streams, readings.streams);
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

impl agent::AgentObserver for Metrics {
    fn reconnecting(&self) {
        self.0.reconnects.inc();
    }

    fn not_taken(&self, reason: NotTaken) {
        let reason = reason.as_str();
        self.0
            .not_taken
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }
}

impl TraceObserver for Metrics {
    fn not_kept(&self, reason: NotKept, frames: usize) {
        let reason = reason.as_str();
        self.0
            .frames_not_kept
            .get_or_create(&ReasonLabel { reason })
            .inc_by(frames as u64);
    }

    fn hep(&self, outcome: HepOutcome, frames: usize) {
        let outcome = outcome.as_str();
        self.0
            .hep_frames
            .get_or_create(&OutcomeLabel { outcome })
            .inc_by(frames as u64);
    }
}

impl store::sqlite::Observer for Metrics {
    fn committed(&self, took: Duration, rows: usize) {
        self.0.commit_seconds.observe(took.as_secs_f64());
        self.0
            .batch_size
            .observe(u32::try_from(rows).unwrap_or(u32::MAX).into());
    }

    fn failed(&self, _error: &StoreError) {
        self.0.commits_failed.inc();
    }
}
