//! The loop in which a socket, a clock and a user agent meet.
//!
//! ```text
//! Connecting ─► Online (registering, registered, draining) ─► Away (backing off) ─► Connecting
//!                                  └─► Parked (drained) ◄─ resume ─► Connecting
//! ```
//!
//! In every phase commands are taken: a job that meets no connection is given back at once.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio_tungstenite::tungstenite::Message;

use super::handle::AgentIndex;
use super::handle::Command;
use super::handle::Report;
use super::pace::Pace;
use super::reconnect::Recovery;
use super::reconnect::Servers;
use super::status::Shown;
use super::translate;
use super::websocket;
use super::websocket::Dialing;
use super::websocket::Server;
use super::websocket::Socket;
use crate::clock;
use crate::clock::Clock;
use crate::message::AgentState;
use crate::message::Outcome;
use crate::sip::Event;
use crate::sip::Output;
use crate::sip::Response;
use crate::sip::Settings;
use crate::sip::UserAgent;

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
    /// The time on the wall.
    pub clock: Clock,
    /// What its branches, tags and waits are drawn from: from the system's generator in service.
    pub seed: [u8; 32],
}

/// How a connection is kept alive, and how its death is noticed.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// What is sent.
    pub probe: Probe,
    /// After so long without a frame from the server.
    pub interval: Duration,
    /// How long the server may take to send anything after that.
    pub timeout: Duration,
}

/// What asks a server whether it is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probe {
    /// A WebSocket ping (RFC 6455 §5.5.2).
    Ping,
    /// Two line ends (RFC 5626 §3.5.1), for servers that want them.
    Crlf,
    /// Nothing.
    None,
}

/// How long a write may stand still before the connection counts as dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the registrar may take to let an agent go.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Frames read before what they led to is written.
const READ_BATCH: usize = 256;

/// Runs an agent until it is told to stop.
pub async fn run(parts: Parts) {
    let mut agent = Agent::new(parts);
    let mut phase = Phase::Connecting;
    loop {
        phase = match phase {
            Phase::Connecting => agent.connect().await,
            Phase::Online(socket, server) => agent.online(socket, server).await,
            Phase::Away => agent.stay_away().await,
            Phase::Parked => agent.park().await,
            Phase::Ended => break,
        };
    }
    agent.shown.enter(AgentState::Stopped, agent.clock.now());
    agent.tell(Report::Gone(agent.index));
}

enum Phase {
    Connecting,
    Online(Box<Socket>, usize),
    Away,
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
    clock: Clock,
    rng: StdRng,
    failures: u32,
    /// Whether the dispatcher was told that this agent takes jobs.
    is_up: bool,
    drain: bool,
    stop: bool,
    /// Whether leaving the registrar is over.
    left: bool,
}

