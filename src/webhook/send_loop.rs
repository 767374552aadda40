//! Chooses the next post with [`Queues`]; looks and posts run beside it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::queues::{PostEnd, QueueAction, Queues};
use super::sender::DeliverySender;
use crate::message::Timestamp;
use crate::store::{Due, QueueHead, StoreError, WebhookHealth};

/// How often the store is searched for queues without a hint.
const SWEEP: Duration = Duration::from_secs(1);
/// Queues read at once in such a sweep.
const SWEEP_PAGE: usize = 256;
/// How often pending deliveries, and the states of endpoints, are counted.
const COUNT: Duration = Duration::from_secs(10);
/// Before another look after an error of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// The result of a task beside the loop.
pub(super) enum TaskResult {
    Found(Arc<str>, Result<Due, StoreError>),
    Ended(Arc<str>, u64, PostEnd),
    /// Nothing was posted: the queue has no receiver now.
    Closed(Arc<str>, u64),
    Swept(Result<Vec<QueueHead>, StoreError>),
    Counted(Result<(u64, WebhookHealth), StoreError>),
}

type Task = Pin<Box<dyn Future<Output = TaskResult> + Send>>;

/// Posts until it is stopped, and then until every post under way has ended.
pub(super) async fn run(
    sender: Arc<DeliverySender>,
    concurrency: usize,
    mut hints: mpsc::Receiver<Arc<str>>,
    stop: CancellationToken,
) {
    let mut state = SendLoop {
        queues: Queues::new(concurrency),
        tasks: FuturesUnordered::new(),
        swept_to: None,
        is_sweeping: false,
        sender,
    };
    let (mut sweep_at, mut count_at) = (Instant::now(), Instant::now());
    let mut changes = state.sender.endpoints.changes();
    loop {
        if stop.is_cancelled() {
            if state.queues.in_flight() == 0 {
                return;
            }
        } else {
            state.begin();
        }
        let deadline = state.deadline();
        tokio::select! {
            Some(done) = state.tasks.next() => state.take(done),
            Some(queue) = hints.recv() => state.hint(&queue),
            // One that was enabled again has something to post, perhaps.
            Ok(()) = changes.changed() => sweep_at = Instant::now(),
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = tokio::time::sleep_until(sweep_at) => {
                sweep_at = Instant::now() + SWEEP;
                if !state.is_sweeping {
                    state.sweep();
                }
            }
            () = tokio::time::sleep_until(count_at) => {
                count_at = Instant::now() + COUNT;
                state.count();
            }
            () = tokio::time::sleep(deadline) => {}
        }
    }
}

/// The loop's own state.
struct SendLoop {
    sender: Arc<DeliverySender>,
    queues: Queues,
    tasks: FuturesUnordered<Task>,
    /// Where the sweep goes on; `None` at the beginning.
    swept_to: Option<Arc<str>>,
    /// A page is being read, or has just been.
    is_sweeping: bool,
}

impl SendLoop {
    /// Begins whatever may be begun.
    fn begin(&mut self) {
        while let Some(output) = self.queues.poll(self.sender.clock.now()) {
            match output {
                QueueAction::Look(queue, limit) => {
                    let now = self.sender.clock.now();
                    let found = self.sender.store.due(queue.clone(), now, limit);
                    self.spawn(async move { TaskResult::Found(queue, found.await) });
                }
                QueueAction::Post(delivery) => {
                    let sender = self.sender.clone();
                    self.spawn(async move { sender.deliver(delivery).await });
                }
            }
        }
    }

    /// How long until something is to be done; the sweep wakes the loop anyway.
    fn deadline(&self) -> Duration {
        let now = self.sender.clock.now();
        let left = self.queues.deadline().map(|at| at.since(now));
        // A delivery that is due already waits for room, not for time.
        left.filter(|left| !left.is_zero()).unwrap_or(SWEEP)
    }

    fn take(&mut self, done: TaskResult) {
        let now = self.sender.clock.now();
        match done {
            TaskResult::Found(queue, Ok(due)) => self.queues.handle_found(&queue, due),
            TaskResult::Found(queue, Err(error)) => {
                tracing::debug!(%error, queue = &*queue, "failed to read deliveries");
                self.queues.handle_not_found(&queue, now.plus(PAUSE));
            }
            TaskResult::Ended(queue, seq, end) => self.queues.handle_ended(&queue, seq, end, now),
            TaskResult::Closed(queue, seq) => {
                self.queues.handle_ended(&queue, seq, PostEnd::Void, now);
                self.queues.handle_closed(&queue);
            }
            TaskResult::Swept(Ok(heads)) => self.swept(&heads, now),
            TaskResult::Swept(Err(error)) => {
                self.is_sweeping = false;
                tracing::warn!(%error, "failed to look for deliveries; trying again");
            }
            TaskResult::Counted(Err(error)) => {
                tracing::warn!(%error, "failed to count deliveries; trying again");
            }
            TaskResult::Counted(Ok((pending, health))) => {
                self.sender.observer.pending(pending);
                self.sender.observer.health(health);
            }
        }
    }

    fn hint(&mut self, queue: &Arc<str>) {
        let now = self.sender.clock.now();
        let owner = || self.sender.owner(queue);
        self.queues.handle_head(queue, now, now, owner);
    }

    fn sweep(&mut self) {
        self.is_sweeping = true;
        self.queues.tidy(self.sender.clock.now());
        let heads = self.sender.store.queues(self.swept_to.clone(), SWEEP_PAGE);
        self.spawn(async move { TaskResult::Swept(heads.await) });
    }

    /// Takes note of the queues of a page; when it is full, the next page follows at once.
    fn swept(&mut self, heads: &[QueueHead], now: Timestamp) {
        for head in heads {
            if self.sender.is_open(&head.queue) {
                let owner = || self.sender.owner(&head.queue);
                self.queues
                    .handle_head(&head.queue, head.next_at, now, owner);
            }
        }
        self.is_sweeping = false;
        let is_full = heads.len() == SWEEP_PAGE;
        self.swept_to = heads
            .last()
            .filter(|_| is_full)
            .map(|head| head.queue.clone());
        if is_full {
            self.sweep();
        }
    }

    fn count(&mut self) {
        let pending = self.sender.store.pending_deliveries();
        let health = self.sender.store.webhook_health();
        self.spawn(async move { TaskResult::Counted(tokio::try_join!(pending, health)) });
    }

    fn spawn(&mut self, task: impl Future<Output = TaskResult> + Send + 'static) {
        self.tasks.push(Box::pin(task));
    }
}
