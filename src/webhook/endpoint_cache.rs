//! The endpoints as this process knows them, with their secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use url::Url;

use super::secrets::{SigningSecret, Vault, VaultError};
use crate::message::{EndpointId, EventKind, Timestamp};
use crate::store::{Endpoint, Endpoints, Logged, Store, StoreError};

/// Why the endpoints cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EndpointCacheError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret cannot be read.
    #[error("the webhook {0} cannot be used: {1}")]
    Secret(EndpointId, VaultError),
}

/// The endpoints, for the planner and the sender.
pub(super) struct EndpointCache {
    store: Arc<dyn Store>,
    vault: Vault,
    known: watch::Sender<Arc<CachedEndpoints>>,
}

/// The endpoints at one revision.
#[derive(Debug, Default)]
pub(super) struct CachedEndpoints {
    /// The revision of the endpoints in the store.
    pub(super) revision: u64,
    pub(super) endpoints: BTreeMap<EndpointId, CachedEndpoint>,
}

/// An endpoint with its URL and secrets.
#[derive(Debug)]
pub(super) struct CachedEndpoint {
    pub(super) endpoint: Endpoint,
    /// `None` for one that cannot be parsed: the store may have been written by another version.
    url: Option<Url>,
    secret: SigningSecret,
    previous: Option<(SigningSecret, Timestamp)>,
}

impl CachedEndpoint {
    /// Whether events are planned for it, and posted to it.
    pub(super) fn is_enabled(&self) -> bool {
        self.endpoint.disabled.is_none()
    }

    /// Whether it wants to see this event.
    pub(super) fn wants(&self, event: &Logged) -> bool {
        self.wants_of(event.kind, event.account.as_deref())
    }

    /// Whether it wants to see events of this type and account.
    pub(super) fn wants_of(&self, kind: EventKind, account: Option<&str>) -> bool {
        let endpoint = &self.endpoint;
        let has_account = |own: &Arc<str>| account == Some(&**own);
        let takes_all = endpoint.kinds.is_empty() && !kind.is_of_agent();
        (takes_all || endpoint.kinds.contains(&kind))
            && (endpoint.accounts.is_empty() || endpoint.accounts.iter().any(has_account))
    }

    /// Where to post to.
    pub(super) fn url(&self) -> Option<&Url> {
        self.url.as_ref()
    }

    /// The signature, and that of the secret before during a rotation.
    pub(super) fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let signature = self.secret.sign(id, at, body);
        match &self.previous {
            Some((previous, until)) if at < *until => {
                format!("{signature} {}", previous.sign(id, at, body))
            }
            Some(_) | None => signature,
        }
    }
}

impl EndpointCache {
    pub(super) fn new(store: Arc<dyn Store>, vault: Vault) -> Self {
        Self {
            store,
            vault,
            known: watch::Sender::new(Arc::default()),
        }
    }

    pub(super) fn known(&self) -> Arc<CachedEndpoints> {
        self.known.borrow().clone()
    }

    /// Whether this endpoint is there and enabled.
    pub(super) fn is_enabled(&self, id: EndpointId) -> bool {
        let known = self.known();
        known
            .endpoints
            .get(&id)
            .is_some_and(CachedEndpoint::is_enabled)
    }

    /// Resolves when the endpoints change.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<CachedEndpoints>> {
        self.known.subscribe()
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Reads the endpoints; on an error keeps those known before, and logs it.
    pub(super) async fn reload_or_keep(&self) {
        if let Err(error) = self.reload().await {
            tracing::warn!(%error, "failed to read the webhooks; keeping those known before");
        }
    }

    /// Reads the endpoints. When the secret of one cannot be read, those known before stay.
    pub(super) async fn reload(&self) -> Result<(), EndpointCacheError> {
        let known = Arc::new(self.open(self.store.endpoints().await?)?);
        self.known.send_if_modified(|current| {
            // Two reads at the same time may end in another order.
            let is_news = known.revision >= current.revision;
            if is_news {
                *current = known;
            }
            is_news
        });
        Ok(())
    }

    fn open(&self, read: Endpoints) -> Result<CachedEndpoints, EndpointCacheError> {
        let mut endpoints = BTreeMap::new();
        for endpoint in read.endpoints {
            endpoints.insert(endpoint.id, self.open_one(endpoint)?);
        }
        Ok(CachedEndpoints {
            revision: read.revision,
            endpoints,
        })
    }

    fn open_one(&self, endpoint: Endpoint) -> Result<CachedEndpoint, EndpointCacheError> {
        let id = endpoint.id;
        let open = |stored| {
            let opened = self.vault.open(id, stored);
            opened.map_err(|error| EndpointCacheError::Secret(id, error))
        };
        let previous = endpoint
            .previous_secret
            .as_ref()
            .map(|(stored, until)| open(stored).map(|secret| (secret, *until)))
            .transpose()?;
        Ok(CachedEndpoint {
            url: endpoint.url.parse().ok(),
            secret: open(&endpoint.secret)?,
            previous,
            endpoint,
        })
    }
}
