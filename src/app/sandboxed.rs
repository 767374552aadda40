//! Without an account: the built-in SIP server, and an account that registers there.

use std::time::Duration;

use tokio::task::JoinSet;

use super::AppError;
use crate::config;
use crate::config::{Account, Config};
use crate::sandbox;
use crate::sandbox::Sandbox;

/// Without an account: starts the sandbox, and gives the configuration one that registers there.
pub(super) async fn sandboxed(
    config: &Config,
    background: &mut JoinSet<()>,
) -> Result<Option<Config>, AppError> {
    if !config.accounts.is_empty() {
        return Ok(None);
    }
    let listen = config.sandbox.listen;
    let sandbox = Sandbox::bind(listen, sandbox::Options::default())
        .await
        .map_err(|error| AppError::Listen(listen, error))?;
    let account = sandbox_account(config, &sandbox.url());
    tracing::warn!(
        server = %sandbox.url(),
        "no account is configured: this is a sandbox, try the targets ok, busy, offline, slow"
    );
    background.spawn(sandbox.run(std::future::pending()));
    Ok(Some(Config {
        accounts: account.into_iter().collect(),
        ..config.clone()
    }))
}

/// The account that sends into the sandbox.
fn sandbox_account(config: &Config, url: &str) -> Option<Account> {
    let user = "sipost";
    let uri = config::AddressOfRecord::parse(&format!("sip:{user}@{}", sandbox::DOMAIN))?;
    let server = config::Server {
        url: url.parse().ok()?,
        weight: 0,
    };
    let password = config::Secret::new(sandbox::password_of(user));
    Some(Account {
        registrar: config::Registrar::of(&uri),
        uri,
        display_name: None,
        authorization_user: user.to_owned(),
        credentials: config::Credentials::Password {
            password,
            realm: None,
        },
        realms: Vec::new(),
        outbound: true,
        connections: config.sandbox.agents,
        servers: vec![server],
        register_expires: Duration::from_secs(600),
        extra_headers: Vec::new(),
        rate: None,
        in_flight: 64,
        max_message: None,
    })
}
