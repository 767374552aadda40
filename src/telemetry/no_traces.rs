//! [`Traces`] of a binary that was built without the feature `otlp`: there are none, so nothing
//! here runs but the refusal.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use rustls::ClientConfig;
use tokio_util::sync::CancellationToken;

use super::Metrics;
use super::otlp::{Otlp, WITHOUT_OTLP};
use crate::api::Answered;
use crate::clock::Clock;
use crate::dispatch::FinishedAttempt;
use crate::message::{Event, Targets, Timestamp, Trace};
use crate::webhook::{PartOf, Posted};

/// A writer of spans, of which there is none.
#[derive(Clone, Copy, Debug)]
pub enum Traces {}

/// An exporter of spans, of which there is none.
#[derive(Clone, Copy, Debug)]
pub enum Exporter {}

/// Why there is no exporter: the feature is missing.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("telemetry.otlp_endpoint: {WITHOUT_OTLP}")]
pub struct TracesError;

impl Traces {
    /// Refuses.
    pub fn new(
        _: &Otlp,
        _: Arc<ClientConfig>,
        _: String,
        _: Targets,
        _: Metrics,
        _: Clock,
    ) -> Result<(Self, Exporter), TracesError> {
        Err(TracesError)
    }

    pub(super) fn asked(&self, _: &Method, _: Option<&str>, _: Option<Trace>) -> Option<Trace> {
        match *self {}
    }

    pub(super) fn answered(&self, _: &Answered<'_>) {
        match *self {}
    }

    pub(super) fn begun(&self, _: &Event, _: Timestamp, _: Instant) {
        match *self {}
    }

    pub(super) fn finished(&self, _: &Event) {
        match *self {}
    }

    pub(super) fn attempted(&self, _: &FinishedAttempt<'_>) {
        match *self {}
    }

    pub(super) fn posting(&self, _: &PartOf) -> Trace {
        match *self {}
    }

    pub(super) fn posted(&self, _: &Posted<'_>) {
        match *self {}
    }
}

impl Exporter {
    pub async fn run(self, _: CancellationToken) {
        match self {}
    }
}
