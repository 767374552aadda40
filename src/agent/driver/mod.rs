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
//! | `line`      | the connection itself, and how its death is noticed   |
//! | `inbound`   | requests of peers                                     |
//! | `frames`    | what becomes of frames besides: traces                |
//! | `isolation` | messages that must be sent alone                      |
//! | `reports`   | reports to the dispatcher, the status and the log     |

mod frames;
mod inbound;
mod isolation;
mod line;
mod offline;
mod online;
mod reports;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::{StdRng, Xoshiro256PlusPlus};
use tokio::sync::mpsc::UnboundedSender;
use uuid::ContextV7;

use super::arrival::Arrivals;
use super::command_queue::CommandReceiver;
use super::handle::{AgentCommand, AgentIndex, Report};
use super::observer::AgentObserver;
use super::reconnect::{Pace, ReconnectPolicy, Servers};
use super::status::StatusCell;
use super::websocket::{DialError, Dialing, Socket, WeightedServer};
use crate::clock::Clock;
use crate::message::{AgentState, Outcome};
use crate::sip::{ReceiveSettings, Settings, UserAgent};
use crate::trace::Recorder;
use frames::AgentFrames;
use isolation::Isolation;
pub use line::{Keepalive, Probe};

/// What an agent works with.
pub struct AgentParts {
    pub index: AgentIndex,
    /// What it is to SIP.
    pub settings: Arc<Settings>,
    /// Where it connects to; at least one.
    pub servers: Arc<[WeightedServer]>,
    /// How connections are opened.
    pub dialing: Arc<Dialing>,
    /// How a connection is kept alive.
    pub keepalive: Keepalive,
    /// How connections that fail are retried.
    pub recovery: ReconnectPolicy,
    /// What all agents share, so that they do not come as one.
    pub pace: Arc<Pace>,
    /// What it is to do.
    pub commands: CommandReceiver,
    /// Where it reports to the dispatcher.
    pub reports: UnboundedSender<Report>,
    /// Where it hands over what comes in.
    pub arrivals: Arrivals,
    /// What it shows of itself.
    pub shown: Arc<StatusCell>,
    /// Counts what happens to it.
    pub observer: Arc<dyn AgentObserver>,
    /// What becomes of its frames.
    pub recorder: Arc<Recorder>,
    /// The time on the wall.
    pub clock: Clock,
    /// What its branches, tags and waits are drawn from: from the system's generator in service.
    pub seed: [u8; 32],
}

/// Runs an agent until [`AgentCommand::Stop`] or [`AgentCommand::Leave`].
///
/// It is made before its future is, and boxed once: a future has room for its arguments and for
/// what is made of them, and a future that awaits another one has room for that one twice.
pub fn run(parts: AgentParts) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let mut agent = Agent::new(parts);
    Box::pin(async move {
        let mut phase = AgentPhase::Connecting;
        loop {
            phase = match phase {
                AgentPhase::Connecting => agent.connect().await,
                AgentPhase::Online(socket, server) => agent.online(socket, server).await,
                AgentPhase::Away(at_least) => agent.stay_away(at_least).await,
                AgentPhase::Parked => agent.park().await,
                AgentPhase::Ended => break,
            };
        }
        agent.shown.enter(AgentState::Stopped, agent.clock.now());
        agent.give_back();
        agent.tell(Report::Gone(agent.index));
    })
}

enum AgentPhase {
    Connecting,
    Online(Box<Socket>, usize),
    /// Backing off, for so long at least.
    Away(Duration),
    /// Drained: nothing to do before a command.
    Parked,
    Ended,
}

/// What the agent is to do, as the last command says. Only [`Mode::Leaving`] follows
/// [`Mode::Stopping`], and nothing follows that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Working,
    Draining,
    Stopping,
    /// As [`Mode::Stopping`], without waiting for what is in flight.
    Leaving,
}

