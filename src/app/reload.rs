//! Reloads the configuration while the gateway runs: all of it, or nothing.
//!
//! Accounts, tokens, certificates and the settings that `LIVE` in `difference.rs` lists change at
//! once. Other settings take effect at the next start; a log line names those that differ. A
//! configuration with a mistake changes nothing.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::sync::watch;

use super::difference::Difference;
use super::supervisor::{AgentChanges, Supervisor};
use super::{AppError, agents, certificates, webhooks};
use crate::agent::Accounts;
use crate::api::Access;
use crate::config;
use crate::config::{
    Account, Config, DeliverySettings, HttpSettings, HttpTls, Loaded, SipSettings, Sources,
    WebhookSettings,
};
use crate::dispatch;
use crate::message::Limits;
use crate::webhook;

/// The parts of the gateway that a reload changes.
pub(super) struct Live {
    pub(super) config: Config,
    /// The account of the sandbox; used while no account is configured.
    pub(super) sandbox: Option<Account>,
    pub(super) supervisor: Supervisor,
    pub(super) access: watch::Sender<Arc<Access>>,
    pub(super) limits: watch::Sender<Limits>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) dispatch: dispatch::Handle,
    pub(super) posts: watch::Sender<webhook::Client>,
    /// `None` when clients speak plain HTTP.
    pub(super) tls: Option<HttpSide>,
}

/// The certificate that clients are shown, and its files.
pub(super) struct HttpSide {
    pub(super) files: watch::Sender<HttpTls>,
    pub(super) shown: watch::Sender<Arc<ServerConfig>>,
}

/// Why a configuration cannot take effect.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    /// Anyone could call.
    #[error(
        "http.tokens: none is left, and {0} can be reached from other machines; \
         http.auth = \"none\" would have to be written out"
    )]
    Open(std::net::SocketAddr),
    /// The sandbox was not started.
    #[error("account: none is left, and the sandbox stands in only from the start")]
    NoAccount,
    /// The gateway would not start with it.
    #[error(transparent)]
    App(#[from] AppError),
}

impl Live {
    pub(super) fn new(
        config: Config,
        sandbox: Option<Account>,
        supervisor: Supervisor,
        dispatch: dispatch::Handle,
        posts: watch::Sender<webhook::Client>,
        tls: Option<HttpSide>,
    ) -> Self {
        Self {
            posts,
            tls,
            sandbox,
            supervisor,
            access: watch::Sender::new(Arc::new(Access::new(config.http.access.clone()))),
            limits: watch::Sender::new(config.delivery.limits.clone()),
            accounts: Arc::new(Accounts::new(agents::senders(&config))),
            dispatch,
            config,
        }
    }

    /// Applies the settings that a reload changes, or none of them.
    pub(super) async fn follow(&mut self, new: &Config) -> Result<AgentChanges, ReloadError> {
        let next = self.next(new)?;
        let tls = agents::tls(&next).map_err(AppError::from)?;
        let client = webhooks::client(&next)?;
        let shown = next.http.tls.as_ref().map(certificates::read).transpose();
        let shown = shown.map_err(AppError::from)?;

        // Nothing fails from here on.
        Access::replace(&self.access, next.http.access.clone());
        self.limits.send_replace(next.delivery.limits.clone());
        self.accounts.replace(agents::senders(&next));
        self.supervisor.trust(tls);
        self.posts.send_replace(client);
        if let (Some(side), Some(shown), Some(files)) = (&self.tls, shown, &next.http.tls) {
            side.files.send_replace(files.clone());
            side.shown.send_replace(shown);
        }
        let changes = self.supervisor.follow(&next);
        self.config = next;
        Ok(changes)
    }

    /// The configuration with the settings of `new` that a reload changes.
    fn next(&self, new: &Config) -> Result<Config, ReloadError> {
        let old = &self.config;
        let accounts = match (new.accounts.is_empty(), &self.sandbox) {
            (false, _) => new.accounts.clone(),
            (true, Some(account)) => vec![account.clone()],
            (true, None) => return Err(ReloadError::NoAccount),
        };
        let is_open = new.http.is_open || new.http.access.tokens.is_some();
        let listen = old.http.listen;
        if !is_open && !listen.ip().is_loopback() {
            return Err(ReloadError::Open(listen));
        }
        // The gateway still listens on the address of its start.
        let mut access = new.http.access.clone();
        access.hosts.any_address = old.http.access.hosts.any_address;
        Ok(Config {
            accounts,
            http: HttpSettings {
                access,
                is_open: new.http.is_open,
                token_secrets: new.http.token_secrets.clone(),
                // Whether there is TLS at all was decided at the start.
                tls: match (&old.http.tls, &new.http.tls) {
                    (Some(_), Some(new)) => Some(new.clone()),
                    (old, _) => old.clone(),
                },
                ..old.http.clone()
            },
            delivery: DeliverySettings {
                limits: Limits {
                    webhook_secret: old.delivery.limits.webhook_secret,
                    ..new.delivery.limits.clone()
                },
                shutdown_grace: new.delivery.shutdown_grace,
                ..old.delivery.clone()
            },
            sip: SipSettings {
                authorities: new.sip.authorities.clone(),
                client_certificate: new.sip.client_certificate.clone(),
                ..old.sip.clone()
            },
            webhooks: WebhookSettings {
                allowed_networks: new.webhooks.allowed_networks.clone(),
                authorities: new.webhooks.authorities.clone(),
                timeout: new.webhooks.timeout,
                ..old.webhooks.clone()
            },
            ..old.clone()
        })
    }
}

/// The configuration as it was read, and its sources.
pub(super) struct ConfigReader {
    sources: Sources,
    /// As of the start.
    started: Loaded,
    /// As of the last reload without a mistake.
    last: Loaded,
}

impl ConfigReader {
    pub(super) fn new(sources: Sources, loaded: Loaded) -> Self {
        Self {
            sources,
            started: loaded.clone(),
            last: loaded,
        }
    }

    /// Reloads the configuration if it is without mistakes.
    pub(super) async fn reload(&mut self, live: &mut Live) {
        let loaded = match config::load(&self.sources) {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                for mistake in &mistakes.0 {
                    tracing::error!(%mistake, "mistake in the configuration");
                }
                tracing::error!("failed to reload the configuration; keeping the previous one");
                return;
            }
        };
        match live.follow(&loaded.config).await {
            Ok(changes) => {
                Difference::between(&self.last, &loaded).log(&changes);
                self.warn_of_fixed(&loaded);
                self.last = loaded;
            }
            Err(error) => {
                tracing::error!(%error, "failed to reload the configuration; keeping the previous one");
            }
        }
    }

    fn warn_of_fixed(&self, loaded: &Loaded) {
        let mut fixed = Difference::between(&self.started, loaded).fixed;
        let has_tls = |loaded: &Loaded| loaded.config.http.tls.is_some();
        if has_tls(&self.started) != has_tls(loaded) {
            fixed.push("http.tls".to_owned());
        }
        if !fixed.is_empty() {
            let settings = fixed.join(", ");
            tracing::warn!(settings, "some settings take effect at the next start only");
        }
    }
}
