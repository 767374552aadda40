//! The composition root: builds every part, joins them, and ends them in order.
//!
//! Nothing else chooses a backend, creates a channel between rooms, or spawns a task that lives as
//! long as the gateway.

mod agents;
mod sandboxed;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent;
use crate::agent::Accounts;
use crate::api;
use crate::api::Api;
use crate::clock::Clock;
use crate::config;
use crate::config::Config;
use crate::dispatch;
use crate::events::Feed;
use crate::message::Addressing;
use crate::message::Agents;
use crate::pool::Directory;
use crate::retention;
use crate::shutdown::Shutdown;
use crate::store;
use crate::store::Store;
use crate::store::StoreError;
use agents::start_agents;
use sandboxed::sandboxed;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The store cannot be opened.
    #[error("the store {0} cannot be opened: {1}")]
    Store(PathBuf, StoreError),
    /// The port is taken, or may not be.
    #[error("{0} cannot be listened on: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// TLS for agents cannot be set up.
    #[error(transparent)]
    Tls(#[from] agent::TlsError),
}

/// Bytes of waiting messages kept in memory; of more only their names are.
const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;
/// Commands that wait for the dispatcher. A client whose command finds no room waits its turn.
const INBOX: usize = 4_096;
/// How long an HTTP client may take nothing of what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long agents may take to unregister, once their last request has ended.
const LEAVE_GRACE: Duration = Duration::from_secs(3);

/// A gateway at work.
pub struct Gateway {
    address: SocketAddr,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    /// Stops taking in what is new.
    draining: CancellationToken,
    /// Ends event streams.
    closing: CancellationToken,
    /// Ends everything that still waits.
    grace_over: CancellationToken,
    grace: Duration,
    dispatcher: JoinHandle<()>,
    agents: JoinSet<()>,
    server: JoinHandle<()>,
    background: JoinSet<()>,
}

/// Runs a gateway until the end is asked for, and ends it in order.
pub async fn run(config: Arc<Config>, shutdown: Shutdown) -> Result<(), AppError> {
    let gateway = Gateway::start(&config, Clock::system()).await?;
    tracing::info!("taking messages at http://{}", gateway.address);
    shutdown.begun().await;
    tokio::select! {
        () = gateway.stop() => tracing::info!("stopped; nothing is lost"),
        () = shutdown.forced() => tracing::warn!("ended at once; what was open is taken up at the next start"),
    }
    Ok(())
}

impl Gateway {
    /// Opens the store, begins to register, and listens.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self, AppError> {
        let mut background = JoinSet::new();
        let sandboxed = sandboxed(config, &mut background).await?;
        let config = sandboxed.as_ref().unwrap_or(config);
        let listen = config.http.listen;
        // Bound before anything else is begun: a port that is taken is the commonest mistake.
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| AppError::Listen(listen, error))?;
        let address = listener
            .local_addr()
            .map_err(|error| AppError::Listen(listen, error))?;
        let store = open_store(config, &clock)?;
        let (draining, closing) = (CancellationToken::new(), CancellationToken::new());
        let grace_over = CancellationToken::new();

        let (reports, told) = mpsc::unbounded_channel();
        let (agents, directory) = start_agents(config, &store, &clock, &reports)?;
        drop(reports);
        let handles = directory.handles();
        let directory = Arc::new(directory);

        let (dispatch, commands) = dispatch::Handle::new(INBOX);
        let parts = dispatch::Parts {
            store: store.clone(),
            agents: handles,
            accounts: config
                .accounts
                .iter()
                .map(|account| (account.uri.as_str().into(), account.rate))
                .collect(),
            reports: told,
            drain: draining.clone(),
            clock: clock.clone(),
            seed: rand::random(),
            settings: dispatch::Settings {
                max_queued: config.delivery.max_queued,
                max_held_bytes: MAX_HELD_BYTES,
                backoff: config.delivery.backoff,
            },
        };
        let dispatcher = tokio::spawn(dispatch::run(parts, commands));

        let feed = Feed::new(store.clone());
        background.spawn(feed.clone().run());
        background.spawn(retention::run(
            store.clone(),
            config.retention.clone(),
            clock.clone(),
        ));

        let router = api::router(Api::new(api::Parts {
            store: store.clone(),
            dispatch,
            feed,
            addressing: accounts(config),
            agents: directory.clone() as Arc<dyn Agents>,
            clock,
            limits: config.limits(),
            settings: api_settings(config),
            draining: draining.clone(),
            closing: closing.clone(),
        }));
        let server = api::Server {
            header_timeout: config.http.header_timeout,
            idle_timeout: config.http.idle_timeout,
            write_timeout: WRITE_TIMEOUT,
            max_connections: config.http.max_connections,
        };
        let serving = api::serve(
            listener,
            router,
            server,
            closing.clone(),
            grace_over.clone(),
        );
        let server = tokio::spawn(serving);
        Ok(Self {
            address,
            store,
            directory,
            draining,
            closing,
            grace_over,
            grace: config.delivery.shutdown_grace,
            dispatcher,
            agents,
            server,
            background,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends everything in order: what is new is refused, what is open ends, agents leave their
    /// registrars, streams and connections are closed, and the store last of all.
    pub async fn stop(mut self) {
        self.draining.cancel();
        if tokio::time::timeout(self.grace, &mut self.dispatcher)
            .await
            .is_err()
        {
            tracing::warn!("requests are still open; they are taken up at the next start");
            self.dispatcher.abort();
        }
        self.directory.stop();
        let leaving = async { while self.agents.join_next().await.is_some() {} };
        if tokio::time::timeout(LEAVE_GRACE, leaving).await.is_err() {
            self.agents.shutdown().await;
        }
        self.closing.cancel();
        if tokio::time::timeout(LEAVE_GRACE, &mut self.server)
            .await
            .is_err()
        {
            self.grace_over.cancel();
            self.server.abort();
        }
        self.background.shutdown().await;
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the store did not close");
        }
    }
}

fn open_store(config: &Config, clock: &Clock) -> Result<Arc<dyn Store>, AppError> {
    match &config.store.place {
        config::Place::Sqlite(path) => {
            let options = store::sqlite::Options {
                path: path.clone(),
                synchronous: match config.store.synchronous {
                    config::Synchronous::Full => store::sqlite::Synchronous::Full,
                    config::Synchronous::Normal => store::sqlite::Synchronous::Normal,
                },
                tail: store::TailSize {
                    events: usize::try_from(config.store.recent_events).unwrap_or(usize::MAX),
                    bytes: config.store.recent_bytes,
                },
                observer: Arc::new(()),
            };
            store::sqlite::open(options, clock.now())
                .map_err(|error| AppError::Store(path.clone(), error))
        }
    }
}

fn accounts(config: &Config) -> Arc<dyn Addressing> {
    let known = config
        .accounts
        .iter()
        .map(|account| account.uri.uri().clone());
    Arc::new(Accounts::new(known))
}

fn api_settings(config: &Config) -> api::Settings {
    api::Settings {
        max_request: config.http.max_request,
        max_batch_request: config.http.max_batch_request,
        request_timeout: config.http.request_timeout,
        heartbeat: config.http.heartbeat,
        max_streams: config.http.max_streams,
    }
}
