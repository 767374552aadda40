//! Exports spans to a collector, in batches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry::{Metrics, Otlp};

/// Spans that wait. Further ones are dropped, and counted.
pub(super) const QUEUE: usize = 8_192;
/// Spans in one post.
const BATCH: usize = 1_024;
/// How long the first span of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long a batch may take, retries included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client cannot be made.
    #[error("the client for spans cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The exporter cannot be made.
    #[error("telemetry.otlp_endpoint: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// Posts spans, in a task of its own.
pub struct Exporter {
    spans: mpsc::Receiver<SpanData>,
    otlp: opentelemetry_otlp::SpanExporter,
    metrics: Metrics,
    /// As of the last batch.
    dropped: u64,
    is_failing: bool,
    is_dropping: bool,
}

impl Exporter {
    pub(super) fn new(
        settings: &Otlp,
        tls: Arc<ClientConfig>,
        instance: String,
        spans: mpsc::Receiver<SpanData>,
        metrics: Metrics,
    ) -> Result<Self, TracesError> {
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("sipost/", env!("CARGO_PKG_VERSION")))
            // Do not follow redirects: the request carries the key of the collector.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .timeout(TIMEOUT)
            .tls_backend_preconfigured(tls.as_ref().clone());
        if settings.is_this_machine {
            client = client.no_proxy();
        }
        let client = client.build()?;
        let header = |(name, value): &(HeaderName, HeaderValue)| {
            let value = value.to_str().unwrap_or_default();
            (name.to_string(), value.to_owned())
        };
        let headers: HashMap<_, _> = settings.headers.iter().map(header).collect();
        let mut otlp = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(settings.url.as_str())
            .with_timeout(TIMEOUT)
            .with_headers(headers)
            .with_http_client(client)
            .build()?;
        // Added to OTEL_RESOURCE_ATTRIBUTES, which describes the environment.
        let resource = Resource::builder()
            .with_service_name("sipost")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance))
            .build();
        otlp.set_resource(&resource);
        Ok(Self {
            spans,
            otlp,
            metrics,
            dropped: 0,
            is_failing: false,
            is_dropping: false,
        })
    }

    /// Posts until `stop`, and then the spans that wait.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            self.gather(&mut batch, &stop).await;
            if batch.is_empty() {
                return;
            }
            self.export(std::mem::take(&mut batch)).await;
        }
    }

    /// Fills a batch: waits for a span, and then [`DELAY`] for others. Empty at the end.
    async fn gather(&mut self, batch: &mut Vec<SpanData>, stop: &CancellationToken) {
        let mut due = None;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            tokio::select! {
                count = self.spans.recv_many(batch, room) => match (count, due) {
                    (0, _) => return,
                    (_, None) => due = Some(Instant::now() + DELAY),
                    (_, Some(_)) => {}
                },
                () = until(due) => return,
                () = stop.cancelled(), if !self.spans.is_closed() => self.spans.close(),
            }
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = batch.len();
        let result = self.otlp.export(batch).await;
        self.metrics.spans_exported(count, result.is_ok());
        match (&result, self.is_failing) {
            (Err(error), false) => {
                tracing::warn!(%error, "failed to export spans; they are dropped until the collector takes them");
            }
            (Ok(()), true) => tracing::info!("spans are exported again"),
            (Err(_), true) | (Ok(()), false) => {}
        }
        self.is_failing = result.is_err();

        let dropped = self.metrics.spans_dropped();
        let is_dropping = dropped > self.dropped;
        if is_dropping && !self.is_dropping {
            tracing::warn!("spans come faster than they are exported; some are dropped");
        }
        (self.dropped, self.is_dropping) = (dropped, is_dropping);
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
