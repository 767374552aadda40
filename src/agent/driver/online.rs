//! An agent with a connection: the loop that everything it does goes through.

use std::future::pending;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::reading::Turn;
use super::{Agent, Opening, Phase};
use crate::agent::handle::Command;
use crate::agent::websocket;
use crate::agent::websocket::{DialError, Socket};
use crate::clock;
use crate::message::AgentState;
use crate::sip::Transport;

/// How long the registrar may take to let an agent go, and a server to take a farewell.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Commands taken before what they led to is written.
const COMMAND_BATCH: usize = 256;

/// A connection at work.
struct Line {
    socket: Box<Socket>,
    /// Which server it goes to.
    server: usize,
    /// What is to be written.
    frames: Vec<Message>,
    /// When something came in last.
    heard: Instant,
    /// Whether the server was asked for a sign of life since.
    probed: bool,
    /// When leaving the registrar is over at the latest; `None` while it is not left.
    leave_by: Option<Instant>,
    /// On its way to a heavier server that may be back.
    upward: Option<(usize, Opening)>,
    /// The connection to it.
    better: Option<(usize, Box<Socket>)>,
}

/// Why a connection is not used any more.
enum Parting {
    /// It is lost, for this reason.
    Lost(String),
    /// There is no more to do on it.
    Done,
}

impl Agent {
    pub(super) async fn online(&mut self, socket: Box<Socket>, server: usize) -> Phase {
        self.retry_at = None;
        self.shown.enter(AgentState::Registering, self.clock.now());
        self.left = false;
        self.forsaken = None;
        self.moving = false;
        let transport = self
            .list
            .get(server)
            .map_or(Transport::Ws, websocket::transport);
        if self.last_server.replace(server) != Some(server) {
            self.machine.handle_other_server();
        }
        let began = clock::now();
        self.machine.handle_connected(began, transport);
        let mut line = Line::new(socket, server, began);
        let parting = self.work(&mut line).await;
        self.machine.handle_disconnected();
        // Without a connection they are told not to have been written.
        for job in self.turnstile.clear() {
            self.machine.send(clock::now(), job.key, job.request);
        }
        self.pass_on(&mut Vec::new());
        self.set_up(false);
        // Also answers the farewell of the server (RFC 6455 §5.5.1).
        let _ = timeout(LEAVE_TIMEOUT, websocket::close(&mut line.socket)).await;
        if self.stop {
            return Phase::Ended;
        }
        if self.drain {
            return Phase::Parked;
        }
        match parting {
            Parting::Lost(reason) => {
                // Connections that are accepted and do not hold must not become a storm.
                if began + self.recovery.wait(self.failures, 1.0) <= clock::now() {
                    self.failures = 0;
                }
                self.servers
                    .failed(server, clock::now() + self.recovery.cooldown);
                self.fail(&reason);
                Phase::Away(Duration::ZERO)
            }
            Parting::Done => match line.better.take() {
                Some((at, socket)) => {
                    if let Some(server) = self.list.get(at) {
                        self.shown.connecting_to(&server.shown);
                    }
                    Phase::Online(socket, at)
                }
                None => Phase::Connecting,
            },
        }
    }

    /// Works on a connection until it is of no more use.
    async fn work(&mut self, line: &mut Line) -> Parting {
        let mut commands = Vec::new();
        loop {
            self.let_through();
            self.pass_on(&mut line.frames);
            if let Err(reason) = line.flush(self.keepalive.timeout).await {
                return Parting::Lost(reason);
            }
            if let Some(reason) = self.forsaken.take() {
                return Parting::Lost(reason);
            }
            self.show_state();
            if self.leaves(line) {
                continue;
            }
            if line.leave_by.is_some() && self.left || is_due(line.leave_by) {
                return Parting::Done;
            }
            let wake = self.wake(line);
            tokio::select! {
                biased;
                frame = line.socket.next() => {
                    line.handle_heard();
                    if let Turn::Lost(reason) = self.read(&mut line.socket, frame) {
                        return Parting::Lost(reason);
                    }
                    // However much comes in, what goes out and what is due have their turn too.
                    self.take_waiting();
                    self.pass_time(line);
                }
                count = self.commands.recv_many(&mut commands, COMMAND_BATCH) => {
                    self.stop |= count == 0;
                    for command in commands.drain(..) {
                        self.take_online(command);
                    }
                }
                (at, opened) = opened(&mut line.upward) => self.take_opened(line, at, opened),
                () = sleep_until(wake) => {
                    if self.keepalive.is_over(line.heard, line.probed) {
                        return Parting::Lost("the server does not answer keep-alives".to_owned());
                    }
                    self.pass_time(line);
                }
            }
        }
    }