struct Agent {
    index: AgentIndex,
    machine: UserAgent,
    list: Arc<[WeightedServer]>,
    servers: Servers,
    /// The one that was connected to last.
    last_server: Option<usize>,
    dialing: Arc<Dialing>,
    keepalive: Keepalive,
    recovery: ReconnectPolicy,
    pace: Arc<Pace>,
    commands: CommandReceiver,
    reports: UnboundedSender<Report>,
    arrivals: Arrivals,
    /// How it answers what comes in.
    receive: ReceiveSettings,
    ids: ContextV7,
    shown: Arc<StatusCell>,
    observer: Arc<dyn AgentObserver>,
    frames: AgentFrames,
    clock: Clock,
    /// For waits and the choice of a server, which no peer gains from guessing: a tenth of the size
    /// of the user agent's generator.
    rng: Xoshiro256PlusPlus,
    failures: u32,
    /// When the next try follows, as it is shown.
    retry_at: Option<Instant>,
    /// Whether the last report to the dispatcher was [`Report::Up`].
    is_up: bool,
    mode: Mode,
    isolation: Isolation,
}

/// A connection on its way.
type Opening = Pin<Box<dyn Future<Output = Result<Socket, DialError>> + Send>>;

impl Agent {
    fn new(parts: AgentParts) -> Self {
        let mut rng = StdRng::from_seed(parts.seed);
        let own = Xoshiro256PlusPlus::from_rng(&mut rng);
        let receive = parts.settings.receive.clone().unwrap_or_default();
        let machine = UserAgent::new(parts.settings, rng);
        let hidden = parts.dialing.headers.iter();
        let hidden = hidden.map(|(name, _)| name.as_str().into()).collect();
        let agent = &parts.shown.identity().id;
        let frames = AgentFrames::new(parts.recorder, agent, hidden, parts.clock.clone());
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
            arrivals: parts.arrivals,
            receive,
            ids: ContextV7::new(),
            shown: parts.shown,
            observer: parts.observer,
            frames,
            clock: parts.clock,
            rng: own,
            failures: 0,
            retry_at: None,
            is_up: false,
            mode: Mode::Working,
            isolation: Isolation::default(),
        }
    }

    /// Follows a command that says what the agent is to do; returns any other.
    fn obey(&mut self, command: AgentCommand) -> Option<AgentCommand> {
        self.mode = match (self.mode, command) {
            (_, AgentCommand::Leave)
            | (Mode::Leaving, AgentCommand::Drain | AgentCommand::Resume | AgentCommand::Stop) => {
                Mode::Leaving
            }
            (Mode::Stopping, AgentCommand::Drain | AgentCommand::Resume)
            | (_, AgentCommand::Stop) => Mode::Stopping,
            (Mode::Working | Mode::Draining, AgentCommand::Drain) => Mode::Draining,
            (Mode::Working | Mode::Draining, AgentCommand::Resume) => Mode::Working,
            (
                _,
                other @ (AgentCommand::Send(_)
                | AgentCommand::Answer(..)
                | AgentCommand::Reregister),
            ) => return Some(other),
        };
        None
    }

    /// Follows the end of the commands: no sender is left.
    fn stop(&mut self) {
        self.obey(AgentCommand::Stop);
    }

    /// The phase of an agent that is not to work.
    fn resting_phase(&self) -> Option<AgentPhase> {
        match self.mode {
            Mode::Working => None,
            Mode::Draining => Some(AgentPhase::Parked),
            Mode::Stopping | Mode::Leaving => Some(AgentPhase::Ended),
        }
    }

    /// Gives back the jobs that came after the end was begun. From here on [`AgentHandle::tell`]
    /// fails.
    ///
    /// [`AgentHandle::tell`]: super::handle::AgentHandle::tell
    fn give_back(&mut self) {
        self.commands.close();
        let mut back = Vec::new();
        while let Ok(command) = self.commands.try_recv() {
            if let AgentCommand::Send(jobs) = command {
                back.extend(jobs.into_iter().map(|job| (job.key, Outcome::NotWritten)));
            }
        }
        if !back.is_empty() {
            self.tell(Report::Ended(self.index, back));
        }
    }

    /// Reports to the dispatcher, which is gone only when the gateway is.
    fn tell(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}