/// What to do with the connection after some input.
enum Turn {
    Go,
    /// The connection is of no more use, for this reason.
    Lost(String),
}

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
            clock: parts.clock,
            rng,
            failures: 0,
            is_up: false,
            drain: false,
            stop: false,
            left: false,
        }
    }

    /// The dispatcher is gone only when the gateway is; nobody is left to tell then.
    fn tell(&self, report: Report) {
        let _ = self.reports.send(report);
    }

    async fn connect(&mut self) -> Phase {
        self.shown.enter(AgentState::Connecting, self.clock.now());
        let chance = self.rng.random();
        let at = self.servers.choose(clock::now(), chance);
        let Some(server) = self.list.get(at).cloned() else {
            return Phase::Ended;
        };
        self.shown.connecting_to(server.url.as_str());
        let (pace, dialing) = (self.pace.clone(), self.dialing.clone());
        let mut dialing = Box::pin(async move {
            pace.wait().await;
            websocket::dial(&server, &dialing).await
        });
        loop {
            tokio::select! {
                result = &mut dialing => return match result {
                    Ok(socket) => Phase::Online(Box::new(socket), at),
                    Err(error) => {
                        self.servers.failed(at, clock::now() + self.recovery.cooldown);
                        self.fail(&error.to_string());
                        Phase::Away
                    }
                },
                command = self.commands.recv() => self.take_offline(command),
            }
            if self.stop {
                return Phase::Ended;
            }
            if self.drain {
                return Phase::Parked;
            }
        }
    }

    async fn stay_away(&mut self) -> Phase {
        self.failures = self.failures.saturating_add(1);
        self.shown.enter(AgentState::Backoff, self.clock.now());
        self.shown.reconnected();
        let wait = self.recovery.wait(self.failures, self.rng.random());
        let until = tokio::time::Instant::now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Phase::Connecting,
                command = self.commands.recv() => {
                    let hurry = matches!(command, Some(Command::Reregister));
                    self.take_offline(command);
                    if hurry {
                        return Phase::Connecting;
                    }
                }
            }
            if self.stop {
                return Phase::Ended;
            }
            if self.drain {
                return Phase::Parked;
            }
        }
    }

    async fn park(&mut self) -> Phase {
        self.shown.enter(AgentState::Stopped, self.clock.now());
        while self.drain && !self.stop {
            let command = self.commands.recv().await;
            self.take_offline(command);
        }
        if self.stop {
            Phase::Ended
        } else {
            Phase::Connecting
        }
    }

    /// A command while there is no connection.
    fn take_offline(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Send(jobs)) => {
                let back = jobs
                    .into_iter()
                    .map(|job| (job.key, Outcome::NotWritten))
                    .collect();
                self.tell(Report::Ended(self.index, back));
            }
            Some(Command::Drain) => self.drain = true,
            Some(Command::Resume) => self.drain = false,
            Some(Command::Reregister) => {}
            Some(Command::Stop) | None => self.stop = true,
        }
    }

    async fn online(&mut self, mut socket: Box<Socket>, server: usize) -> Phase {
        self.shown.enter(AgentState::Registering, self.clock.now());
        self.left = false;
        let transport = self
            .list
            .get(server)
            .map_or(crate::sip::Transport::Ws, websocket::transport);
        if self.last_server.replace(server) != Some(server) {
            self.machine.handle_other_server();
        }
        self.machine.handle_connected(clock::now(), transport);
        let lost = self.work(&mut socket, server).await;
        self.machine.handle_disconnected();
        self.pass_on(&mut Vec::new());
        self.set_up(false);
        if self.stop {
            let _ = tokio::time::timeout(LEAVE_TIMEOUT, socket.close(None)).await;
            return Phase::Ended;
        }
        if self.drain {
            let _ = tokio::time::timeout(LEAVE_TIMEOUT, socket.close(None)).await;
            return Phase::Parked;
        }
        match lost {
            Some(reason) => {
                self.servers
                    .failed(server, clock::now() + self.recovery.cooldown);
                self.fail(&reason);
                Phase::Away
            }
            // A heavier server may be back.
            None => Phase::Connecting,
        }
    }

    /// Works on a connection until it is lost (the reason), or until there is a reason to leave it
    /// (`None`).
    async fn work(&mut self, socket: &mut Socket, server: usize) -> Option<String> {
        let mut frames = Vec::new();
        let mut commands = Vec::new();
        let mut heard = clock::now();
        let mut probed = false;
        let mut leave_by: Option<Instant> = None;
        loop {
            self.pass_on(&mut frames);
            if !frames.is_empty() {
                let writing = websocket::write(socket, std::mem::take(&mut frames));
                match tokio::time::timeout(WRITE_TIMEOUT, writing).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(error.to_string()),
                    Err(_) => return Some("the server reads nothing".to_owned()),
                }
            }
            self.show_state();
            let leaving = (self.stop || self.drain) && self.machine.in_flight() == 0;
            let better = self
                .servers
                .better_at(server)
                .filter(|_| self.machine.in_flight() == 0);
            let move_now = better.is_some_and(|at| at <= clock::now());
            if (leaving || move_now) && leave_by.is_none() {
                self.set_up(false);
                self.machine.unregister(clock::now());
                leave_by = Some(clock::now() + LEAVE_TIMEOUT);
                continue;
            }
            if self.left || leave_by.is_some_and(|by| by <= clock::now()) {
                return None;
            }
            let probe_at = self.probe_at(heard, probed);
            let wake = [self.machine.deadline(), probe_at, leave_by, better];
            let wake = wake.into_iter().flatten().min();
            tokio::select! {
                biased;
                frame = socket.next() => {
                    heard = clock::now();
                    probed = false;
                    if let Turn::Lost(reason) = self.read(socket, frame) {
                        return Some(reason);
                    }
                }
                count = self.commands.recv_many(&mut commands, READ_BATCH) => {
                    self.stop |= count == 0;
                    for command in commands.drain(..) {
                        self.take_online(command);
                    }
                }
                () = sleep_until(wake) => {
                    let now = clock::now();
                    self.machine.handle_timeout(now);
                    if probe_at.is_some_and(|at| at <= now) {
                        if probed {
                            return Some("the server does not answer keep-alives".to_owned());
                        }
                        probed = true;
                        frames.push(self.probe());
                    }
                }
            }
        }
    }

    /// When the connection is probed, or, once it was, counts as dead.
    fn probe_at(&self, heard: Instant, probed: bool) -> Option<Instant> {
        let at = heard + self.keepalive.interval;
        match (self.keepalive.probe, probed) {
            (Probe::None, _) => None,
            (_, false) => Some(at),
            (_, true) => Some(at + self.keepalive.timeout),
        }
    }

    fn probe(&self) -> Message {
        match self.keepalive.probe {
            Probe::Crlf => Message::Text("\r\n\r\n".into()),
            Probe::Ping | Probe::None => Message::Ping(bytes::Bytes::new()),
        }
    }

    /// Takes a frame and whatever else is there already.
    fn read<E: std::fmt::Display>(
        &mut self,
        socket: &mut (impl futures_util::Stream<Item = Result<Message, E>> + Unpin),
        first: Option<Result<Message, E>>,
    ) -> Turn {
        let mut next = Some(first);
        for _ in 0..READ_BATCH {
            match next.take() {
                Some(Some(Ok(message))) => {
                    if let Turn::Lost(reason) = self.take_frame(message) {
                        return Turn::Lost(reason);
                    }
                }
                Some(Some(Err(error))) => return Turn::Lost(error.to_string()),
                Some(None) => return Turn::Lost("the connection was closed".to_owned()),
                None => return Turn::Go,
            }
            next = socket.next().now_or_never();
        }
        // What was read beyond the batch is not lost: it is taken now.
        match next {
            Some(Some(Ok(message))) => self.take_frame(message),
            Some(Some(Err(error))) => Turn::Lost(error.to_string()),
            Some(None) => Turn::Lost("the connection was closed".to_owned()),
            None => Turn::Go,
        }
    }

    fn take_frame(&mut self, message: Message) -> Turn {
        let now = clock::now();
        match message {
            Message::Text(text) => self.machine.handle_frame(now, text.as_bytes()),
            Message::Binary(bytes) => self.machine.handle_frame(now, &bytes),
            // The library answers pings by itself.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(Some(close)) => {
                let code = u16::from(close.code);
                return Turn::Lost(format!("the server closed: {code} {}", close.reason));
            }
            Message::Close(None) => return Turn::Lost("the server closed".to_owned()),
        }
        Turn::Go
    }

    /// A command while there is a connection.
    fn take_online(&mut self, command: Command) {
        let now = clock::now();
        match command {
            Command::Send(jobs) => {
                self.shown
                    .began(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
                for job in jobs {
                    self.machine.send(now, job.key, job.request);
                }
            }
            Command::Drain => {
                self.drain = true;
                self.set_up(false);
            }
            Command::Resume => {
                self.drain = false;
                self.set_up(self.machine.is_registered());
            }
            Command::Reregister => self.machine.reregister(now),
            Command::Stop => {
                self.stop = true;
                self.set_up(false);
            }
        }
    }

    /// Takes everything the machine says: frames to write, and news for the dispatcher.
    fn pass_on(&mut self, frames: &mut Vec<Message>) {
        let mut ended = Vec::new();
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Transmit(bytes) => frames.push(websocket::frame(bytes)),
                Output::Event(Event::Ended { key, outcome }) => {
                    let outcome = translate::outcome(outcome);
                    self.shown.ended(is_success(&outcome));
                    ended.push((key, outcome));
                }
                Output::Event(event) => self.take_event(event),
            }
        }
        if !ended.is_empty() {
            self.tell(Report::Ended(self.index, ended));
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Registered { until } => {
                self.failures = 0;
                let left = until.saturating_duration_since(clock::now());
                self.shown.registered_until(self.clock.now().plus(left));
                if !self.is_up {
                    tracing::info!(agent.id = %self.shown.status().id, "registered");
                }
                self.set_up(!self.drain && !self.stop);
            }
            Event::Unregistered => self.set_up(false),
            Event::RegistrationFailed { response, retry_at } => {
                let wait = retry_at.saturating_duration_since(clock::now());
                self.fail(&registration_failure(response.as_ref(), wait));
            }
            Event::Left => self.left = true,
            // Ended is taken before; Received is not told while the settings take no messages.
            Event::Ended { .. } | Event::Received(_) => {}
        }
    }

    /// Tells the dispatcher whether this agent takes jobs, when that changed.
    fn set_up(&mut self, up: bool) {
        if self.is_up != up {
            self.is_up = up;
            self.tell(if up {
                Report::Up(self.index)
            } else {
                Report::Down(self.index)
            });
        }
    }

    fn show_state(&self) {
        let state = match (self.drain || self.stop, self.machine.is_registered()) {
            (true, _) => AgentState::Draining,
            (false, true) => AgentState::Registered,
            (false, false) => AgentState::Registering,
        };
        if self.shown.state() != state {
            self.shown.enter(state, self.clock.now());
        }
    }

    /// Tells the operator once for each cause, not once for each retry.
    fn fail(&self, error: &str) {
        let status = self.shown.status();
        if status.last_error.as_deref() == Some(error) {
            tracing::debug!(agent.id = %status.id, error, "still failing");
        } else {
            tracing::warn!(agent.id = %status.id, server = %status.server, error, "trying again");
        }
        self.shown.failed_with(error);
    }
}

fn registration_failure(response: Option<&Response>, wait: Duration) -> String {
    let seconds = wait.as_secs_f64();
    match response {
        Some(response) if response.status.is_success() => {
            format!("the registrar accepted and listed no binding of ours; again in {seconds:.0} s")
        }
        Some(response) => {
            let code = response.status.as_u16();
            format!("the registrar said {code} {}", response.reason)
        }
        None => "the registrar does not answer".to_owned(),
    }
}

fn is_success(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answered(answer) => (200..300).contains(&answer.response.status_code),
        Outcome::NotWritten | Outcome::Unknown(_) => false,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}
