//! Log lines, metrics for monitoring, and traces that follow one message through many programs.
//!
//! | file      | is about                                                       |
//! |-----------|----------------------------------------------------------------|
//! | `log`     | lines on standard error                                        |
//! | `metrics` | counted where they arise and read at `GET /metrics`            |
//! | `otlp`    | where spans go                                                 |
//! | `traces`  | the steps of a message, as spans for a collector               |
//!
//! [`Watch`] is the observer of the rooms: it counts, and traces.
//!
//! Bodies, credentials and tokens are never written, at any level: types that hold a secret format
//! themselves as `***`, and no log line takes a body.

mod log;
mod metrics;
mod otlp;
#[cfg_attr(not(feature = "otlp"), path = "no_traces.rs")]
mod traces;

use std::time::{Duration, Instant};

use http::Method;

use crate::api;
use crate::api::Answered;
use crate::dispatch;
use crate::dispatch::{FinishedAttempt, InboundEnd};
use crate::message::{Event, Targets, Timestamp, Trace};
use crate::store::WebhookHealth;
use crate::webhook;
use crate::webhook::{PartOf, Posted};
pub use log::{LogFormat, TelemetryError, start};
pub use metrics::Metrics;
pub use otlp::{EXPORTS_SPANS, Otlp, WITHOUT_OTLP};
pub use traces::{Exporter, Traces, TracesError};

/// What the operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How log lines look.
    pub log_format: LogFormat,
    /// A level, or directives for parts of the program; known to be well-formed.
    pub log_level: String,
    /// How log lines and spans name targets.
    pub targets: Targets,
    /// Where spans go; `None` when there are none.
    pub otlp: Option<Otlp>,
}

/// The metrics, and the traces where a collector is configured. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    pub metrics: Metrics,
    pub traces: Option<Traces>,
}

impl dispatch::MessageObserver for Watch {
    fn accepted(&self, messages: usize) {
        self.metrics.accepted(messages);
    }

    fn attempted(&self, attempted: &FinishedAttempt<'_>) {
        self.metrics.attempted(attempted);
        if let Some(traces) = &self.traces {
            traces.attempted(attempted);
        }
    }

    fn begun(&self, sending: &Event, since: Timestamp, begun: Instant) {
        self.metrics.begun(sending, since);
        if let Some(traces) = &self.traces {
            traces.begun(sending, since, begun);
        }
    }

    fn finished(&self, event: &Event, took: Duration) {
        self.metrics.finished(event, took);
        if let Some(traces) = &self.traces {
            traces.finished(event);
        }
    }
}

impl dispatch::InboundObserver for Watch {
    fn took_in(&self, end: InboundEnd) {
        self.metrics.took_in(end);
    }
}

impl webhook::Observer for Watch {
    fn posting(&self, part_of: &PartOf) -> Trace {
        match &self.traces {
            Some(traces) => traces.posting(part_of),
            None => part_of.trace,
        }
    }

    fn attempted(&self, posted: &Posted<'_>) {
        self.metrics.posted(posted);
        if let Some(traces) = &self.traces {
            traces.posted(posted);
        }
    }

    fn pending(&self, count: u64) {
        self.metrics.pending(count);
    }

    fn health(&self, health: WebhookHealth) {
        self.metrics.webhook_health(health);
    }
}

impl api::Observer for Watch {
    fn asked(&self, method: &Method, route: Option<&str>, client: Option<Trace>) -> Option<Trace> {
        match &self.traces {
            Some(traces) => traces.asked(method, route, client),
            None => client,
        }
    }

    fn answered(&self, answered: &Answered<'_>) {
        self.metrics.answered(answered);
        if let Some(traces) = &self.traces {
            traces.answered(answered);
        }
    }

    fn report(&self, readings: api::Readings, format: api::MetricsFormat) -> String {
        self.metrics.report(readings, format)
    }
}
