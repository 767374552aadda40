//! The store that the configuration names.

use std::sync::Arc;

use rustls::ClientConfig;

use super::AppError;
use crate::agent;
use crate::clock::Clock;
use crate::config::{Backend, Config, StoreSettings};
use crate::store::postgres::Address;
use crate::store::{Store, postgres, sqlite};
use crate::telemetry::Metrics;

pub(super) async fn open_store(
    config: &Config,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<Arc<dyn Store>, AppError> {
    let settings = &config.store;
    let observer = Arc::new(metrics.clone());
    let failed = |error| AppError::Store(settings.backend.to_string(), error);
    match &settings.backend {
        Backend::Sqlite(path) => {
            let options = sqlite::Options {
                path: path.clone(),
                synchronous: settings.synchronous,
                tail: settings.tail,
                observer,
            };
            sqlite::open(options, clock.now()).map_err(failed)
        }
        Backend::Postgres(address) => {
            let options = postgres::Options {
                address: Address::clone(address),
                tls: tls(settings, address)?,
                replica: replica(config),
                lease: settings.lease,
                connections: settings.connections,
                tail: settings.tail,
                observer,
            };
            let opened = postgres::open(options, clock.now()).await;
            opened.map_err(failed)
        }
    }
}

/// Where the store is, for people: the whole path of a file, or the database without its password.
pub(super) fn place(config: &Config) -> String {
    match &config.store.backend {
        Backend::Sqlite(path) => {
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            whole.display().to_string()
        }
        Backend::Postgres(address) => address.to_string(),
    }
}

/// How TLS is spoken with PostgreSQL; `None` for not at all.
fn tls(settings: &StoreSettings, address: &Address) -> Result<Option<Arc<ClientConfig>>, AppError> {
    if !address.wants_tls() {
        return Ok(None);
    }
    Ok(Some(agent::client_config(&settings.authorities, None)?))
}

/// Begins a new epoch in a database that was put back from a dump; gives its number.
pub async fn begin_epoch(
    settings: &StoreSettings,
    address: &Address,
    clock: &Clock,
) -> Result<u64, AppError> {
    let tls = tls(settings, address)?;
    let begun = postgres::begin_epoch(address.clone(), tls, clock.now()).await;
    begun.map_err(|error| AppError::Store(address.to_string(), error))
}

/// The name of this replica, if the store may be shared with others.
pub(super) fn name(config: &Config, store: &dyn Store) -> Option<Arc<str>> {
    store.agreeing().map(|_| replica(config).into())
}

/// The name of this replica: as configured, else that of its host. In a container that is the name
/// of the container, which no other replica has.
pub(super) fn replica(config: &Config) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = config.store.replica.clone().or_else(host);
    let name = name.as_deref().map(str::trim).unwrap_or_default();
    if name.is_empty() {
        format!("sipost-{}", std::process::id())
    } else {
        name.to_owned()
    }
}
