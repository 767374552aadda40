//! The store that the configuration names.

use std::path::Path;
use std::sync::Arc;

use super::AppError;
use crate::agent;
use crate::clock::Clock;
use crate::config;
use crate::config::{Config, Secret};
use crate::store;
use crate::store::{Store, StoreError, postgres, sqlite};
use crate::telemetry::Metrics;

/// Opens the store.
pub(super) async fn open_store(
    config: &Config,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<Arc<dyn Store>, AppError> {
    match &config.store.place {
        config::Place::Sqlite(path) => open_sqlite(config, path, clock, metrics)
            .map_err(|error| AppError::Store(path.display().to_string(), error)),
        config::Place::Postgres(url) => open_postgres(config, url, clock, metrics).await,
    }
}

fn open_sqlite(
    config: &Config,
    path: &Path,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<Arc<dyn Store>, StoreError> {
    let options = sqlite::Options {
        path: path.to_owned(),
        synchronous: match config.store.synchronous {
            config::Synchronous::Full => sqlite::Synchronous::Full,
            config::Synchronous::Normal => sqlite::Synchronous::Normal,
        },
        tail: tail(config),
        observer: Arc::new(metrics.clone()),
    };
    sqlite::open(options, clock.now())
}

async fn open_postgres(
    config: &Config,
    url: &Secret,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<Arc<dyn Store>, AppError> {
    let settings = &config.store;
    let (address, tls) = reach(config, url)?;
    let place = address.to_string();
    let options = postgres::Options {
        address,
        tls,
        replica: replica(config),
        lease: settings.lease,
        connections: usize::try_from(settings.connections).unwrap_or(usize::MAX),
        tail: tail(config),
        observer: Arc::new(metrics.clone()),
    };
    postgres::open(options, clock.now())
        .await
        .map_err(|error| AppError::Store(place, error))
}

/// Where PostgreSQL is, and how TLS is spoken with it.
fn reach(config: &Config, url: &Secret) -> Result<(postgres::Address, Tls), AppError> {
    let settings = &config.store;
    let password = settings.password.as_ref().map(Secret::expose);
    let address = postgres::Address::parse(url.expose(), password)
        .map_err(|error| AppError::Store("in PostgreSQL".to_owned(), error))?;
    let tls = match address.wants_tls() {
        true => Some(agent::client_config(&settings.authorities, None)?),
        false => None,
    };
    Ok((address, tls))
}

type Tls = Option<Arc<rustls::ClientConfig>>;

/// Begins a new epoch in a database that was put back from a dump; gives its number.
pub async fn begin_epoch(config: &Config, url: &Secret, clock: &Clock) -> Result<u64, AppError> {
    let (address, tls) = reach(config, url)?;
    let place = address.to_string();
    postgres::begin_epoch(address, tls, clock.now())
        .await
        .map_err(|error| AppError::Store(place, error))
}

fn tail(config: &Config) -> store::TailSize {
    store::TailSize {
        events: usize::try_from(config.store.recent_events).unwrap_or(usize::MAX),
        bytes: config.store.recent_bytes,
    }
}

/// What this replica is called, where there are others.
pub(super) fn name(config: &Config, store: &dyn Store) -> Option<Arc<str>> {
    store.agreeing().map(|_| replica(config).into())
}

/// What this replica is called: as configured, else as its host. In a container that is the name
/// of the container, which no other replica has.
pub(super) fn replica(config: &Config) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = config.store.replica.clone().or_else(host);
    let name = name.as_deref().map(str::trim).unwrap_or_default();
    match name.is_empty() {
        true => format!("sipost-{}", std::process::id()),
        false => name.to_owned(),
    }
}
