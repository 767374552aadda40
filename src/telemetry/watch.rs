//! The observer of the rooms whose work is both counted and traced.

use std::time::{Duration, Instant};

use http::Method;

use super::{Metrics, Traces};
use crate::api;
use crate::api::Answered;
use crate::dispatch;
use crate::dispatch::Attempted;
use crate::message::{Event, Timestamp, Trace};
use crate::webhook;
use crate::webhook::{PartOf, Posted};

/// The metrics, and the traces where a collector is configured. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    /// Counts.
    pub metrics: Metrics,
    /// Writes spans.
    pub traces: Option<Traces>,
}

impl dispatch::MessageObserver for Watch {
    fn accepted(&self, messages: usize) {
        self.metrics.accepted(messages);
    }

    fn attempted(&self, attempted: &Attempted<'_>) {
        self.metrics.attempted(attempted);
        if let Some(traces) = &self.traces {
            traces.attempted(attempted);
        }
    }

    fn begun(&self, sending: &Event, since: Timestamp, given: Instant) {
        if let Some(traces) = &self.traces {
            traces.begun(sending, since, given);
        }
    }

    fn finished(&self, event: &Event, took: Duration) {
        self.metrics.finished(event, took);
        if let Some(traces) = &self.traces {
            traces.finished(event);
        }
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
