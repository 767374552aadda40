//! Traces, as the configuration says.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{AppError, store};
use crate::agent;
use crate::clock::Clock;
use crate::config::Config;
use crate::telemetry::{Metrics, Traces, Watch};

/// The observer of the rooms, and the task that exports spans until `stop`, if there is one.
pub(super) fn watch(
    config: &Config,
    metrics: &Metrics,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<(Watch, Option<JoinHandle<()>>), AppError> {
    let metrics = metrics.clone();
    let Some(otlp) = &config.telemetry.otlp else {
        let traces = None;
        return Ok((Watch { metrics, traces }, None));
    };
    let tls = agent::client_config(&otlp.authorities, None)?;
    let (instance, counted) = (store::replica(config), metrics.clone());
    let targets = config.telemetry.targets;
    let (traces, exporter) = Traces::new(otlp, tls, instance, targets, counted, clock.clone())?;
    let task = tokio::spawn(exporter.run(stop.clone()));
    let traces = Some(traces);
    Ok((Watch { metrics, traces }, Some(task)))
}
