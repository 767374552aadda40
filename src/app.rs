//! The composition root: builds every part, joins them, and ends them in order.
//!
//! Nothing else chooses a backend, creates a channel between rooms, or spawns a task that lives as
//! long as the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent;
use crate::agent::Accounts;
use crate::agent::AgentIndex;
use crate::agent::Dialing;
use crate::agent::Handle;
use crate::agent::Identity;
use crate::agent::Keepalive;
use crate::agent::Pace;
use crate::agent::Probe;
use crate::agent::Recovery;
use crate::agent::Report;
use crate::agent::Shown;
use crate::api;
use crate::api::Api;
use crate::clock::Clock;
use crate::config;
use crate::config::Account;
use crate::config::Config;
use crate::dispatch;
use crate::events::Feed;
use crate::message::Addressing;
use crate::message::Agents;
use crate::pool::Directory;
use crate::retention;
use crate::sandbox;
use crate::sandbox::Sandbox;
use crate::shutdown::Shutdown;
use crate::sip;
use crate::sip::digest::Credentials;
use crate::sip::registration::Policy;
use crate::store;
use crate::store::Store;
use crate::store::StoreError;

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

/// Without an account: starts the sandbox, and gives the configuration one that registers there.
async fn sandboxed(
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
        credentials: config::Credentials::Password(password),
        connections: config.sandbox.agents,
        servers: vec![server],
        register_expires: Duration::from_secs(600),
        extra_headers: Vec::new(),
        rate: None,
        in_flight: 64,
    })
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

/// Starts every agent of every account.
fn start_agents(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Clock,
    reports: &mpsc::UnboundedSender<Report>,
) -> Result<(JoinSet<()>, Directory), AppError> {
    let sip = &config.sip;
    let certificate = sip
        .client_certificate
        .as_ref()
        .map(|files| (files.certificate.as_path(), files.key.as_path()));
    let dialing = Arc::new(Dialing {
        connect_timeout: sip.connect_timeout,
        tls: agent::client_config(sip.ca_file.as_deref(), certificate)?,
        headers: upgrade_headers(config),
        max_frame: sip.max_frame,
    });
    let pace = Arc::new(Pace::new(sip.register_rate));
    let (mut tasks, mut agents) = (JoinSet::new(), Vec::new());
    let mut index = 0;
    for account in &config.accounts {
        let servers: Arc<[agent::Server]> = account
            .servers
            .iter()
            .map(|server| agent::Server {
                url: server.url.clone(),
                weight: server.weight,
            })
            .collect();
        for number in 1..=account.connections {
            let identity = Arc::new(identity(config, account, number));
            let at = AgentIndex(index);
            index += 1;
            let (handle, commands) = Handle::new(at, identity.clone(), account.in_flight);
            let url: Arc<str> = servers
                .first()
                .map_or("", |server| server.url.as_str())
                .into();
            let shown = Arc::new(Shown::new(identity.clone(), url, clock.now()));
            agents.push((handle, shown.clone()));
            tasks.spawn(agent::run(agent::Parts {
                index: at,
                settings: Arc::new(settings(config, account, &identity, number, store.epoch())),
                servers: servers.clone(),
                dialing: dialing.clone(),
                keepalive: keepalive(config),
                recovery: Recovery {
                    min: sip.recovery_min,
                    max: sip.recovery_max,
                    cooldown: sip.server_cooldown,
                },
                pace: pace.clone(),
                commands,
                reports: reports.clone(),
                shown,
                clock: clock.clone(),
                seed: rand::random(),
            }));
        }
    }
    Ok((tasks, Directory::new(agents)))
}

/// `alice-1`: the user of the account, made safe for a path, and a number. Accounts of the same
/// user at several domains carry the domain too.
fn identity(config: &Config, account: &Account, number: u32) -> Identity {
    let safe = |text: &str| -> String {
        let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~');
        text.chars()
            .map(|c| if keep(c) { c } else { '_' })
            .collect()
    };
    let user = safe(&account.uri.user());
    let namesakes = config
        .accounts
        .iter()
        .filter(|other| safe(&other.uri.user()) == user)
        .count();
    let id = match namesakes {
        0 | 1 => format!("{user}-{number}"),
        _ => format!("{user}@{}-{number}", safe(account.uri.domain())),
    };
    let address = format!("<{}>", account.uri.as_str());
    let from = match &account.display_name {
        Some(name) => format!("{} {address}", sip::headers::name_addr::quote(name)),
        None => address,
    };
    Identity {
        id: id.into(),
        account: account.uri.as_str().into(),
        from,
        user_agent: config.sip.user_agent.clone(),
        extra_headers: account
            .extra_headers
            .iter()
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
    }
}

fn settings(
    config: &Config,
    account: &Account,
    identity: &Identity,
    number: u32,
    epoch: u64,
) -> sip::Settings {
    let username = account.authorization_user.as_str();
    let credentials = match &account.credentials {
        config::Credentials::None => None,
        config::Credentials::Password(password) => {
            Some(Credentials::password(username, password.expose()))
        }
        // The configuration has checked its digits.
        config::Credentials::Ha1 { ha1, realm } => {
            Credentials::ha1(username, realm.as_str(), ha1.expose()).ok()
        }
    };
    sip::Settings {
        aor: account.uri.as_str().to_owned(),
        from: identity.from.clone(),
        registrar: account.registrar.as_str().to_owned(),
        contact_user: format!("{:016x}", rand::random::<u64>()),
        via_host: format!("{:012x}.invalid", rand::random::<u64>() >> 16),
        instance_id: agent::instance_id(epoch, &identity.account, number),
        reg_id: 1,
        registration: Policy {
            expires: account.register_expires,
            retry_min: config.sip.recovery_min,
            retry_max: config.sip.recovery_max,
        },
        user_agent: identity.user_agent.clone(),
        extra_headers: identity.extra_headers.clone(),
        // sipost sends; nobody here takes messages.
        accepts: Vec::new(),
        credentials,
        timer_f: config.sip.timer_f,
        limits: sip::parse::Limits {
            frame: config.sip.max_frame,
            ..Default::default()
        },
    }
}

fn keepalive(config: &Config) -> Keepalive {
    let probe = match config.sip.keepalive {
        config::Keepalive::Ping => Probe::Ping,
        config::Keepalive::Crlf => Probe::Crlf,
        config::Keepalive::Off => Probe::None,
    };
    Keepalive {
        probe,
        interval: config.sip.ping_interval,
        timeout: config.sip.pong_timeout,
    }
}

fn upgrade_headers(config: &Config) -> Vec<(HeaderName, HeaderValue)> {
    let read = |(name, value): &(String, config::Secret)| {
        let mut value = HeaderValue::from_str(value.expose()).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
    };
    config.sip.upgrade_headers.iter().filter_map(read).collect()
}
