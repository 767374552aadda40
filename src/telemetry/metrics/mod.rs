//! Metrics, counted where they arise and encoded on `GET /metrics`.
//!
//! Rooms report through observer traits of their own, which [`Watch`](super::Watch) implements. No
//! label holds a message or a target, and every label value is
//! from a closed set, so that no client and no peer can make a series of its own.

mod classic;
mod labels;
mod process;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::agent;
use crate::api;
use crate::api::{Answered, MetricsFormat, Readings};
use crate::dispatch::Attempted;
use crate::message::{AgentState, Cause, Event, What};
use crate::store;
use crate::store::StoreError;
use crate::webhook::{Answer, Posted};
use labels::{
    BATCH_BUCKETS, COMMIT_BUCKETS, Code, Finished, MESSAGE_BUCKETS, OutcomeLabel, REQUEST_BUCKETS,
    Request, Route, SUCCEEDED, State, TRANSACTION_BUCKETS, failed,
};

/// Every metric of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    accepted: Counter,
    finished: Family<Finished, Counter>,
    message_seconds: Histogram,
    responses: Family<Code, Counter>,
    unanswered: Counter,
    transaction_seconds: Histogram,
    reconnects: Counter,
    webhook_attempts: Family<OutcomeLabel, Counter>,
    webhook_pending: Gauge,
    commit_seconds: Histogram,
    batch_size: Histogram,
    commits_failed: Counter,
    requests: Family<Request, Counter>,
    request_seconds: Family<Route, Histogram, fn() -> Histogram>,
    spans: Family<OutcomeLabel, Counter>,
    spans_dropped: Counter,
    current: Current,
}

