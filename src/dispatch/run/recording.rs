//! What becomes durable: one batch at a time, what follows from each record when it is, and the
//! batch that the store did not take, kept and tried again.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::handle::CancelError;
use super::Dispatcher;
use crate::agent::AgentIndex;
use crate::agent::Command as AgentCommand;
use crate::agent::Job;
use crate::store::Record;
use crate::store::Recorded;
use crate::store::Reply;
use crate::store::StoreError;

/// How long after a failed commit it is tried again, at first and at most.
pub(super) const RETRY_MIN: Duration = Duration::from_millis(100);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(5);

/// Records, and what follows from each.
pub(super) struct Batch {
    pub(super) records: Arc<[Record]>,
    pub(super) after: Vec<After>,
}

/// A batch under way to the disk.
pub(super) struct Recording {
    pub(super) answer: Reply<Vec<Recorded>>,
    pub(super) batch: Batch,
}

/// The store failed; the batch is kept and tried again.
pub(super) struct Failing {
    /// `None` while it is tried.
    pub(super) batch: Option<Batch>,
    pub(super) wait: Duration,
    pub(super) retry_at: tokio::time::Instant,
}

/// What follows when a record is durable.
pub(super) enum After {
    Nothing,
    Transmit { agent: AgentIndex, job: Job },
    Canceled(oneshot::Sender<Result<(), CancelError>>),
}

impl Dispatcher {
    pub(super) fn record_gathered(&mut self) {
        if self.recording.is_some() || self.failing.is_some() || self.gathered.is_empty() {
            return;
        }
        let (records, after): (Vec<_>, _) = std::mem::take(&mut self.gathered).into_iter().unzip();
        self.record(Batch {
            records: records.into(),
            after,
        });
    }

    pub(super) fn record(&mut self, batch: Batch) {
        self.recording = Some(Recording {
            answer: self.store.record(batch.records.clone()),
            batch,
        });
    }

    pub(super) fn retry_failed(&mut self) {
        let is_due = self
            .failing
            .as_ref()
            .is_some_and(|f| f.retry_at <= tokio::time::Instant::now());
        if is_due
            && self.recording.is_none()
            && let Some(failing) = &mut self.failing
            && let Some(batch) = failing.batch.take()
        {
            self.record(batch);
        }
    }

    pub(super) fn recorded(&mut self, result: Result<Vec<Recorded>, StoreError>) {
        let Some(Recording { batch, .. }) = self.recording.take() else {
            return;
        };
        match result {
            Ok(answers) => {
                if self.failing.take().is_some() {
                    tracing::info!("the store can be written again");
                }
                self.follow_up(batch.after, answers);
            }
            Err(error) => self.keep(batch, &error),
        }
    }

    /// Does what follows from durable records.
    pub(super) fn follow_up(&mut self, after: Vec<After>, answers: Vec<Recorded>) {
        let now = self.clock.now();
        let mut jobs: HashMap<AgentIndex, Vec<Job>> = HashMap::new();
        for (after, answer) in after.into_iter().zip(answers) {
            match (after, answer) {
                (After::Nothing, _) => {}
                (After::Transmit { agent, job }, Recorded::Appended(_)) => {
                    self.board.sending(job.key);
                    jobs.entry(agent).or_default().push(job);
                }
                (After::Transmit { job, .. }, Recorded::Ended) => {
                    self.board.superseded(job.key, now);
                }
                (After::Canceled(reply), Recorded::Appended(_)) => drop(reply.send(Ok(()))),
                (After::Canceled(reply), Recorded::Ended) => {
                    drop(reply.send(Err(CancelError::TooLate)));
                }
            }
        }
        for (index, jobs) in jobs {
            // An agent that has ended reports `Gone`, and its attempts are concluded there.
            if let Some(agent) = self.agents.get(&index) {
                agent.tell(AgentCommand::Send(jobs));
            }
        }
    }

    /// Keeps a batch that the store did not take. Clients that wait for a cancellation are told;
    /// it will still be recorded.
    pub(super) fn keep(&mut self, mut batch: Batch, error: &StoreError) {
        for after in &mut batch.after {
            if matches!(after, After::Canceled(_))
                && let After::Canceled(reply) = std::mem::replace(after, After::Nothing)
            {
                drop(reply.send(Err(CancelError::Store(error.clone()))));
            }
        }
        let wait = match &self.failing {
            None => {
                tracing::error!(%error, "events cannot be written; they are kept and tried again");
                RETRY_MIN
            }
            Some(failing) => (failing.wait * 2).min(RETRY_MAX),
        };
        let retry_at = tokio::time::Instant::now() + wait;
        self.failing = Some(Failing {
            batch: Some(batch),
            wait,
            retry_at,
        });
    }
}

pub(super) async fn recorded(
    recording: &mut Option<Recording>,
) -> Result<Vec<Recorded>, StoreError> {
    match recording {
        Some(recording) => (&mut recording.answer).await,
        None => pending().await,
    }
}
