//! Posts what is due. One task decides with [`Queues`]; looks and posts run beside it.

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

use super::client::{Answer, Client, Post};
use super::observer::{Observer, PartOf, Posted};
use super::queues::{End, Output, Queues};
use super::roster::Roster;
use super::schedule::Schedule;
use super::sign::SigningSecret;
use crate::clock;
use crate::clock::Clock;
use crate::message::{EndpointId, Event, Timestamp};
use crate::store::{
    Attempt, Attempted, Change, Disabled, DisabledBecause, Due, DueDelivery, Fate, QueueHead,
    Store, StoreError,
};

/// How often the store is looked through for queues that nobody told of.
const SWEEP: Duration = Duration::from_secs(1);
/// Queues read at once in such a sweep.
const SWEEP_PAGE: usize = 256;
/// How often what is pending is counted.
const COUNT: Duration = Duration::from_secs(10);
/// Before another try, when the store does not do what it is asked.
const PAUSE: Duration = Duration::from_secs(1);

/// What the sender works with.
pub(super) struct Sender {
    pub(super) store: Arc<dyn Store>,
    pub(super) roster: Arc<Roster>,
    pub(super) client: watch::Receiver<Client>,
    pub(super) clock: Clock,
    pub(super) schedule: Schedule,
    pub(super) own_secret: Option<SigningSecret>,
    pub(super) observer: Arc<dyn Observer>,
}

/// What a task beside the loop came back with.
enum Done {
    Found(Arc<str>, Result<Due, StoreError>),
    Ended(Arc<str>, u64, End),
    /// Nothing was posted: the queue has nobody behind it now.
    Closed(Arc<str>, u64),
    Swept(Result<Vec<QueueHead>, StoreError>),
    Counted(Result<u64, StoreError>),
}

type Task = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Posts until it is stopped, and then until what is under way has ended.
pub(super) async fn run(
    sender: Arc<Sender>,
    concurrency: usize,
    mut hints: mpsc::Receiver<Arc<str>>,
    stop: CancellationToken,
) {
    let mut desk = Desk {
        queues: Queues::new(concurrency),
        tasks: FuturesUnordered::new(),
        swept_to: None,
        sender,
    };
    let (mut sweep_at, mut count_at) = (Instant::now(), Instant::now());
    let mut changes = desk.sender.roster.changes();
    loop {
        if stop.is_cancelled() {
            if desk.queues.in_flight() == 0 {
                return;
            }
        } else {
            desk.begin();
        }
        let deadline = desk.deadline();
        tokio::select! {
            Some(done) = desk.tasks.next() => desk.take(done),
            Some(queue) = hints.recv() => desk.hint(&queue),
            // One that was enabled again has something to post, perhaps.
            Ok(()) = changes.changed() => sweep_at = Instant::now(),
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = tokio::time::sleep_until(sweep_at) => {
                sweep_at = Instant::now() + SWEEP;
                desk.sweep();
            }
            () = tokio::time::sleep_until(count_at) => {
                count_at = Instant::now() + COUNT;
                desk.count();
            }
            () = wait(deadline) => {}
        }
    }
}