/// Values that are read when the metrics are requested.
#[derive(Debug, Default)]
struct Current {
    scheduled: Gauge,
    queued: Gauge,
    sending: Gauge,
    oldest_queued: Gauge<f64, std::sync::atomic::AtomicU64>,
    agents: Family<State, Gauge>,
    streams: Gauge,
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::default(),
            accepted: Counter::default(),
            finished: Family::default(),
            message_seconds: Histogram::new(MESSAGE_BUCKETS),
            responses: Family::default(),
            unanswered: Counter::default(),
            transaction_seconds: Histogram::new(TRANSACTION_BUCKETS),
            reconnects: Counter::default(),
            webhook_attempts: Family::default(),
            webhook_pending: Gauge::default(),
            commit_seconds: Histogram::new(COMMIT_BUCKETS),
            batch_size: Histogram::new(BATCH_BUCKETS),
            commits_failed: Counter::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS)),
            spans: Family::default(),
            spans_dropped: Counter::default(),
            current: Current::default(),
        };
        inner.create_known_series();
        inner.register_messages();
        inner.register_sip();
        inner.register_http();
        inner.register_rest();
        Self(Arc::new(inner))
    }

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
        self.0.spans_dropped.inc();
    }

    /// How many spans were dropped until now.
    pub(super) fn spans_dropped(&self) -> u64 {
        self.0.spans_dropped.get()
    }

    pub(super) fn accepted(&self, messages: usize) {
        self.0.accepted.inc_by(messages as u64);
    }

    pub(super) fn attempted(&self, attempted: &Attempted<'_>) {
        match attempted.code {
            Ok(code) if (100..700).contains(&code) => {
                self.0.responses.get_or_create(&Code { code }).inc();
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
            What::Sending { .. } | What::Deferred { .. } => return,
        };
        self.0.finished.get_or_create(&label).inc();
        self.0.message_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn posted(&self, posted: &Posted<'_>) {
        let outcome = match posted.answer {
            Answer::Answered {
                status: 200..=299, ..
            } => "delivered",
            Answer::Answered { .. } => "rejected",
            Answer::Silent(_) => "unanswered",
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

    pub(super) fn answered(&self, answered: &Answered<'_>) {
        let route = Route {
            route: api::PATHS
                .iter()
                .find(|path| Some(**path) == answered.route)
                .unwrap_or(&"none"),
            method: labels::method_label(answered.method),
        };
        let times = self.0.request_seconds.get_or_create(&route);
        times.observe(answered.took.as_secs_f64());
        let request = Request {
            route: route.route,
            method: route.method,
            status: answered.status.as_u16(),
        };
        self.0.requests.get_or_create(&request).inc();
    }

    pub(super) fn report(&self, readings: Readings, format: MetricsFormat) -> String {
        self.0.current.set(&readings);
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

impl Inner {
    /// Series that exist from the start, at zero: `rate()` needs a first value.
    fn create_known_series(&mut self) {
        drop(self.finished.get_or_create(&SUCCEEDED));
        for cause in Cause::ALL {
            drop(self.finished.get_or_create(&failed(cause)));
        }
        for outcome in ["delivered", "rejected", "unanswered"] {
            drop(
                self.webhook_attempts
                    .get_or_create(&OutcomeLabel { outcome }),
            );
        }
        for outcome in ["exported", "failed"] {
            drop(self.spans.get_or_create(&OutcomeLabel { outcome }));
        }
        // The dropped ones are read back by the exporter: one counter, shown in the family.
        self.spans_dropped = self
            .spans
            .get_or_create_owned(&OutcomeLabel { outcome: "dropped" });
    }

    fn register_messages(&mut self) {
        let registry = &mut self.registry;
        let current = &self.current;
        let help = "Messages accepted";
        registry.register("sipost_messages_accepted", help, self.accepted.clone());
        let help = "Messages that ended, by result and cause";
        registry.register("sipost_messages_finished", help, self.finished.clone());
        let help = "Messages whose sendAt is in the future";
        registry.register("sipost_messages_scheduled", help, current.scheduled.clone());
        let help = "Messages that wait for their lane, an agent or their next attempt";
        registry.register("sipost_messages_queued", help, current.queued.clone());
        let help = "Messages with an attempt under way";
        registry.register("sipost_messages_sending", help, current.sending.clone());
        registry.register_with_unit(
            "sipost_message_oldest_queued",
            "Age of the oldest queued message",
            Unit::Seconds,
            current.oldest_queued.clone(),
        );
        registry.register_with_unit(
            "sipost_message",
            "From the acceptance of a message to its end",
            Unit::Seconds,
            self.message_seconds.clone(),
        );
    }

    fn register_sip(&mut self) {
        let registry = &mut self.registry;
        let help = "Final responses to MESSAGE requests, by code";
        registry.register("sipost_sip_responses", help, self.responses.clone());
        let help = "Attempts that ended without a final response";
        registry.register("sipost_sip_unanswered", help, self.unanswered.clone());
        registry.register_with_unit(
            "sipost_sip_transaction",
            "From handing a request to its agent to the end of the attempt",
            Unit::Seconds,
            self.transaction_seconds.clone(),
        );
        let help = "Agents, by state";
        registry.register("sipost_agents", help, self.current.agents.clone());
        let help = "Times that an agent had to open its connection again";
        registry.register("sipost_reconnects", help, self.reconnects.clone());
    }

    fn register_http(&mut self) {
        let registry = &mut self.registry;
        let help = "Event streams that are open";
        registry.register("sipost_sse_connections", help, self.current.streams.clone());
        let help = "HTTP requests that were answered, by route, method and status";
        registry.register("sipost_http_requests", help, self.requests.clone());
        registry.register_with_unit(
            "sipost_http_request",
            "From the head of a request to the head of its answer, by route and method",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        let help = "Posts to webhooks, by outcome: 2xx, another status, no answer";
        registry.register(
            "sipost_webhook_attempts",
            help,
            self.webhook_attempts.clone(),
        );
        let help = "Deliveries to webhooks that have not ended, counted every ten seconds";
        registry.register("sipost_webhook_pending", help, self.webhook_pending.clone());
    }

    fn register_rest(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "sipost_store_commit",
            "Duration of a commit, with its sync",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        let help = "Rows in a commit";
        registry.register("sipost_store_batch_size", help, self.batch_size.clone());
        let help = "Commits that failed; their rows are kept and tried again";
        registry.register(
            "sipost_store_commits_failed",
            help,
            self.commits_failed.clone(),
        );
        let help = "Spans of messages, by outcome: taken by the collector, not taken, dropped";
        registry.register("sipost_spans", help, self.spans.clone());
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("sipost_build", "The version of this program", version);
        registry.register_collector(Box::new(process::Process));
    }
}

impl Current {
    fn set(&self, readings: &Readings) {
        if let Some(standing) = readings.standing {
            let age = standing
                .oldest
                .map(|since| readings.now.since(since).as_secs_f64());
            set(&self.scheduled, standing.scheduled);
            set(&self.queued, standing.queued);
            set(&self.sending, standing.sending);
            self.oldest_queued.set(age.unwrap_or(0.0));
        }
        for state in AgentState::ALL {
            let in_state = readings.agents.iter().filter(|other| **other == state);
            let label = State {
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

impl agent::Observer for Metrics {
    fn reconnecting(&self) {
        self.0.reconnects.inc();
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
