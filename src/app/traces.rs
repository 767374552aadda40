//! Traces, as the configuration wants them.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::store;
use crate::agent;
use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry::{Metrics, Traces, TracesError, Watch};

/// Why spans cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum TracingError {
    /// Certificates cannot be read.
    #[error("telemetry.otlp_ca_file: {0}")]
    Tls(#[from] agent::TlsError),
    /// There is nothing that could.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

/// What watches, and the task that hands spans over until `stop`, where there is one.
pub(super) fn watch(
    config: &Config,
    metrics: &Metrics,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<(Watch, Option<JoinHandle<()>>), TracingError> {
    let metrics = metrics.clone();
    let Some(otlp) = &config.telemetry.otlp else {
        let traces = None;
        return Ok((Watch { metrics, traces }, None));
    };
    let tls = agent::client_config(&otlp.authorities, None)?;
    let (instance, told) = (store::replica(config), metrics.clone());
    let targets = config.telemetry.targets;
    let (traces, exporter) = Traces::new(otlp, tls, instance, targets, told, clock.clone())?;
    let task = tokio::spawn(exporter.run(stop.clone()));
    let traces = Some(traces);
    Ok((Watch { metrics, traces }, Some(task)))
}

/// Gives what was told of until now a last chance to be heard.
pub(super) async fn hand_over(mut task: JoinHandle<()>, stop: &CancellationToken, grace: Duration) {
    stop.cancel();
    if tokio::time::timeout(grace, &mut task).await.is_err() {
        tracing::warn!("the last spans are not taken; they are dropped");
        task.abort();
    }
}
