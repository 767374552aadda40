//! The interface of the room: what clients do with webhooks, and the tasks that serve them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::client::{Client, Observer, Post};
use super::endpoint_cache::{EndpointCache, EndpointCacheError};
use super::failing::FailingReceivers;
use super::guard::UrlRefused;
use super::schedule::Schedule;
use super::secrets::{SigningSecret, Vault};
use super::sender::DeliverySender;
use super::{planner, send_loop, sender};
use crate::clock::Clock;
use crate::message::{EndpointId, EventKind, Timestamp};
use crate::store::{
    Attempt, Change, Deliveries, Delivery, DeliveryFilter, DeliveryKey, Disabled, Endpoint,
    EndpointPage, Store, StoreError,
};

/// Endpoints at the same time.
const MAX_ENDPOINTS: usize = 1_000;
/// How long the secret before signs besides, after a rotation.
const ROTATION: Duration = Duration::from_secs(86_400);
/// Hints that wait for the sender. Further ones are dropped: it looks by itself every second.
const HINTS: usize = 1_024;
/// Deliveries made due in one step.
const HASTENED: usize = 512;
/// Tests under way at the same time; further ones wait.
pub const MAX_TESTS: usize = 8;

/// What webhooks need of the rest of the gateway.
pub struct Dependencies {
    /// The endpoints and deliveries.
    pub store: Arc<dyn Store>,
    /// The current HTTP client.
    pub client: watch::Receiver<Client>,
    /// How secrets are stored.
    pub vault: Vault,
    /// Signs what goes to the webhooks that messages name.
    pub own_secret: Option<SigningSecret>,
    /// When to try again.
    pub schedule: Schedule,
    /// Posts under way at the same time.
    pub concurrency: usize,
    pub clock: Clock,
    pub observer: Arc<dyn Observer>,
}

/// Webhooks, for those who manage them. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    sender: Arc<DeliverySender>,
    concurrency: usize,
    tests: Arc<Semaphore>,
}

/// An endpoint that a client asks for.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// Where to; checked by [`Webhooks::check_url`].
    pub url: Url,
    /// Which types; empty for all.
    pub kinds: Vec<EventKind>,
    /// Which accounts; empty for all.
    pub accounts: Vec<Arc<str>>,
    /// The client's own words.
    pub description: Option<String>,
    /// Whether it begins disabled.
    pub disabled: bool,
}

/// Why there is no new endpoint.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreateError {
    /// The limit is reached.
    #[error("there are {MAX_ENDPOINTS} webhooks, which is as many as may be")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a test.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The event that was posted.
    pub event: Bytes,
    pub attempt: Attempt,
}

impl Webhooks {
    /// Webhooks of this store. No endpoint is known before [`Webhooks::load`].
    pub fn new(parts: Dependencies) -> Self {
        let endpoints = EndpointCache::new(parts.store.clone(), parts.vault);
        let sender = Arc::new(DeliverySender {
            failing: FailingReceivers::default(),
            store: parts.store,
            endpoints: Arc::new(endpoints),
            client: parts.client,
            clock: parts.clock,
            schedule: parts.schedule,
            own_secret: parts.own_secret,
            observer: parts.observer,
        });
        Self {
            sender,
            concurrency: parts.concurrency,
            tests: Arc::new(Semaphore::new(MAX_TESTS)),
        }
    }

    /// Reads the endpoints; a secret that cannot be read is an error.
    pub async fn load(&self) -> Result<(), EndpointCacheError> {
        self.sender.endpoints.reload().await
    }

    /// Whether a webhook would be given an event of this type and account now.
    pub fn has_one_for(&self, kind: EventKind, account: &str) -> bool {
        let known = self.sender.endpoints.known();
        let mut endpoints = known.endpoints.values();
        endpoints.any(|one| one.is_enabled() && one.wants_of(kind, Some(account)))
    }

    /// Plans and posts until `stop`, and then until posts under way have ended; the rest stays in
    /// the store.
    pub async fn run(self, stop: CancellationToken) {
        let (hints, heard) = mpsc::channel(HINTS);
        let sender = self.sender.clone();
        let planning = planner::run(
            sender.store.clone(),
            sender.endpoints.clone(),
            sender.clock.clone(),
            hints,
        );
        let planning = stop.run_until_cancelled(planning);
        let sending = send_loop::run(sender, self.concurrency, heard, stop.clone());
        tokio::join!(planning, sending);
    }

    /// Whether this URL may be posted to, as far as it tells.
    pub fn check_url(&self, url: &str) -> Result<Url, UrlRefused> {
        self.sender.client().guard().check_url(url)
    }

    /// Adds an endpoint; its secret is shown now and never again.
    pub async fn create(&self, new: NewEndpoint) -> Result<(Endpoint, SigningSecret), CreateError> {
        let now = self.now();
        let id = EndpointId::new(Uuid::now_v7());
        let secret = SigningSecret::random();
        let disabled = new.disabled.then_some(Disabled {
            because: crate::store::DisabledBecause::Request,
            at: now,
        });
        let endpoint = Endpoint {
            id,
            url: new.url.as_str().into(),
            kinds: new.kinds,
            accounts: new.accounts,
            description: new.description,
            disabled,
            secret: self.sender.endpoints.vault().seal(id, &secret),
            previous_secret: None,
            after: 0,
            created_at: now,
            updated_at: now,
            failing_since: None,
            recovery: None,
        };
        let created = self
            .store()
            .create_endpoint(endpoint.clone(), MAX_ENDPOINTS);
        if !created.await? {
            return Err(CreateError::TooMany);
        }
        self.reload().await;
        Ok((endpoint, secret))
    }