    /// When the next thing is due, if nothing happens before.
    fn wake(&self, line: &Line) -> Option<Instant> {
        let upward = match line.looks_upward() {
            true => self.servers.better_at(line.server),
            false => None,
        };
        let probe_at = self.keepalive.probe_at(line.heard, line.probed);
        let times = [self.machine.deadline(), probe_at, line.leave_by, upward];
        times.into_iter().flatten().min()
    }

    /// Does what is due by now.
    fn pass_time(&mut self, line: &mut Line) {
        let now = clock::now();
        if self.machine.deadline().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
        if !line.probed && is_due(self.keepalive.probe_at(line.heard, false)) {
            line.probed = true;
            line.frames.push(self.keepalive.frame());
        }
        if line.looks_upward() {
            self.look_upward(line, now);
        }
    }

    /// Connects to a heavier server whose time has come. The work goes on meanwhile: whoever left
    /// first and found it still away would be away too.
    fn look_upward(&self, line: &mut Line, now: Instant) {
        let better = self.servers.better_than(line.server, now);
        if let Some((at, server)) = better.and_then(|at| Some((at, self.list.get(at)?))) {
            line.upward = Some((at, self.open(server.clone())));
        }
    }

    fn take_opened(&mut self, line: &mut Line, at: usize, opened: Result<Socket, DialError>) {
        line.upward = None;
        match opened {
            Ok(socket) => {
                line.better = Some((at, Box::new(socket)));
                self.moving = true;
                self.set_up(false);
            }
            Err(error) => {
                self.servers
                    .failed(at, clock::now() + self.recovery.cooldown);
                tracing::debug!(agent.id = %self.shown.status().id, %error, "not back yet");
            }
        }
    }

    /// Begins to leave the registrar, once nothing is in flight: true when it begins.
    fn leaves(&mut self, line: &mut Line) -> bool {
        let wants = self.stop || self.drain || self.moving;
        if !wants
            || line.leave_by.is_some()
            || self.machine.in_flight() > 0
            || !self.turnstile.is_empty()
        {
            return false;
        }
        self.set_up(false);
        self.machine.unregister(clock::now());
        line.leave_by = Some(clock::now() + LEAVE_TIMEOUT);
        true
    }

    /// Takes the commands that are there already.
    fn take_waiting(&mut self) {
        for _ in 0..COMMAND_BATCH {
            match self.commands.try_recv() {
                Ok(command) => self.take_online(command),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.stop = true;
                    return;
                }
            }
        }
    }

    /// Sends what has waited to be alone, or for what was.
    fn let_through(&mut self) {
        while self.turnstile.is_closed()
            && let Some(job) = self.turnstile.pop(self.machine.in_flight())
        {
            self.machine.send(clock::now(), job.key, job.request);
        }
    }

    /// A command while there is a connection.
    fn take_online(&mut self, command: Command) {
        let now = clock::now();
        match command {
            Command::Send(jobs) => {
                self.shown
                    .began(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
                for job in jobs {
                    if self.turnstile.is_open(&job) {
                        self.machine.send(now, job.key, job.request);
                    } else {
                        self.turnstile.push(job);
                    }
                }
            }
            Command::Drain => {
                self.drain = true;
                self.set_up(false);
            }
            Command::Resume => {
                self.drain = false;
                self.set_up(self.machine.is_registered() && self.takes_jobs());
            }
            Command::Reregister => self.machine.reregister(now),
            Command::Stop => {
                self.stop = true;
                self.set_up(false);
            }
        }
    }
}

impl Line {
    fn new(socket: Box<Socket>, server: usize, now: Instant) -> Self {
        Self {
            socket,
            server,
            frames: Vec::new(),
            heard: now,
            probed: false,
            leave_by: None,
            upward: None,
            better: None,
        }
    }

    /// Whether a heavier server would be of interest.
    fn looks_upward(&self) -> bool {
        self.upward.is_none() && self.better.is_none() && self.leave_by.is_none()
    }

    fn handle_heard(&mut self) {
        self.heard = clock::now();
        self.probed = false;
    }

    /// Writes what is to be written, as long as the server reads.
    async fn flush(&mut self, patience: Duration) -> Result<(), String> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let writing = websocket::write(&mut self.socket, std::mem::take(&mut self.frames));
        match timeout(patience, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the server reads nothing".to_owned()),
        }
    }
}

/// Waits for a connection on its way to be there; for ever when there is none.
async fn opened(way: &mut Option<(usize, Opening)>) -> (usize, Result<Socket, DialError>) {
    match way {
        Some((at, opening)) => (*at, opening.await),
        None => pending().await,
    }
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= clock::now())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}
