//! What the log is told: the records of the next commit, what follows from each when it is durable,
//! and those that the store did not take, kept and tried again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::board::{AttemptKey, Ended, Teller};
use super::super::handle::CancelError;
use super::super::observer::Attempted;
use super::{Dispatcher, telling};
use crate::agent::{AgentIndex, Command as AgentCommand, Job};
use crate::clock;
use crate::message::{MessageId, Outcome, Timestamp};
use crate::store::{Record, Recorded, StoreError};

/// How long after a failed commit it is tried again, at first and at most.
pub(super) const RETRY_MIN: Duration = Duration::from_millis(100);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(5);

/// Records, and what follows from each.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Arc<[Record]>,
    pub(super) after: Vec<After>,
}

impl Batch {
    fn of(gathered: Vec<(Record, After)>) -> Self {
        let (records, after): (Vec<_>, _) = gathered.into_iter().unzip();
        Self {
            records: records.into(),
            after,
        }
    }
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
    /// Its request was handed over before.
    Begun(AttemptKey),
    Transmit {
        agent: AgentIndex,
        job: Job,
        /// Since when the message could have been sent.
        since: Timestamp,
    },
    Canceled(oneshot::Sender<Result<(), CancelError>>),
}

impl Dispatcher {
    /// What the next commit records: the batch that failed when it is due again, and nothing else
    /// until then; else what has gathered.
    pub(super) fn next_batch(&mut self) -> Batch {
        let Some(failing) = &mut self.failing else {
            self.unsettled.commit();
            return Batch::of(std::mem::take(&mut self.gathered));
        };
        let is_due = failing.retry_at <= tokio::time::Instant::now();
        let batch = is_due.then(|| failing.batch.take()).flatten();
        batch.unwrap_or_default()
    }

    pub(super) fn recorded(
        &mut self,
        batch: Batch,
        result: Result<Vec<Recorded>, StoreError>,
        withdrawn: &HashSet<MessageId>,
    ) {
        match result {
            Ok(answers) => {
                self.unsettled.committed();
                if self.failing.take().is_some() {
                    tracing::info!("the store can be written again");
                }
                self.follow_up(batch, answers);
            }
            Err(error) => {
                // As a rule all of it is tried again, and shared rather than copied.
                let batch = if withdrawn.is_empty() {
                    batch
                } else {
                    let gathered = batch.records.iter().cloned().zip(batch.after);
                    Batch::of(self.without(gathered, withdrawn))
                };
                // Nothing is left to be tried again, so the next commit is as good a try as any.
                if !batch.records.is_empty() {
                    self.keep(batch, &error);
                }
            }
        }
    }

    /// Leaves out of the next commit what was told of messages that were not taken in.
    pub(super) fn drop_gathered(&mut self, withdrawn: &HashSet<MessageId>) {
        if !withdrawn.is_empty() {
            let gathered = std::mem::take(&mut self.gathered);
            self.gathered = self.without(gathered.into_iter(), withdrawn);
        }
    }

    /// What is left of these when those messages were not taken in. The attempts of the others end.
    fn without(
        &mut self,
        gathered: impl Iterator<Item = (Record, After)>,
        withdrawn: &HashSet<MessageId>,
    ) -> Vec<(Record, After)> {
        let now = self.clock.now();
        let mut left = Vec::new();
        for (record, after) in gathered {
            if !withdrawn.contains(&record.event.message_id) {
                left.push((record, after));
            } else if let After::Transmit { job, .. } = after {
                self.board.superseded(job.key, now);
            }
        }
        left
    }

    /// Does what follows from durable records.
    pub(super) fn follow_up(&mut self, batch: Batch, answers: Vec<Recorded>) {
        let Batch { records, after } = batch;
        let now = self.clock.now();
        let given = clock::now();
        let mut jobs: HashMap<AgentIndex, Vec<Job>> = HashMap::new();
        for ((record, after), answer) in records.iter().zip(after).zip(answers) {
            if let Recorded::Appended(_) = answer {
                let took = record.event.time.since(record.event.message_id.made_at());
                telling::tell(&record.event, took, &self.settings.targets);
                if record.status.is_final() {
                    self.observer.finished(&record.event, took);
                }
            }
            match (after, answer) {
                (After::Nothing, _) => {}
                (After::Transmit { job, .. }, Recorded::Appended(_))
                    if self.board.lapsed(job.key, now) => {}
                (After::Transmit { agent, job, since }, Recorded::Appended(_)) => {
                    self.observer.begun(&record.event, since, given);
                    self.board.sending(job.key, given);
                    jobs.entry(agent).or_default().push(job);
                }
                (After::Begun(_), Recorded::Appended(_)) => {}
                // Of what the store rejects nothing more can be told.
                (After::Transmit { job, .. }, Recorded::Ended | Recorded::Rejected) => {
                    self.board.superseded(job.key, now);
                }
                (After::Begun(key), Recorded::Ended | Recorded::Rejected) => {
                    self.board.superseded(key, now);
                }
                (After::Canceled(reply), Recorded::Appended(_)) => drop(reply.send(Ok(()))),
                (After::Canceled(reply), Recorded::Ended) => {
                    drop(reply.send(Err(CancelError::TooLate)));
                }
                (After::Canceled(reply), Recorded::Rejected) => {
                    let error = StoreError::Rejected("its end cannot be recorded".to_owned());
                    drop(reply.send(Err(error.into())));
                }
            }
        }
        for (index, jobs) in jobs {
            self.transmit(index, jobs, now);
        }
    }

    /// Hands jobs to their agent. One that has ended meanwhile takes none, and its last report is
    /// behind us or knows nothing of these. None are handed over by a replica that was not heard of
    /// for too long: another one may have begun with them.
    pub(super) fn transmit(&mut self, index: AgentIndex, jobs: Vec<Job>, now: Timestamp) {
        let keys: Vec<_> = jobs.iter().map(|job| job.key).collect();
        let agent = self.agents.get(&index);
        let is_held = self.store.is_held();
        if is_held && agent.is_some_and(|agent| agent.tell(AgentCommand::Send(jobs))) {
            return;
        }
        let teller = agent.map(super::teller);
        for key in keys {
            self.end_attempt(key, Outcome::NotWritten, teller.as_ref(), now);
        }
    }

    /// Ends an attempt: as its agent reports, or because there is no agent any more.
    pub(super) fn end_attempt(
        &mut self,
        key: AttemptKey,
        outcome: Outcome,
        teller: Option<&Teller>,
        now: Timestamp,
    ) {
        let (code, jitter) = (outcome.code(), self.jitter());
        let ended = self.board.ended(key, outcome, teller, now, jitter);
        if let Some(ended) = ended {
            let took = self.tell_attempt(&ended, teller, code);
            self.lingering.ended(key, took);
        }
    }

    /// Tells of an attempt that ended, and gives how long it took.
    pub(super) fn tell_attempt(
        &self,
        ended: &Ended,
        teller: Option<&Teller>,
        code: Result<u16, &'static str>,
    ) -> Option<Duration> {
        let attempted = Attempted {
            message: ended.message,
            trace: ended.trace,
            attempt: ended.attempt,
            agent: teller.map(|teller| &*teller.agent),
            code,
            given: ended.given,
            ended: clock::now(),
        };
        self.observer.attempted(&attempted);
        attempted.took()
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
