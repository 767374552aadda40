//! Posts due deliveries, and records how that went. [`super::send_loop`] decides which and when.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use url::Url;

use super::client::{Client, Observer, PartOf, Post, PostResult, Posted};
use super::endpoint_cache::EndpointCache;
use super::failing::FailingReceivers;
use super::queues::{Asker, PostEnd, QueueOwner};
use super::schedule::Schedule;
use super::secrets::SigningSecret;
use super::send_loop::TaskResult;
use crate::clock;
use crate::clock::Clock;
use crate::message::{EndpointId, Event, Timestamp, webhook};
use crate::store::{
    Attempt, Attempted, Change, Disabled, DisabledBecause, DueDelivery, Fate, Store, StoreError,
};

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
    pub(super) failing: FailingReceivers,
}

impl DeliverySender {
    /// Whether anything may be posted to this queue now.
    pub(super) fn is_open(&self, queue: &str) -> bool {
        let standing = queue.parse::<EndpointId>();
        standing.map_or(true, |id| self.endpoints.is_enabled(id))
    }

    /// Whose a queue is: what it shares with others.
    pub(super) fn owner(&self, queue: &str) -> Option<QueueOwner> {
        if queue.parse::<EndpointId>().is_ok() {
            return Some(QueueOwner {
                asker: Asker::Standing,
                origin: queue.into(),
            });
        }
        let token = webhook::token(queue);
        let url: Url = webhook::url(queue).parse().ok()?;
        Some(QueueOwner {
            asker: token.map_or(Asker::Anyone, |token| Asker::Token(token.into())),
            origin: url.origin().ascii_serialization().into(),
        })
    }

    /// Posts once, and records how it went.
    pub(super) async fn deliver(&self, delivery: DueDelivery) -> TaskResult {
        let (queue, seq) = (delivery.key.queue.clone(), delivery.key.seq);
        let at = self.clock.now();
        let id = event_id(self.store.epoch(), seq);
        // It stays as it is, and is looked for again.
        let Ok(delivery) = self.store.current(delivery).await else {
            return TaskResult::Closed(queue, seq);
        };
        let Some((url, signatures)) = self.envelope(&delivery, &id, at) else {
            return TaskResult::Closed(queue, seq);
        };
        let receiver = self.handle_signing(&delivery, &url, signatures.is_some());
        let (result, attempt) = match &signatures {
            Some(signatures) => {
                let part_of = delivery.trace.map(|trace| PartOf {
                    trace,
                    message: delivery.message_id,
                    kind: delivery.kind,
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
            None => {
                let result = without_secret(&delivery);
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
        self.log(&receiver, &queue, &url, &id, &attempt, fate);
        let attempted = Attempted {
            key: delivery.key,
            attempt,
            fate,
        };
        let has_answered = signatures
            .is_some()
            .then_some(attempted.attempt.status.is_some());
        let end = self.settle(attempted, has_answered, now).await;
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
                return Some((url, self.own_secret.as_ref().map(sign)));
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

    /// Takes note of whether there is a secret. Returns what begins to fail when this post fails: a
    /// standing endpoint, the origin of a message's own webhook, or the secret that is missing.
    fn handle_signing(&self, delivery: &DueDelivery, url: &Url, is_signed: bool) -> Arc<str> {
        let Some(webhook) = &delivery.url else {
            return delivery.key.queue.clone();
        };
        let secret = match webhook::token(webhook) {
            Some(name) => format!("secret of {name}"),
            None => "webhooks.secret".to_owned(),
        };
        if !is_signed {
            return secret.into();
        }
        // It is there: when it is missing again, that is news.
        self.failing.handle_success(&secret.into());
        url.origin().ascii_serialization().into()
    }

    /// Tells when a receiver begins to fail, and when it takes posts again.
    fn log(
        &self,
        receiver: &Arc<str>,
        queue: &str,
        url: &Url,
        event: &str,
        attempt: &Attempt,
        fate: Fate,
    ) {
        let standing = queue.parse::<EndpointId>().ok();
        let origin = url.origin().ascii_serialization();
        let id = standing.map(tracing::field::display);
        let next = match fate {
            Fate::Delivered => {
                if self.failing.handle_success(receiver) {
                    tracing::info!(webhook.id = id, url = origin, "webhook takes posts again");
                }
                return;
            }
            Fate::Again(at) => Some(tracing::field::display(at)),
            Fate::Failed => None,
        };
        if self.failing.handle_failure(receiver) {
            let (status, error) = (attempt.status, attempt.error.as_deref());
            tracing::warn!(
                webhook.id = id,
                url = origin,
                event.id = event,
                status,
                error,
                next,
                "webhook fails"
            );
        }
    }

    /// Records an attempt, however often that takes: an attempt without a record is posted again.
    async fn settle(
        &self,
        attempted: Attempted,
        has_answered: Option<bool>,
        now: Timestamp,
    ) -> PostEnd {
        let queue = attempted.key.queue.clone();
        let failed = |again_at| PostEnd::Failed {
            again_at,
            has_answered,
        };
        let end = match attempted.fate {
            Fate::Delivered => PostEnd::Succeeded,
            Fate::Failed => failed(None),
            Fate::Again(at) => failed(Some(at)),
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

/// A post that failed for want of a secret: one that comes back signs the next. No other secret may
/// sign, because another client's receiver may believe it.
fn without_secret(delivery: &DueDelivery) -> PostResult {
    let token = delivery.url.as_deref().and_then(webhook::token);
    let words = match token {
        Some(_) => "the token that asked for this has no webhook_secret any more",
        None => "webhooks.secret is not set any more",
    };
    PostResult::Silent(words.to_owned())
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
