//! The built-in SIP server, used while no account is configured.

use tokio::task::JoinSet;

use super::AppError;
use crate::config::Config;
use crate::sandbox;
use crate::sandbox::Sandbox;

/// The user of the account that registers with the sandbox.
const USER: &str = "sipost";
/// Clients of the sandbox besides the agents.
const CLIENTS: usize = 64;

/// Starts the sandbox if no account is configured; returns the configuration with an account that
/// registers there.
pub(super) async fn sandboxed(
    config: &Config,
    background: &mut JoinSet<()>,
) -> Result<Option<Config>, AppError> {
    if !config.accounts.is_empty() {
        return Ok(None);
    }
    let listen = config.sandbox.listen;
    let options = sandbox::Options {
        max_connections: max_connections(config),
        ..sandbox::Options::default()
    };
    let sandbox = Sandbox::bind(listen, options)
        .await
        .map_err(|error| AppError::Listen {
            address: listen,
            setting: "sandbox.listen",
            error,
        })?;
    tracing::warn!(
        server = %sandbox.url(),
        "no account is configured: this is a sandbox, with the users {}",
        sandbox::USERS.join(", ")
    );
    let account = format!(
        "[[account]]\nuri = 'sip:{USER}@{}'\npassword = '{}'\nservers = ['{}']\nconnections = {}",
        sandbox::DOMAIN,
        sandbox::password_of(USER),
        sandbox.url(),
        config.sandbox.agents,
    );
    background.spawn(sandbox.run(std::future::pending()));
    let own = Config::from_toml(&account).map(|config| config.accounts);
    Ok(Some(Config {
        accounts: own.unwrap_or_default(),
        ..config.clone()
    }))
}

/// Connections of the sandbox: two of each agent, which has as many for a moment when it changes
/// its server, and some of clients that try things.
pub(super) fn max_connections(config: &Config) -> usize {
    let agents = usize::try_from(config.sandbox.agents).unwrap_or(usize::MAX);
    agents.saturating_mul(2).saturating_add(CLIENTS)
}
