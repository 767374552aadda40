//! File descriptors: as many as the system gives, with a reserve for everything but clients.
//!
//! Without descriptors a client waits or is refused. Agents that cannot reach their server, or
//! webhooks that are not posted to, would harm others than the clients that took them all.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::sandboxed;
use crate::config::{Account, Backend, Config};
use crate::{sandbox, webhook};

/// The runtime, the log, the listener, look-ups of names, and files that are reloaded.
const FIXED: usize = 32;
/// A SQLite file with its log and its index, for the writer and each reader.
const SQLITE: usize = 32;
/// An agent has two connections for a moment when it changes its server.
const OF_AGENT: usize = 2;

/// Raises the limit of this process to the most it may have.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "failed to raise the limit of file descriptors");
    }
}

/// `http.max_connections`, or fewer where there are few descriptors.
pub(super) fn max_connections(config: &Config) -> usize {
    let wanted = config.http.server.places.total;
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(usize::MAX);
    let given = wanted.min(left_for_clients(limit, reserve(config)));
    if given < wanted {
        tracing::warn!(
            descriptors = limit,
            connections = given,
            "http.max_connections is more than there are file descriptors for (ulimit -Hn)"
        );
    }
    given
}

/// The descriptors that the gateway needs for itself.
fn reserve(config: &Config) -> usize {
    let agents = config.accounts.iter().map(|account| account.connections);
    let agents = agents.fold(0_usize, |sum, count| {
        sum.saturating_add(usize::try_from(count).unwrap_or(usize::MAX))
    });
    let store = match &config.store.backend {
        Backend::Sqlite(_) => SQLITE,
        // Each may need another connection to cancel with.
        Backend::Postgres(_) => 2 * (config.store.connections + 4),
    };
    // A post under way may open a connection and be given another one that is free meanwhile, and
    // so an origin may have two for each that it keeps.
    let posts = 2 * (config.webhooks.concurrency + webhook::MAX_TESTS + config.webhooks.max_idle());
    // The built-in server has a descriptor for the other end of each connection.
    let is_sandbox = |account: &Account| account.uri.host() == sandbox::DOMAIN;
    let sandbox = if config.accounts.iter().any(is_sandbox) {
        sandboxed::max_connections(config)
    } else {
        0
    };
    (FIXED + store + posts)
        .saturating_add(sandbox)
        .saturating_add(agents.saturating_mul(OF_AGENT))
}

/// The reserve takes half of few descriptors at most: clients need some too.
fn left_for_clients(limit: usize, reserve: usize) -> usize {
    limit.saturating_sub(reserve.min(limit / 2)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_needs_is_kept_and_clients_get_the_rest() {
        assert_eq!(left_for_clients(1_000, 200), 800);
        assert_eq!(left_for_clients(256, 200), 128);
        assert_eq!(left_for_clients(0, 200), 1);
        let config = Config::from_toml("").unwrap();
        assert!(reserve(&config) > config.webhooks.concurrency);
        let account = |uri| {
            let servers = "servers = [{ url = \"ws://127.0.0.1/\", weight = 1 }]";
            let toml = format!("[[account]]\nuri = \"{uri}\"\npassword = \"x\"\n{servers}\n");
            Config::from_toml(&toml).unwrap()
        };
        let (elsewhere, here) = (account("a@example.com"), account("a@sandbox.invalid"));
        assert!(reserve(&here) > reserve(&elsewhere));
        assert_eq!(left_for_clients(usize::MAX, 1), usize::MAX - 1);
    }
}
