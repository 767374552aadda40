//! The SIP messages that pass: what agents do with them, and the tasks that write and send them.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{AppError, STEP};
use crate::agent;
use crate::clock::Clock;
use crate::config::Config;
use crate::dispatch::SipTraces;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::trace;
use crate::trace::Recorder;

/// What agents share, what readers ask, and the tasks.
pub(super) struct Frames {
    pub(super) recorder: Arc<Recorder>,
    pub(super) traces: SipTraces,
    pub(super) tasks: FrameTasks,
}

/// The tasks that write and send frames.
pub(super) struct FrameTasks {
    tasks: JoinSet<()>,
    /// They end when nothing waits any more.
    stop: CancellationToken,
}

impl Frames {
    pub(super) fn new(
        config: &Config,
        store: &Arc<dyn Store>,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, AppError> {
        let mut tasks = JoinSet::new();
        let stop = CancellationToken::new();
        let observer = Arc::new(metrics.clone());
        let mut queue = None;
        if let Some(settings) = &config.hep {
            let tls = agent::client_config(&settings.authorities, None)?;
            let bodies = config.trace.bodies;
            let (offered, sender) = trace::hep(settings.clone(), tls, bodies, observer.clone());
            queue = Some(offered);
            tasks.spawn(sender.run(stop.clone()));
        }
        let recorder = Arc::new(Recorder::new(config.trace, queue, observer));
        let traces = SipTraces::new(recorder.clone(), store.clone());
        tasks.spawn(traces.clone().write(clock.clone(), stop.clone()));
        let tasks = FrameTasks { tasks, stop };
        Ok(Self {
            recorder,
            traces,
            tasks,
        })
    }
}

impl FrameTasks {
    /// Writes and sends what waits, as far as that takes no longer than a step of a shutdown.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        let ending = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STEP, ending).await.is_err() {
            tracing::warn!("failed to store or send the last SIP messages; they are dropped");
        }
    }
}
