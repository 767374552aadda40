//! The records of the next commit, the commit that runs, what follows from each record when it is
//! durable, and the records of a commit that failed, kept and tried again.

use std::collections::HashSet;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::super::admission::AcceptRequest;
use super::super::board::AttemptKey;
use super::super::handle::CancelError;
use super::commit_delay::CommitDelay;
use super::early::EarlyRequests;
use crate::agent::{AgentIndex, Job};
use crate::clock;
use crate::message::retry::Backoff;
use crate::message::{MessageId, Timestamp};
use crate::store::{Record, Recorded, Reply, Store, StoreError, Submission, Verdict};

/// Between two tries at a store that fails.
pub(super) const STORE_BACKOFF: Backoff = Backoff {
    min: Duration::from_millis(100),
    max: Duration::from_secs(5),
};

pub(super) struct Journal {
    store: Arc<dyn Store>,
    /// The last commit went through.
    is_well: bool,
    /// For the next commit.
    gathered: Vec<(Record, After)>,
    /// The commit that runs.
    committing: Option<BoxFuture<'static, Committed>>,
    failing: Option<Failing>,
    /// Targets to which a message has ended that the store still knows as open, by the next commit
    /// and by the one that runs. Should the process end now, that message would be sent again, and
    /// must not come after a later one.
    ends_gathered: HashSet<Arc<str>>,
    ends_committing: HashSet<Arc<str>>,
    delay: CommitDelay,
    early: EarlyRequests,
    /// The store was told that something was sent early, and not yet that all of it is settled.
    is_unsettled: bool,
    /// Commits begun, and who waits for the end of which.
    begun: u64,
    flushes: Vec<(u64, oneshot::Sender<()>)>,
}

/// What follows when a record is durable.
#[expect(
    clippy::large_enum_variant,
    reason = "every message has the large one: a box would be an allocation more for each"
)]
pub(super) enum After {
    Nothing,
    /// Its request was handed over before.
    Begun(AttemptKey),
    Transmit {
        agent: AgentIndex,
        job: Job,
        /// Since when the message could have been sent.
        since: Timestamp,
        /// When its record was made.
        begun: Instant,
    },
    Canceled(oneshot::Sender<Result<(), CancelError>>),
}

/// Records, and what follows from each.
#[derive(Default)]
pub(super) struct RecordBatch {
    pub(super) records: Arc<[Record]>,
    pub(super) after: Vec<After>,
}

/// A commit that is over: requests to take in, records, and what the store answers to both.
pub(super) struct Committed {
    pub(super) requests: Vec<AcceptRequest>,
    pub(super) accepted: Result<Vec<Verdict>, StoreError>,
    pub(super) batch: RecordBatch,
    pub(super) recorded: Result<Vec<Recorded>, StoreError>,
}

/// The store failed; the batch is kept and tried again.
struct Failing {
    /// `None` while it is tried.
    batch: Option<RecordBatch>,
    failures: u32,
    retry_at: Instant,
}

