//! Posts due deliveries. One task decides with [`Queues`]; looks and posts run beside it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::client::{Client, Observer, PartOf, Post, PostResult, Posted};
use super::endpoint_cache::EndpointCache;
use super::queues::{PostEnd, QueueAction, Queues};
use super::schedule::Schedule;
use super::secrets::SigningSecret;
use crate::clock;
use crate::clock::Clock;
use crate::message::{EndpointId, Event, Timestamp, webhook};
use crate::store::{
    Attempt, Attempted, Change, Disabled, DisabledBecause, Due, DueDelivery, Fate, QueueHead,
    Store, StoreError,
};

/// How often the store is searched for queues without a hint.
const SWEEP: Duration = Duration::from_secs(1);
/// Queues read at once in such a sweep.
const SWEEP_PAGE: usize = 256;
/// How often pending deliveries are counted.
const COUNT: Duration = Duration::from_secs(10);
/// Before another try after an error of the store.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct DeliverySender {
    pub(super) store: Arc<dyn Store>,
    pub(super) endpoints: Arc<EndpointCache>,
    pub(super) client: watch::Receiver<Client>,
    pub(super) clock: Clock,
    pub(super) schedule: Schedule,
    pub(super) own_secret: Option<SigningSecret>,
    pub(super) observer: Arc<dyn Observer>,
}

/// The result of a task beside the loop.
enum TaskResult {
    Found(Arc<str>, Result<Due, StoreError>),
    Ended(Arc<str>, u64, PostEnd),
    /// Nothing was posted: the queue has no receiver now.
    Closed(Arc<str>, u64),
    Swept(Result<Vec<QueueHead>, StoreError>),
    Counted(Result<u64, StoreError>),
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
                state.sweep();
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
            TaskResult::Swept(Err(error)) | TaskResult::Counted(Err(error)) => {
                tracing::warn!(%error, "failed to look for deliveries; trying again");
            }
            TaskResult::Counted(Ok(count)) => self.sender.observer.pending(count),
        }
    }

    fn hint(&mut self, queue: &Arc<str>) {
        let now = self.sender.clock.now();
        self.queues.handle_head(queue, now, now);
    }

    fn sweep(&mut self) {
        self.queues.tidy(self.sender.clock.now());
        let heads = self.sender.store.queues(self.swept_to.clone(), SWEEP_PAGE);
        self.spawn(async move { TaskResult::Swept(heads.await) });
    }

    /// Takes note of the queues of a page; when it is full, the next page follows at once.
    fn swept(&mut self, heads: &[QueueHead], now: Timestamp) {
        for head in heads {
            if self.sender.is_open(&head.queue) {
                self.queues.handle_head(&head.queue, head.next_at, now);
            }
        }
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
        let count = self.sender.store.pending_deliveries();
        self.spawn(async move { TaskResult::Counted(count.await) });
    }

    fn spawn(&mut self, task: impl Future<Output = TaskResult> + Send + 'static) {
        self.tasks.push(Box::pin(task));
    }
}

impl DeliverySender {
    /// Whether anything may be posted to this queue now.
    fn is_open(&self, queue: &str) -> bool {
        match queue.parse::<EndpointId>() {
            Ok(id) => self.endpoints.is_enabled(id),
            Err(_) => self.own_secret.is_some() || !self.client.borrow().secrets().is_empty(),
        }
    }

    /// Posts once, and records how it went.
    async fn deliver(&self, delivery: DueDelivery) -> TaskResult {
        let (queue, seq) = (delivery.key.queue.clone(), delivery.key.seq);
        let at = self.clock.now();
        let id = event_id(self.store.epoch(), seq);
        let Some((url, signatures)) = self.envelope(&delivery, &id, at) else {
            return TaskResult::Closed(queue, seq);
        };
        let (result, attempt) = match &signatures {
            Some(signatures) => {
                let part_of = delivery.trace.map(|trace| PartOf {
                    trace,
                    message: delivery.message_id,
                    attempt: Event::read_facts(&delivery.json).map_or(0, |(attempt, _)| attempt),
                });
                self.attempt(Post {
                    url: &url,
                    id: &id,
                    at,
                    signatures,
                    body: delivery.json,
                    part_of,
                })
                .await
            }
            // It failed for want of a secret: one that comes back signs the next. No other secret
            // may sign, because another client's receiver may believe it.
            None => {
                let words = "the token that asked for this has no webhook_secret any more";
                let result = PostResult::Silent(words.to_owned());
                let attempt = attempt_of(&result, at, Duration::ZERO);
                (result, attempt)
            }
        };
        let now = attempt.at.plus(attempt.took);
        let fate = self
            .schedule
            .fate(&result, delivery.tries, now, rand::random());
        if let PostResult::Answered { status: 410, .. } = result {
            // Before the attempt is recorded, so that what waits for it is not posted.
            self.disable(&queue, DisabledBecause::Gone, now).await;
        }
        let attempted = Attempted {
            key: delivery.key,
            attempt,
            fate,
        };
        let end = self.settle(attempted, now).await;
        TaskResult::Ended(queue, seq, end)
    }

