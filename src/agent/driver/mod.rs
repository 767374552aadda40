//! The loop in which a socket, a clock and a user agent meet.
//!
//! ```text
//! Connecting ─► Online (registering, registered, draining) ─► Away (backing off) ─► Connecting
//!                                  └─► Parked (drained) ◄─ resume ─► Connecting
//! ```
//!
//! In every phase commands are taken: a job that meets no connection is given back at once.
//!
//! | file        | is about                                              |
//! |-------------|-------------------------------------------------------|
//! | `offline`   | Connecting, Away, Parked                              |
//! | `online`    | the loop of an open connection                        |
//! | `reading`   | what comes in through it                              |
//! | `keepalive` | how its death is noticed                              |
//! | `turnstile` | what must be sent alone                               |
//! | `telling`   | what the dispatcher, the status and the log are told  |

mod keepalive;
mod offline;
mod online;
mod reading;
mod telling;
mod turnstile;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::handle::{AgentIndex, Command, Report};
use super::observer::Observer;
use super::pace::Pace;
use super::reconnect::{Recovery, Servers};
use super::status::Shown;
use super::websocket::{DialError, Dialing, Server, Socket};
use crate::clock::Clock;
use crate::message::{AgentState, Outcome};
use crate::sip::{Settings, UserAgent};
pub use keepalive::{Keepalive, Probe};
use turnstile::Turnstile;

/// What an agent works with.
pub struct Parts {
    /// Where it stands.
    pub index: AgentIndex,
    /// What it is to SIP.
    pub settings: Arc<Settings>,
    /// Where it connects to; at least one.
    pub servers: Arc<[Server]>,
    /// How connections are opened.
    pub dialing: Arc<Dialing>,
    /// How a connection is kept alive.
    pub keepalive: Keepalive,
    /// How connections that fail are retried.
    pub recovery: Recovery,
    /// What all agents share, so that they do not come as one.
    pub pace: Arc<Pace>,
    /// What it is told.
    pub commands: UnboundedReceiver<Command>,
    /// Whom it tells.
    pub reports: UnboundedSender<Report>,
    /// What it shows of itself.
    pub shown: Arc<Shown>,
    /// Told of what is counted.
    pub observer: Arc<dyn Observer>,
    /// The time on the wall.
    pub clock: Clock,
    /// What its branches, tags and waits are drawn from: from the system's generator in service.
    pub seed: [u8; 32],
}

/// Runs an agent until it is told to stop.
pub async fn run(parts: Parts) {
    let mut agent = Agent::new(parts);
    let mut phase = Phase::Connecting;
    loop {
        phase = match phase {
            Phase::Connecting => agent.connect().await,
            Phase::Online(socket, server) => agent.online(socket, server).await,
            Phase::Away(at_least) => agent.stay_away(at_least).await,
            Phase::Parked => agent.park().await,
            Phase::Ended => break,
        };
    }
    agent.shown.enter(AgentState::Stopped, agent.clock.now());
    agent.give_back();
    agent.tell(Report::Gone(agent.index));
}

enum Phase {
    Connecting,
    Online(Box<Socket>, usize),
    /// Backing off, for so long at least.
    Away(Duration),
    /// Drained: nothing to do until somebody says so.
    Parked,
    Ended,
}

struct Agent {
    index: AgentIndex,
    machine: UserAgent,
    list: Arc<[Server]>,
    servers: Servers,
    /// The one that was connected to last.
    last_server: Option<usize>,
    dialing: Arc<Dialing>,
    keepalive: Keepalive,
    recovery: Recovery,
    pace: Arc<Pace>,
    commands: UnboundedReceiver<Command>,
    reports: UnboundedSender<Report>,
    shown: Arc<Shown>,
    observer: Arc<dyn Observer>,
    clock: Clock,
    rng: StdRng,
    failures: u32,
    /// When the next try follows, as it is shown.
    retry_at: Option<Instant>,
    /// Whether the dispatcher was told that this agent takes jobs.
    is_up: bool,
    drain: bool,
    stop: bool,
    /// About to move to a heavier server.
    moving: bool,
    /// Whether leaving the registrar is over.
    left: bool,
    /// Why the connection is to be given up although it is open.
    forsaken: Option<String>,
    turnstile: Turnstile,
}

/// A connection on its way.
type Opening = Pin<Box<dyn Future<Output = Result<Socket, DialError>> + Send>>;

impl Agent {
    fn new(parts: Parts) -> Self {
        let mut rng = StdRng::from_seed(parts.seed);
        let machine = UserAgent::new(parts.settings, StdRng::from_rng(&mut rng));
        let weights = parts.servers.iter().map(|server| server.weight).collect();
        Self {
            index: parts.index,
            machine,
            servers: Servers::new(weights),
            last_server: None,
            list: parts.servers,
            dialing: parts.dialing,
            keepalive: parts.keepalive,
            recovery: parts.recovery,
            pace: parts.pace,
            commands: parts.commands,
            reports: parts.reports,
            shown: parts.shown,
            observer: parts.observer,
            clock: parts.clock,
            rng,
            failures: 0,
            retry_at: None,
            is_up: false,
            drain: false,
            stop: false,
            moving: false,
            left: false,
            forsaken: None,
            turnstile: Turnstile::default(),
        }
    }

    /// Gives back the jobs that came after the end was begun. From here on none are taken, which
    /// whoever tells is told.
    fn give_back(&mut self) {
        self.commands.close();
        let mut back = Vec::new();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Send(jobs) = command {
                back.extend(jobs.into_iter().map(|job| (job.key, Outcome::NotWritten)));
            }
        }
        if !back.is_empty() {
            self.tell(Report::Ended(self.index, back));
        }
    }

    /// The dispatcher is gone only when the gateway is; nobody is left to tell then.
    fn tell(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}
