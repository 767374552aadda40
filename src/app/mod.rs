//! The composition root: builds every part, joins them, and shuts them down in order.
//!
//! Nothing else chooses a backend, creates a channel between rooms, or spawns a task that lives as
//! long as the gateway.

mod agents;
mod certificates;
mod descriptors;
mod difference;
mod frames;
mod http;
mod inbound;
mod reload;
mod sandboxed;
mod service;
mod share;
mod store;
mod supervisor;
mod traces;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agent;
use crate::api;
use crate::clock::Clock;
use crate::config::{Config, Loaded, Sources};
use crate::dispatch;
use crate::dispatch::SipTraces;
use crate::events::Feed;
use crate::message::{Agents as _, without_os_error};
use crate::retention;
use crate::shutdown::{Reloads, Shutdown};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, TracesError, Watch};
use crate::webhook::{ClientError, EndpointCacheError, KeyError};
use agents::{AgentChannels, AgentFactory};
use frames::{FrameTasks, Frames};
pub use http::reached_at;
use inbound::{Listeners, receive};
use reload::{ConfigReader, Live};
use sandboxed::sandboxed;
use share::Sharing;
pub use store::begin_epoch;
use store::open_store;
use supervisor::Supervisor;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The store cannot be opened.
    #[error("failed to open the store {0}: {1}")]
    Store(String, StoreError),
    /// The port is taken, or not permitted.
    #[error("failed to listen on {address} ({setting}): {}", listen_failure(.error))]
    Listen {
        /// Where it should listen.
        address: SocketAddr,
        /// The setting that says so.
        setting: &'static str,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// TLS for connections to servers cannot be set up.
    #[error(transparent)]
    Tls(#[from] agent::TlsError),
    /// The certificate for clients cannot be shown.
    #[error(transparent)]
    Certificate(#[from] api::CertificateError),
    /// Spans cannot be exported.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// Webhooks cannot be posted to.
    #[error(transparent)]
    WebhookClient(#[from] ClientError),
    /// The key of the secrets of webhooks is malformed.
    #[error("webhooks.encryption_key: {0}")]
    WebhookKey(#[from] KeyError),
    /// The stored webhooks cannot be used.
    #[error(transparent)]
    WebhookEndpoints(#[from] EndpointCacheError),
}

impl AppError {
    /// Whether only another configuration helps.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Tls(_) | Self::Certificate(_) | Self::Traces(_) => true,
            Self::WebhookClient(_) | Self::WebhookKey(_) => true,
            // The encryption key is missing, or another one.
            Self::WebhookEndpoints(EndpointCacheError::Secret(..)) => true,
            Self::WebhookEndpoints(EndpointCacheError::Store(_)) => false,
            Self::Store(..) | Self::Listen { .. } => false,
        }
    }
}

fn listen_failure(error: &std::io::Error) -> String {
    let reason = without_os_error(error);
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("{reason}; stop the program that listens there, or choose another port")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            format!("{reason}; choose an address of this machine, or 0.0.0.0 for all of them")
        }
        _ => reason,
    }
}

/// Bytes of waiting messages kept in memory; of further ones only the ids are.
const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;
/// Commands that wait for the dispatcher. When it is full, the requests of clients wait.
const INBOX: usize = 4_096;
/// Requests of peers that wait for the dispatcher.
const ARRIVALS: usize = 1_024;
/// How long each step of a shutdown may take once the last request has ended: unregistering,
/// posting to webhooks, closing streams, exporting spans.
const STEP: Duration = Duration::from_secs(3);
/// How long a shutdown may take after `delivery.shutdown_grace`, closing the store included.
const AFTER_GRACE: Duration = Duration::from_secs(10);

pub struct Gateway {
    address: SocketAddr,
    store: Arc<dyn Store>,
    live: Live,
    sharing: Sharing,
    ends: ShutdownTokens,
    dispatcher: JoinHandle<()>,
    posting: JoinHandle<()>,
    agent_log: JoinHandle<()>,
    server: JoinHandle<()>,
    tracing: Option<JoinHandle<()>>,
    frames: FrameTasks,
    background: JoinSet<()>,
}

/// Shut the gateway down, in this order.
#[derive(Default)]
struct ShutdownTokens {
    /// New messages are refused.
    draining: CancellationToken,
    /// Every agent has left.
    left: CancellationToken,
    /// No more posts to webhooks begin.
    posting: CancellationToken,
    closing: CancellationToken,
    /// The last spans are exported.
    tracing: CancellationToken,
    /// Open connections are cut.
    grace_over: CancellationToken,
}

/// Runs a gateway until a shutdown is requested, and shuts it down in order. Reloads the
/// configuration on request.
pub async fn run(
    sources: Sources,
    loaded: Loaded,
    mut reloads: Reloads,
    shutdown: Shutdown,
) -> Result<(), AppError> {
    descriptors::raise();
    let mut gateway = Gateway::start(&loaded.config, Clock::system()).await?;
    let mut reader = ConfigReader::new(sources, loaded);
    let scheme = gateway.live.tls.as_ref().map_or("http", |_| "https");
    let url = format!("{scheme}://{}", gateway.address);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        store = store::place(&gateway.live.config),
        // A browser does not open an address that stands for all of them.
        page = format!("{scheme}://{}/", reached_at(gateway.address)),
        "sipost is ready"
    );
    tracing::info!("taking messages at {url}");
    service::ready(&url);
    loop {
        tokio::select! {
            () = shutdown.begun() => break,
            () = reloads.next() => {
                service::reloading();
                reader.reload(&mut gateway.live).await;
                gateway.agree().await;
                service::reloaded();
            }
            () = gateway.sharing.due() => tokio::select! {
                () = gateway.agree() => {}
                () = shutdown.begun() => break,
            },
        }
    }
    service::stopping();
    tokio::select! {
        () = gateway.stop() => tracing::info!("stopped; nothing is lost"),
        () = shutdown.forced() => tracing::warn!("stopped at once; open messages are resumed at the next start"),
    }
    Ok(())
}