    /// Endpoints after `after`, oldest first.
    pub async fn list(
        &self,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<EndpointPage, StoreError> {
        Ok(self.store().endpoints().await?.page(after, limit))
    }

    pub async fn find(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
        let mut endpoints = self.store().endpoints().await?.endpoints.into_iter();
        Ok(endpoints.find(|endpoint| endpoint.id == id))
    }

    /// Changes an endpoint; `None` when it is gone.
    pub async fn change(
        &self,
        id: EndpointId,
        change: Change,
    ) -> Result<Option<Endpoint>, StoreError> {
        let change = Change {
            updated_at: Some(self.now()),
            ..change
        };
        self.apply(id, change).await
    }

    async fn apply(&self, id: EndpointId, change: Change) -> Result<Option<Endpoint>, StoreError> {
        let says_receiver_is_back =
            change.url.is_some() || change.disabled == Some(None) || change.recovery.is_some();
        let changed = self.store().change_endpoint(id, change).await?;
        if changed.is_some() && says_receiver_is_back {
            self.hasten(id).await?;
        }
        self.reload().await;
        Ok(changed)
    }

    /// Makes every delivery due that waits for its next attempt.
    async fn hasten(&self, id: EndpointId) -> Result<(), StoreError> {
        let queue: Arc<str> = id.to_string().into();
        loop {
            let step = self
                .store()
                .hasten_deliveries(queue.clone(), self.now(), HASTENED);
            if step.await? < HASTENED {
                return Ok(());
            }
        }
    }

    /// Removes an endpoint and its deliveries; `false` when it is gone already.
    pub async fn delete(&self, id: EndpointId) -> Result<bool, StoreError> {
        let deleted = self.store().delete_endpoint(id).await?;
        self.reload().await;
        Ok(deleted)
    }

    /// Gives an endpoint another secret, shown now and never again. The one before signs besides
    /// for a day.
    pub async fn rotate(
        &self,
        id: EndpointId,
    ) -> Result<Option<(Endpoint, SigningSecret)>, StoreError> {
        let secret = SigningSecret::random();
        let sealed = self.sender.endpoints.vault().seal(id, &secret);
        let change = Change {
            secret: Some((sealed, self.now().plus(ROTATION))),
            ..Change::default()
        };
        let changed = self.change(id, change).await?;
        Ok(changed.map(|endpoint| (endpoint, secret)))
    }

    /// Sends again what failed or was missed in this time, and at once what waits for its next
    /// attempt; `None` when the endpoint is gone.
    pub async fn recover(
        &self,
        id: EndpointId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Endpoint>, StoreError> {
        let recovery = planner::begin_recovery(self.store(), since, until).await?;
        let change = Change {
            recovery: Some(recovery),
            ..Change::default()
        };
        self.apply(id, change).await
    }

    /// Posts an event that says it is a test, now, also to one that is disabled; `None` when the
    /// endpoint is gone.
    pub async fn test(&self, id: EndpointId) -> Option<Tested> {
        let _permit = self.tests.acquire().await.ok()?;
        let known = self.sender.endpoints.known();
        let endpoint = known.endpoints.get(&id)?;
        let at = self.now();
        let event_id = format!("test-{}", Uuid::now_v7());
        let event = serde_json::json!({"id": event_id, "type": "test", "time": at});
        let event = Bytes::from(event.to_string());
        let post = Post {
            url: endpoint.url()?,
            id: &event_id,
            at,
            signatures: &endpoint.sign(&event_id, at, &event),
            body: event.clone(),
            part_of: None,
        };
        let (_, mut attempt) = self.sender.attempt(post).await;
        attempt.number = 1;
        Some(Tested { event, attempt })
    }

    /// What goes and went to an endpoint, the newest event first.
    pub async fn deliveries(
        &self,
        filter: DeliveryFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Deliveries, StoreError> {
        self.store().deliveries(filter, before, limit).await
    }

    /// Sends an event to an endpoint again; `None` when the endpoint does not take it.
    pub async fn redeliver(
        &self,
        id: EndpointId,
        seq: u64,
    ) -> Result<Option<Delivery>, StoreError> {
        let queue = id.to_string().into();
        let key = DeliveryKey { queue, seq };
        self.store().redeliver(key, self.now()).await
    }

    /// The name of an event.
    pub fn event_id(&self, seq: u64) -> String {
        sender::event_id(self.store().epoch(), seq)
    }

    fn store(&self) -> &dyn Store {
        &*self.sender.store
    }

    fn now(&self) -> Timestamp {
        self.sender.clock.now()
    }

    /// The planner and the sender see a durable change now; if that fails, before they plan.
    async fn reload(&self) {
        self.sender.endpoints.reload_or_keep().await;
    }
}