async fn wait(deadline: Option<Duration>) {
    match deadline {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

/// The loop's own state.
struct Desk {
    sender: Arc<Sender>,
    queues: Queues,
    tasks: FuturesUnordered<Task>,
    /// Where the sweep goes on; `None` at the beginning.
    swept_to: Option<Arc<str>>,
}

impl Desk {
    /// Begins whatever may be begun.
    fn begin(&mut self) {
        while let Some(output) = self.queues.poll(self.sender.clock.now()) {
            match output {
                Output::Look(queue, limit) => {
                    let now = self.sender.clock.now();
                    let found = self.sender.store.due(queue.clone(), now, limit);
                    self.spawn(async move { Done::Found(queue, found.await) });
                }
                Output::Post(delivery) => {
                    let sender = self.sender.clone();
                    self.spawn(async move { sender.deliver(delivery).await });
                }
            }
        }
    }

    /// How long until something is to be done.
    fn deadline(&self) -> Option<Duration> {
        let now = self.sender.clock.now();
        // What is due already waits for room, not for time.
        self.queues
            .deadline()
            .map(|at| at.since(now))
            .filter(|left| !left.is_zero())
    }

    fn take(&mut self, done: Done) {
        let now = self.sender.clock.now();
        match done {
            Done::Found(queue, Ok(due)) => self.queues.handle_found(&queue, due),
            Done::Found(queue, Err(error)) => {
                tracing::debug!(%error, queue = &*queue, "deliveries cannot be read");
                self.queues.handle_not_found(&queue, now.plus(PAUSE));
            }
            Done::Ended(queue, seq, end) => self.queues.handle_ended(&queue, seq, end, now),
            Done::Closed(queue, seq) => {
                self.queues.handle_ended(&queue, seq, End::Void, now);
                self.queues.handle_closed(&queue);
            }
            Done::Swept(Ok(heads)) => self.swept(&heads, now),
            Done::Swept(Err(error)) | Done::Counted(Err(error)) => {
                tracing::warn!(%error, "deliveries cannot be looked for; trying again");
            }
            Done::Counted(Ok(count)) => self.sender.observer.pending(count),
        }
    }

    fn hint(&mut self, queue: &Arc<str>) {
        let now = self.sender.clock.now();
        self.queues.handle_head(queue, now, now);
    }

    fn sweep(&mut self) {
        self.queues.tidy(self.sender.clock.now());
        let heads = self.sender.store.queues(self.swept_to.clone(), SWEEP_PAGE);
        self.spawn(async move { Done::Swept(heads.await) });
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
        self.spawn(async move { Done::Counted(count.await) });
    }

    fn spawn(&mut self, task: impl Future<Output = Done> + Send + 'static) {
        self.tasks.push(Box::pin(task));
    }
}

impl Sender {
    /// Whether anything may be posted to this queue now.
    fn is_open(&self, queue: &str) -> bool {
        match queue.parse::<EndpointId>() {
            Ok(id) => {
                let known = self.roster.known();
                known.members.get(&id).is_some_and(|one| one.is_enabled())
            }
            Err(_) => self.own_secret.is_some() || !self.client.borrow().secrets().is_empty(),
        }
    }

    /// Posts once, and writes down how it went.
    async fn deliver(&self, delivery: DueDelivery) -> Done {
        let (queue, seq) = (delivery.key.queue.clone(), delivery.key.seq);
        let at = self.clock.now();
        let id = event_id(self.store.epoch(), seq);
        let Some((url, signatures)) = self.envelope(&delivery, &id, at) else {
            return Done::Closed(queue, seq);
        };
        let Some(signatures) = signatures else {
            let end = self.settle(self.unsigned(delivery, at), at).await;
            return Done::Ended(queue, seq, end);
        };
        let part_of = delivery.trace.map(|trace| PartOf {
            trace,
            message: delivery.message_id,
            attempt: Event::read_facts(&delivery.json).map_or(0, |(attempt, _)| attempt),
        });
        let body = delivery.json;
        let post = Post {
            url: &url,
            id: &id,
            at,
            signatures: &signatures,
            body,
            part_of,
        };
        let (answer, attempt) = self.attempt(post).await;
        let now = attempt.at.plus(attempt.took);
        let fate = self
            .schedule
            .fate(&answer, delivery.tries, now, rand::random());
        if let Answer::Answered { status: 410, .. } = answer {
            // Before the attempt is written down, so that what waits for it is not posted.
            self.disable(&queue, DisabledBecause::Gone, now).await;
        }
        let attempted = Attempted {
            key: delivery.key,
            attempt,
            fate,
        };
        let end = self.settle(attempted, now).await;
        Done::Ended(queue, seq, end)
    }

    /// What posts now. It is used to the end of a post, also when another takes its place.
    pub(super) fn client(&self) -> Client {
        self.client.borrow().clone()
    }

    /// Posts once.
    pub(super) async fn attempt(&self, post: Post<'_>) -> (Answer, Attempt) {
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
        let (status, first, error) = match answer.clone() {
            Answer::Answered { status, first, .. } => (Some(status), first, None),
            Answer::Silent(reason) => (None, String::new(), Some(reason)),
        };
        let attempt = Attempt {
            number: 0,
            at,
            took,
            status,
            answer: first,
            error,
        };
        (answer, attempt)
    }

    /// Writes down how an attempt went, however often that takes: what is not written down is
    /// posted again.
    async fn settle(&self, attempted: Attempted, now: Timestamp) -> End {
        let queue = attempted.key.queue.clone();
        let end = match attempted.fate {
            Fate::Delivered => End::Succeeded,
            Fate::Failed => End::Failed(None),
            Fate::Again(at) => End::Failed(Some(at)),
        };
        let settled = loop {
            match self.store.settle(vec![attempted.clone()]).await {
                Ok(settled) => break settled.first().copied().flatten(),
                Err(StoreError::Closed) => return End::Void,
                Err(error) => {
                    tracing::warn!(%error, "an attempt cannot be written down; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let Some(settled) = settled else {
            return End::Void;
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
        let known = self.roster.known();
        if !known.members.get(&id).is_some_and(|one| one.is_enabled()) {
            return;
        }
        let change = Change {
            disabled: Some(Some(Disabled { because, at: now })),
            ..Change::default()
        };
        match self.store.change_endpoint(id, change).await {
            Ok(Some(endpoint)) => {
                let because = because.as_str();
                tracing::warn!(webhook.id = %id, url = %host(&endpoint.url), because, "a webhook is disabled");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, webhook.id = %id, "a webhook cannot be disabled");
            }
        }
        if let Err(error) = self.roster.reload().await {
            tracing::warn!(%error, "webhooks cannot be read; those known before are used");
        }
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
