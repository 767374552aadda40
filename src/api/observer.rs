//! Who wants to know what clients ask for, and writes down the figures of `GET /metrics`.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};

use crate::dispatch::QueueCounts;
use crate::message::{AgentState, Timestamp, Trace};

/// Told of every answer. Called with every request, so it must neither block nor be slow.
pub trait Observer: Send + Sync {
    /// A request to this route came, as part of the client's trace if that told of one. Gives the
    /// trace that what follows from the request is part of.
    fn asked(&self, _: &Method, _route: Option<&str>, client: Option<Trace>) -> Option<Trace> {
        client
    }

    /// A request was answered.
    fn answered(&self, answered: &Answered<'_>);

    /// Every metric, with these readings, in this text format.
    fn report(&self, readings: Readings, format: MetricsFormat) -> String;
}

/// No figures are wanted.
impl Observer for () {
    fn answered(&self, _: &Answered<'_>) {}

    fn report(&self, _: Readings, _: MetricsFormat) -> String {
        String::new()
    }
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    pub method: &'a Method,
    /// Its route, if there is one.
    pub route: Option<&'a str>,
    /// What its client or we call it.
    pub id: &'a str,
    /// The status of the answer.
    pub status: StatusCode,
    /// When it came.
    pub begun: Instant,
    /// Up to the head of the answer; an event stream goes on after that.
    pub took: Duration,
    /// The trace that the client told of.
    pub client: Option<Trace>,
    /// What [`Observer::asked`] gave.
    pub trace: Option<Trace>,
}

/// The text formats of `GET /metrics`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricsFormat {
    /// `text/plain; version=0.0.4`, which every scraper reads.
    Classic,
    /// `application/openmetrics-text; version=1.0.0`, for clients that ask for it.
    OpenMetrics,
}

/// What stands somewhere at the moment, and is not counted.
#[derive(Clone, Debug)]
pub struct Readings {
    /// How many messages are where; `None` when the dispatcher has ended.
    pub counts: Option<QueueCounts>,
    /// What each agent is doing.
    pub agents: Vec<AgentState>,
    /// Event streams that are open.
    pub streams: usize,
    pub now: Timestamp,
}
