//! The endpoints as this process knows them, with their secrets, ready to be used.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use url::Url;

use super::sign::SigningSecret;
use super::vault::{Vault, VaultError};
use crate::message::{EndpointId, Timestamp};
use crate::store::{Endpoint, Endpoints, Logged, Store, StoreError};

/// Why the endpoints are not known.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The store does not tell.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret cannot be read.
    #[error("the webhook {0} cannot be used: {1}")]
    Secret(EndpointId, VaultError),
}

/// Keeps the endpoints known to who plans and who sends.
pub(super) struct Roster {
    store: Arc<dyn Store>,
    vault: Vault,
    known: watch::Sender<Arc<Known>>,
}

/// The endpoints at some time.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Of the endpoints in the store.
    pub(super) revision: u64,
    /// All of them.
    pub(super) members: BTreeMap<EndpointId, Member>,
}

/// An endpoint that can be used.
#[derive(Debug)]
pub(super) struct Member {
    /// As it is stored.
    pub(super) endpoint: Endpoint,
    /// Where to. Parsed again, because what is in the store may come from elsewhere.
    url: Option<Url>,
    secret: SigningSecret,
    previous: Option<(SigningSecret, Timestamp)>,
}

impl Member {
    /// Whether events are planned for it, and posted to it.
    pub(super) fn is_enabled(&self) -> bool {
        self.endpoint.disabled.is_none()
    }

    /// Whether it wants to see this event.
    pub(super) fn wants(&self, event: &Logged) -> bool {
        let endpoint = &self.endpoint;
        let has_account = |own: &Arc<str>| event.account.as_ref() == Some(own);
        (endpoint.kinds.is_empty() || endpoint.kinds.contains(&event.kind))
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

impl Roster {
    /// One that knows no endpoint yet.
    pub(super) fn new(store: Arc<dyn Store>, vault: Vault) -> Self {
        Self {
            store,
            vault,
            known: watch::Sender::new(Arc::default()),
        }
    }

    /// The endpoints, now.
    pub(super) fn known(&self) -> Arc<Known> {
        self.known.borrow().clone()
    }

    /// Tells when the endpoints change.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Known>> {
        self.known.subscribe()
    }

    /// How the secrets are put away.
    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Reads the endpoints. When the secret of one cannot be read, those known before stay.
    pub(super) async fn reload(&self) -> Result<(), RosterError> {
        let read = self.store.endpoints().await?;
        let known = Arc::new(self.admit(read)?);
        self.known.send_if_modified(|current| {
            // Two who read at the same time may come back in another order.
            let is_news = known.revision >= current.revision;
            if is_news {
                *current = known;
            }
            is_news
        });
        Ok(())
    }

    fn admit(&self, read: Endpoints) -> Result<Known, RosterError> {
        let mut members = BTreeMap::new();
        for endpoint in read.endpoints {
            members.insert(endpoint.id, self.member(endpoint)?);
        }
        Ok(Known {
            revision: read.revision,
            members,
        })
    }

    fn member(&self, endpoint: Endpoint) -> Result<Member, RosterError> {
        let id = endpoint.id;
        let open = |stored| {
            let opened = self.vault.open(id, stored);
            opened.map_err(|error| RosterError::Secret(id, error))
        };
        let previous = endpoint
            .previous_secret
            .as_ref()
            .map(|(stored, until)| open(stored).map(|secret| (secret, *until)))
            .transpose()?;
        Ok(Member {
            url: endpoint.url.parse().ok(),
            secret: open(&endpoint.secret)?,
            previous,
            endpoint,
        })
    }
}
