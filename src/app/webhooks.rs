//! Webhooks, as the configuration says.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::AppError;
use crate::agent;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::Store;
use crate::webhook;
use crate::webhook::{AddressGuard, Client, SystemResolver, Vault, Webhooks};

/// Plans and posts while this replica leads, until `stop`.
pub(super) async fn post(
    webhooks: Webhooks,
    mut leads: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let waiting = leads.wait_for(|leads| *leads);
        if stop.run_until_cancelled(waiting).await.is_none() {
            return;
        }
        let turn = stop.child_token();
        let posting = webhooks.clone().run(turn.clone());
        tokio::pin!(posting);
        tokio::select! {
            () = &mut posting => {}
            lost = async { leads.wait_for(|leads| !*leads).await.map(drop) } => {
                // If the channel is closed, no other replica is known to post: this one goes on.
                if lost.is_ok() {
                    turn.cancel();
                }
                posting.await;
            }
        }
    }
}

/// The client that posts, with the networks and the timeout of the configuration.
pub(super) fn client(config: &Config) -> Result<Client, AppError> {
    let webhooks = &config.webhooks;
    Ok(Client::new(
        AddressGuard::new(webhooks.allowed_networks.clone()),
        SystemResolver,
        &*agent::client_config(&webhooks.authorities, None)?,
        webhooks.timeout,
        webhooks.max_idle(),
    )?
    .with_secrets(config.http.token_secrets.clone()))
}

/// Reads the webhooks of this store. The client that posts may be replaced through the sender.
pub(super) async fn open(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Clock,
    observer: impl webhook::Observer + 'static,
) -> Result<(Webhooks, watch::Sender<Client>), AppError> {
    let webhooks = &config.webhooks;
    let posts = watch::Sender::new(client(config)?);
    let vault = match &webhooks.encryption_key {
        Some(key) => Vault::with_key(key.expose())?,
        None => Vault::plain(),
    };
    let parts = webhook::Dependencies {
        store: store.clone(),
        client: posts.subscribe(),
        vault,
        own_secret: webhooks.secret.clone(),
        schedule: webhooks.schedule.clone(),
        concurrency: webhooks.concurrency,
        clock: clock.clone(),
        observer: Arc::new(observer),
    };
    let webhooks = Webhooks::new(parts);
    webhooks.load().await?;
    Ok((webhooks, posts))
}