impl Journal {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            delay: CommitDelay::new(store.commits_are_dear()),
            store,
            is_well: false,
            gathered: Vec::new(),
            committing: None,
            failing: None,
            ends_gathered: HashSet::new(),
            ends_committing: HashSet::new(),
            early: EarlyRequests::default(),
            is_unsettled: false,
            begun: 0,
            flushes: Vec::new(),
        }
    }

    /// Whether everything that happened is durable.
    pub(super) fn is_idle(&self) -> bool {
        self.gathered.is_empty() && self.committing.is_none() && self.failing.is_none()
    }

    /// Whether a commit runs.
    pub(super) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// Whether the store took no records when it was last asked to.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Whether requests may be written before their records are durable.
    pub(super) fn may_send_early(&self) -> bool {
        self.is_well && self.store.is_alone()
    }

    /// Whether the request of this attempt to this target is sent before its record is durable.
    /// Then no other replica begins until that is settled.
    pub(super) fn send_early(&mut self, key: AttemptKey, uri: &str) -> bool {
        let mut ends = [&self.ends_gathered, &self.ends_committing].into_iter();
        let may = self.is_well && !ends.any(|ends| ends.contains(uri)) && self.store.send_early();
        if may {
            self.early.sent(key);
            self.is_unsettled = true;
        }
        may
    }

    /// What became of the record of a request that was sent early.
    pub(super) fn settle_early(&mut self, key: AttemptKey, recorded: Recorded) {
        match recorded {
            Recorded::Appended(_) => self.early.durable(key),
            Recorded::Ended | Recorded::Rejected => self.early.refused(key),
        }
        self.tell_settled();
    }

    fn tell_settled(&mut self) {
        if self.is_unsettled && self.early.are_settled() {
            self.is_unsettled = false;
            self.store.settled();
        }
    }

    /// Adds a record to the next commit.
    pub(super) fn push(&mut self, record: Record, after: After) {
        if record.status.is_final() {
            self.ends_gathered.insert(record.event.uri.clone());
        }
        if let After::Begun(key) = after {
            self.delay.begun(key);
        }
        self.gathered.push((record, after));
    }

    /// An attempt has ended, so long after it was handed to its agent.
    pub(super) fn attempt_ended(&mut self, key: AttemptKey, took: Option<Duration>) {
        self.delay.ended(key, took);
        self.early.ended(key);
        self.tell_settled();
    }

    /// Begins or ends the delay of the next commit, as [`CommitDelay`] says; whether the commit
    /// waits now.
    pub(super) fn delay_commit(&mut self, in_flight: usize, now: Instant) -> bool {
        let mut gathered = self.gathered.iter();
        let is_awaited = gathered.any(|(_, after)| matches!(after, After::Transmit { .. }));
        self.delay.update(in_flight, is_awaited, now);
        self.delay.should_wait(now)
    }

    /// When the next commit is due although nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let retry = self.failing.as_ref().map(|failing| failing.retry_at);
        retry.into_iter().chain(self.delay.until()).min()
    }

    /// Hands the store what there is, in one commit. No other may run.
    pub(super) fn commit(&mut self, requests: Vec<AcceptRequest>) {
        let batch = self.next_batch();
        if requests.is_empty() && batch.is_empty() {
            return self.flushed(u64::MAX);
        }
        self.begun += 1;
        self.delay.committing(clock::now());
        let submissions: Vec<_> = requests.iter().map(submission).collect();
        let records = batch.records.clone();
        let (accepted, recorded): (Reply<_>, Reply<_>) =
            match (submissions.is_empty(), records.is_empty()) {
                (false, false) => self.store.accept_and_record(submissions, records),
                (false, true) => (self.store.accept(submissions), nothing()),
                (true, _) => (nothing(), self.store.record(records)),
            };
        let committed = async {
            let (accepted, recorded) = futures_util::future::join(accepted, recorded).await;
            Committed {
                requests,
                accepted,
                batch,
                recorded,
            }
        };
        self.committing = Some(committed.boxed());
    }

    /// The batch that failed when it is due again, and nothing else until then; else what has
    /// gathered.
    fn next_batch(&mut self) -> RecordBatch {
        let Some(failing) = &mut self.failing else {
            self.ends_committing.extend(self.ends_gathered.drain());
            return RecordBatch::of(std::mem::take(&mut self.gathered));
        };
        let is_due = failing.retry_at <= clock::now();
        let batch = is_due.then(|| failing.batch.take()).flatten();
        batch.unwrap_or_default()
    }

    /// Resolves at the end of the commit that runs; never when none does. Cancel-safe.
    pub(super) async fn committed(&mut self) -> Committed {
        let Some(running) = &mut self.committing else {
            return pending().await;
        };
        let committed = running.await;
        self.committing = None;
        self.flushed(self.begun);
        self.delay.committed(clock::now());
        self.is_well = committed.accepted.is_ok() && committed.recorded.is_ok();
        committed
    }

    /// Answers when everything that was sent until now has been committed, or its commit has
    /// failed. `has_offered`: messages were begun that no commit has yet.
    pub(super) fn flush(&mut self, has_offered: bool, reply: oneshot::Sender<()>) {
        if has_offered || !self.gathered.is_empty() {
            self.flushes.push((self.begun + 1, reply));
        } else if self.is_committing() {
            self.flushes.push((self.begun, reply));
        } else {
            // One that waits no more has lost nothing.
            let _ = reply.send(());
        }
    }

    /// Answers those that wait for this commit, or for one before it.
    fn flushed(&mut self, commit: u64) {
        for (_, reply) in self
            .flushes
            .extract_if(.., |(awaited, _)| *awaited <= commit)
        {
            let _ = reply.send(());
        }
    }

    /// Leaves messages out of the next commit that were not taken in; returns their attempts that
    /// have not begun.
    pub(super) fn withdraw(&mut self, withdrawn: &HashSet<MessageId>) -> Vec<AttemptKey> {
        if withdrawn.is_empty() {
            return Vec::new();
        }
        let gathered = std::mem::take(&mut self.gathered);
        let (gathered, unbegun) = self.without(gathered, withdrawn);
        self.gathered = gathered;
        unbegun
    }

    /// The store took the records of a commit.
    pub(super) fn recorded(&mut self) {
        self.ends_committing.clear();
        if self.failing.take().is_some() {
            tracing::info!("the store can be written again");
        }
    }

    /// Keeps a batch that the store did not take, without messages that were not taken in; returns
    /// their attempts that have not begun. Clients that wait for a cancellation are answered with
    /// the error; it will still be recorded.
    pub(super) fn keep(
        &mut self,
        mut batch: RecordBatch,
        withdrawn: &HashSet<MessageId>,
        error: &StoreError,
    ) -> Vec<AttemptKey> {
        let mut unbegun = Vec::new();
        // As a rule all of it is tried again, and shared rather than copied.
        if !withdrawn.is_empty() {
            let gathered = batch.records.iter().cloned().zip(batch.after);
            let (left, keys) = self.without(gathered, withdrawn);
            (batch, unbegun) = (RecordBatch::of(left), keys);
        }
        if batch.is_empty() {
            // Nothing is left to be tried again: the next commit is as good a try as any.
            self.failing = None;
            return unbegun;
        }
        for after in &mut batch.after {
            if matches!(after, After::Canceled(_))
                && let After::Canceled(reply) = std::mem::replace(after, After::Nothing)
            {
                drop(reply.send(Err(CancelError::Store(error.clone()))));
            }
        }
        if self.failing.is_none() {
            tracing::error!(%error, "failed to write events; keeping them and trying again");
        }
        let failures = 1 + self.failing.as_ref().map_or(0, |failing| failing.failures);
        self.failing = Some(Failing {
            batch: Some(batch),
            failures,
            retry_at: clock::now() + STORE_BACKOFF.wait(failures, 1.0),
        });
        unbegun
    }

    /// The records of other messages than those withdrawn, and the attempts of the withdrawn ones
    /// that have not begun.
    fn without(
        &mut self,
        gathered: impl IntoIterator<Item = (Record, After)>,
        withdrawn: &HashSet<MessageId>,
    ) -> (Vec<(Record, After)>, Vec<AttemptKey>) {
        let (mut left, mut unbegun) = (Vec::new(), Vec::new());
        for (record, after) in gathered {
            if !withdrawn.contains(&record.event.message_id) {
                left.push((record, after));
                continue;
            }
            match after {
                After::Transmit { job, .. } => unbegun.push(job.key),
                After::Begun(key) => self.early.refused(key),
                After::Nothing | After::Canceled(_) => {}
            }
        }
        self.tell_settled();
        (left, unbegun)
    }
}

impl RecordBatch {
    fn of(gathered: Vec<(Record, After)>) -> Self {
        let (records, after): (Vec<_>, _) = gathered.into_iter().unzip();
        Self {
            records: records.into(),
            after,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Clones what the store is to keep; the request is needed for its answer.
fn submission(request: &AcceptRequest) -> Submission {
    Submission {
        messages: request.messages.clone(),
        key: request.key.clone(),
    }
}

fn nothing<T: Send + 'static>() -> Reply<Vec<T>> {
    Box::pin(async { Ok(Vec::new()) })
}