impl Gateway {
    /// Opens the store, starts the agents, and listens.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self, AppError> {
        let mut background = JoinSet::new();
        let sandboxed = sandboxed(config, &mut background).await?;
        let config = sandboxed.clone().unwrap_or_else(|| config.clone());
        // Bound before everything else: a port that is taken is the commonest mistake.
        let (listener, address) = listen(config.http.listen).await?;
        let metrics = Metrics::new();
        let store = open_store(&config, &clock, &metrics).await?;
        let ends = ShutdownTokens::default();
        let (watch, tracing) = traces::watch(&config, &metrics, &clock, &ends.tracing)?;

        let (reports, reported) = mpsc::unbounded_channel();
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let frames = Frames::new(&config, &store, &clock, &metrics)?;
        let (changes, agent_log) = agents::write_log(&store, &ends.left);
        let channels = AgentChannels::new(reports, arrivals, frames.recorder, changes);
        let factory = AgentFactory::new(&config, store.epoch(), &clock, channels, &metrics)?;
        let mut supervisor = Supervisor::new(factory, store::name(&config, &*store));

        let (dispatch, commands) = dispatch::Handle::new(INBOX);
        let traces = frames.traces;
        let parts = dispatch_parts(&config, &store, reported, &traces, &ends, &clock, &watch);
        let dispatcher = tokio::spawn(dispatch::run(parts, commands));
        let mut sharing = Sharing::new(store.clone(), config.store.lease);
        sharing.agree(&mut supervisor, &config, &dispatch).await;

