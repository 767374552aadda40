//! An agent with a connection: the loop that everything it does goes through.

use std::future::pending;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::mpsc::error::TryRecvError;

use super::line::{Departure, LEAVE_TIMEOUT, ServerLine};
use super::{Agent, AgentPhase, Mode, Opening};
use crate::agent::handle::{AgentCommand, Job};
use crate::agent::websocket;
use crate::agent::websocket::{DialError, Socket};
use crate::clock;
use crate::message::AgentState;
use crate::sip::Transport;

/// Commands taken before what they led to is written.
const COMMAND_BATCH: usize = 256;

/// Why a connection is not used any more.
enum Parting {
    /// It is lost, for this reason.
    Lost(String),
    /// There is no more to do on it.
    Done,
}

impl Agent {
    pub(super) async fn online(&mut self, socket: Box<Socket>, server: usize) -> AgentPhase {
        self.retry_at = None;
        self.shown.enter(AgentState::Registering, self.clock.now());
        let transport = self
            .list
            .get(server)
            .map_or(Transport::Ws, websocket::transport);
        if self.last_server.replace(server) != Some(server) {
            self.machine.handle_other_server();
        }
        self.frames.connected(websocket::endpoints(&socket).ok());
        let began = clock::now();
        self.machine.handle_connected(began, transport);
        let mut line = ServerLine::new(socket, server, self.keepalive);
        let parting = self.work(&mut line).await;
        self.machine.handle_disconnected();
        // Without a connection they end as not written.
        for job in self.isolation.clear() {
            self.machine.send(clock::now(), job.key, job.request);
        }
        self.pass_on(&mut line);
        self.set_up(false);
        line.close().await;
        if let Some(phase) = self.resting_phase() {
            return phase;
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
                AgentPhase::Away(Duration::ZERO)
            }
            Parting::Done => match line.better.take() {
                Some((at, socket)) => {
                    if let Some(server) = self.list.get(at) {
                        self.shown.connecting_to(&server.shown);
                    }
                    AgentPhase::Online(socket, at)
                }
                None => AgentPhase::Connecting,
            },
        }
    }

    /// Works on a connection until it is of no more use.
    async fn work(&mut self, line: &mut ServerLine) -> Parting {
        let mut commands = Vec::new();
        loop {
            self.send_isolated();
            self.pass_on(line);
            if let Err(reason) = line.flush().await {
                return Parting::Lost(reason);
            }
            if let Some(reason) = line.abandoned.take() {
                return Parting::Lost(reason);
            }
            self.show_state();
            if self.wants_to_leave(line) {
                self.leave(line);
                continue;
            }
            if line.is_left(self.machine.unanswered()) {
                return Parting::Done;
            }
            let wake = self.wake(line);
            tokio::select! {
                biased;
                frame = line.socket.next() => {
                    let take = |frame: &[u8]| {
                        let owner = self.machine.handle_frame(clock::now(), frame);
                        self.frames.received(owner, frame);
                    };
                    if let Err(reason) = line.read(frame, take) {
                        return Parting::Lost(reason);
                    }
                    // However much comes in, commands and timers have their turn too.
                    self.take_waiting(line);
                    self.handle_timeout(line);
                }
                count = self.commands.recv_many(&mut commands, COMMAND_BATCH) => {
                    if count == 0 {
                        self.stop();
                    }
                    for command in commands.drain(..) {
                        self.take_online(line, command);
                    }
                }
                (at, opened) = opened(&mut line.upward) => self.take_opened(line, at, opened),
                () = sleep_until(wake) => {
                    if line.is_dead() {
                        return Parting::Lost("the server does not answer keep-alives".to_owned());
                    }
                    self.handle_timeout(line);
                }
            }
        }
    }

    /// When the next thing is due, if nothing happens before.
    fn wake(&self, line: &ServerLine) -> Option<Instant> {
        let upward = line
            .looks_upward()
            .then(|| self.servers.better_at(line.server));
        let deadlines = line.deadlines().into_iter();
        let others = [self.machine.deadline(), upward.flatten()];
        deadlines.chain(others).flatten().min()
    }

    /// Runs the timers that are due.
    fn handle_timeout(&mut self, line: &mut ServerLine) {
        let now = clock::now();
        if self.machine.deadline().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
        line.probe(now);
        // The work goes on meanwhile: an agent that left first and found the heavier server still
        // away would be away too.
        if line.looks_upward()
            && let Some(at) = self.servers.better_than(line.server, now)
            && let Some(server) = self.list.get(at)
        {
            line.upward = Some((at, self.open(server.clone())));
        }
    }

    fn take_opened(&mut self, line: &mut ServerLine, at: usize, opened: Result<Socket, DialError>) {
        line.upward = None;
        match opened {
            Ok(socket) => {
                line.better = Some((at, Box::new(socket)));
                self.set_up(false);
            }
            Err(error) => {
                self.servers
                    .failed(at, clock::now() + self.recovery.cooldown);
                tracing::debug!(agent.id = %self.shown.status().id, %error, "failed to return to a heavier server");
            }
        }
    }

    /// Whether the registrar is to be left now: the agent is to end, to pause, or to move to a
    /// heavier server, and nothing is in flight or it is not waited for.
    fn wants_to_leave(&self, line: &ServerLine) -> bool {
        let is_idle = || self.machine.in_flight() == 0 && self.isolation.is_empty();
        line.departure == Departure::None
            && !self.takes_jobs(line)
            && (self.mode == Mode::Leaving || is_idle())
    }

    fn leave(&mut self, line: &mut ServerLine) {
        self.set_up(false);
        self.machine.unregister(clock::now());
        line.departure = Departure::Unregistering(clock::now() + LEAVE_TIMEOUT);
    }

    /// Takes the commands that are there already.
    fn take_waiting(&mut self, line: &ServerLine) {
        for _ in 0..COMMAND_BATCH {
            match self.commands.try_recv() {
                Ok(command) => self.take_online(line, command),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.stop();
                    return;
                }
            }
        }
    }

    /// Sends jobs that waited to be alone, or for one that was.
    fn send_isolated(&mut self) {
        while self.mode != Mode::Leaving
            && self.isolation.is_closed()
            && let Some(job) = self.isolation.pop(self.machine.in_flight())
        {
            self.send(job);
        }
    }

    fn send(&mut self, job: Job) {
        self.frames.begin(job.key, job.message);
        self.machine.send(clock::now(), job.key, job.request);
    }

    /// A command while there is a connection.
    fn take_online(&mut self, line: &ServerLine, command: AgentCommand) {
        let now = clock::now();
        match self.obey(command) {
            Some(AgentCommand::Send(jobs)) => {
                self.shown
                    .began(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
                for job in jobs {
                    if self.isolation.is_open(&job) {
                        self.send(job);
                    } else {
                        self.isolation.push(job);
                    }
                }
            }
            Some(AgentCommand::Answer(id, answer)) => self.answer(id, answer),
            Some(AgentCommand::Reregister) => self.machine.reregister(now),
            Some(
                AgentCommand::Drain
                | AgentCommand::Resume
                | AgentCommand::Stop
                | AgentCommand::Leave,
            )
            | None => {
                self.set_up(self.machine.is_registered() && self.takes_jobs(line));
            }
        }
    }
}

/// Resolves when the pending connection is up; never if none is pending.
async fn opened(way: &mut Option<(usize, Opening)>) -> (usize, Result<Socket, DialError>) {
    match way {
        Some((at, opening)) => (*at, opening.await),
        None => pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}