    /// Where to, and the signatures; `None` without a receiver, and no signatures when the secret
    /// is gone.
    fn envelope(
        &self,
        delivery: &DueDelivery,
        id: &str,
        at: Timestamp,
    ) -> Option<(Url, Option<String>)> {
        if let Some(webhook) = &delivery.url {
            let url = webhook::url(webhook).parse().ok()?;
            let sign = |secret: &SigningSecret| secret.sign(id, at, &delivery.json);
            let Some(token) = webhook::token(webhook) else {
                return Some((url, Some(sign(self.own_secret.as_ref()?))));
            };
            let client = self.client.borrow();
            let signatures = client.secrets().get(&token).map(|secrets| {
                let each: Vec<String> = secrets.iter().map(sign).collect();
                each.join(" ")
            });
            return Some((url, signatures));
        }
        let endpoint = delivery.key.queue.parse().ok()?;
        let known = self.endpoints.known();
        let endpoint = known.endpoints.get(&endpoint)?;
        let url = endpoint.url().filter(|_| endpoint.is_enabled())?.clone();
        Some((url, Some(endpoint.sign(id, at, &delivery.json))))
    }

    /// The current client. A post keeps its client to its end, also when another takes its place.
    pub(super) fn client(&self) -> Client {
        self.client.borrow().clone()
    }

    pub(super) async fn attempt(&self, post: Post<'_>) -> (PostResult, Attempt) {
        let (at, began, url, id) = (post.at, clock::now(), post.url, post.id);
        let observer = &*self.observer;
        let part_of = post
            .part_of
            .map(|part_of| (part_of, observer.posting(&part_of)));
        let trace = part_of.map(|(_, trace)| trace);
        let answer = self.client().post(post, trace, at).await;
        let took = clock::now().saturating_duration_since(began);
        observer.attempted(&Posted {
            url,
            id,
            answer: &answer,
            took,
            part_of,
        });
        let attempt = attempt_of(&answer, at, took);
        (answer, attempt)
    }

    /// Records an attempt, however often that takes: an attempt without a record is posted again.
    async fn settle(&self, attempted: Attempted, now: Timestamp) -> PostEnd {
        let queue = attempted.key.queue.clone();
        let end = match attempted.fate {
            Fate::Delivered => PostEnd::Succeeded,
            Fate::Failed => PostEnd::Failed(None),
            Fate::Again(at) => PostEnd::Failed(Some(at)),
        };
        let settled = loop {
            match self.store.settle(vec![attempted.clone()]).await {
                Ok(settled) => break settled.first().copied().flatten(),
                Err(StoreError::Closed) => return PostEnd::Void,
                Err(error) => {
                    tracing::warn!(%error, "failed to record an attempt; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let Some(settled) = settled else {
            return PostEnd::Void;
        };
        let is_over = settled
            .failing_since
            .is_some_and(|since| self.schedule.is_over(since, now));
        if is_over {
            self.disable(&queue, DisabledBecause::Failing, now).await;
        }
        end
    }

    /// Posts no more to this endpoint. What messages name as their own cannot be disabled.
    async fn disable(&self, queue: &str, because: DisabledBecause, now: Timestamp) {
        let Ok(id) = queue.parse::<EndpointId>() else {
            return;
        };
        if !self.endpoints.is_enabled(id) {
            return;
        }
        let change = Change {
            disabled: Some(Some(Disabled { because, at: now })),
            ..Change::default()
        };
        match self.store.change_endpoint(id, change).await {
            Ok(Some(endpoint)) => {
                let because = because.as_str();
                tracing::warn!(webhook.id = %id, url = %host(&endpoint.url), because, "webhook disabled");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, webhook.id = %id, "failed to disable a webhook");
            }
        }
        self.endpoints.reload_or_keep().await;
    }
}

/// The record of an attempt; the store numbers it.
fn attempt_of(result: &PostResult, at: Timestamp, took: Duration) -> Attempt {
    let (status, answer, error) = match result.clone() {
        PostResult::Answered { status, first, .. } => (Some(status), first, None),
        PostResult::Silent(reason) => (None, String::new(), Some(reason)),
    };
    Attempt {
        number: 0,
        at,
        took,
        status,
        answer,
        error,
    }
}

/// The name of an event, as `webhook-id` says it.
pub(super) fn event_id(epoch: u64, seq: u64) -> String {
    format!("{epoch}-{seq:016}")
}

/// The part of a URL that may be logged: paths and queries may hold secrets.
fn host(url: &str) -> String {
    let parsed = url.parse::<Url>().ok();
    parsed.map_or_else(String::new, |url| url.origin().ascii_serialization())
}