        let (webhooks, posts) = webhooks::open(&config, &store, &clock, watch.clone()).await?;
        let stop = ends.posting.clone();
        let posting = tokio::spawn(webhooks::post(webhooks.clone(), store.leads(), stop));
        let feed = Feed::new(store.clone());
        background.spawn(feed.clone().run(ends.closing.clone()));
        let readers = Arc::new(Listeners::new(&webhooks, &feed));
        let parts = inbound::parts(&config, &store, &dispatch, arrived, readers, &clock, &watch);
        receive(parts, &mut background);
        let kept = config.retention.clone();
        background.spawn(retention::run(store.clone(), kept, clock.clone()));
        let sandbox = sandboxed.and_then(|config| config.accounts.into_iter().next());
        let tls = http::https(&config, &mut background)?;
        let live = Live::new(config, sandbox, supervisor, dispatch, posts, tls);
        let observed = (watch, traces);
        let api = http::api(&live, &store, feed, webhooks, observed, clock, &ends);
        let server = http::serve(listener, api, &live, &ends);
        Ok(Self {
            address,
            store,
            live,
            sharing,
            ends,
            dispatcher,
            posting,
            agent_log,
            server,
            tracing,
            frames: frames.tasks,
            background,
        })
    }

    /// Agrees with the other replicas on who runs which agents.
    async fn agree(&mut self) {
        let Live {
            supervisor,
            config,
            dispatch,
            ..
        } = &mut self.live;
        self.sharing.agree(supervisor, config, dispatch).await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shuts down in order: new messages are refused, open requests end, agents unregister, posts
    /// under way end, streams and connections are closed, and the store last of all.
    pub async fn stop(mut self) {
        let grace = self.live.config.delivery.shutdown_grace;
        let agents = self.live.supervisor.directory().list();
        let open: u32 = agents.map(|agent| agent.in_flight).sum();
        let (seconds, after) = (grace.as_secs(), AFTER_GRACE.as_secs());
        let requests = match open {
            0 => "no SIP request is open".to_owned(),
            1 => format!("waiting for 1 open SIP request, for {seconds} s at most"),
            _ => format!("waiting for {open} open SIP requests, for {seconds} s at most"),
        };
        tracing::info!(
            "{requests}; then agents unregister and streams close, in {after} s at most"
        );
        let grace_over = Instant::now() + grace;
        let end = grace_over + AFTER_GRACE;
        let within = |limit: Duration| limit.min(end.saturating_duration_since(Instant::now()));
        self.ends.draining.cancel();
        if !ends_within(grace, &mut self.dispatcher).await {
            tracing::warn!("requests are still open; they are resumed at the next start");
        }
        self.live.supervisor.leave(within(STEP)).await;
        self.ends.left.cancel();
        if !ends_within(within(STEP), &mut self.agent_log).await {
            tracing::warn!("failed to write events of agents; they are dropped");
        }
        // Events of the last messages were posted meanwhile; the others are in the store.
        self.ends.posting.cancel();
        let left = grace_over.saturating_duration_since(Instant::now());
        if !ends_within(within(left.max(STEP)), &mut self.posting).await {
            tracing::warn!("posts to webhooks are still open; they are repeated at the next start");
        }
        self.ends.closing.cancel();
        if !ends_within(within(STEP), &mut self.server).await {
            self.ends.grace_over.cancel();
        }
        self.ends.tracing.cancel();
        if let Some(tracing) = &mut self.tracing
            && !ends_within(within(STEP), tracing).await
        {
            tracing::warn!("failed to export the last spans; they are dropped");
        }
        let closing = async {
            self.frames.end().await;
            self.background.shutdown().await;
            self.store.close().await
        };
        // A disk that hangs must not hold the process: every message with a 202 is durable already.
        match tokio::time::timeout(within(AFTER_GRACE), closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "failed to close the store"),
            Err(_) => tracing::warn!("timed out while closing the store"),
        }
    }
}

/// Whether a task ends in time; otherwise it is aborted.
async fn ends_within(limit: Duration, task: &mut JoinHandle<()>) -> bool {
    let is_in_time = tokio::time::timeout(limit, &mut *task).await.is_ok();
    if !is_in_time {
        task.abort();
    }
    is_in_time
}

async fn listen(at: SocketAddr) -> Result<(TcpListener, SocketAddr), AppError> {
    let failed = |error| AppError::Listen {
        address: at,
        setting: "http.listen",
        error,
    };
    let listener = TcpListener::bind(at).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn dispatch_parts(
    config: &Config,
    store: &Arc<dyn Store>,
    reports: mpsc::UnboundedReceiver<agent::Report>,
    traces: &SipTraces,
    ends: &ShutdownTokens,
    clock: &Clock,
    watch: &Watch,
) -> dispatch::DispatchParts {
    dispatch::DispatchParts {
        store: store.clone(),
        accounts: Vec::new(),
        reports,
        drain: ends.draining.clone(),
        clock: clock.clone(),
        observer: Arc::new(watch.clone()),
        traces: traces.clone(),
        seed: rand::random(),
        settings: dispatch_settings(config),
    }
}

fn dispatch_settings(config: &Config) -> dispatch::Settings {
    dispatch::Settings {
        max_queued: config.delivery.max_queued,
        max_held_bytes: MAX_HELD_BYTES,
        reserved: config.delivery.reserved,
        backoff: config.delivery.backoff,
        targets: config.telemetry.targets,
    }
}
