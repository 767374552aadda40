//! An agent with a connection: the loop that everything it does goes through.

use std::future::pending;
use std::time::Duration;
use std::time::Instant;

use futures_util::StreamExt as _;

use tokio_tungstenite::tungstenite::Message;

use super::Agent;
use super::Phase;
use super::reading::Turn;
use crate::agent::handle::Command;
use crate::agent::websocket;
use crate::agent::websocket::Socket;
use crate::clock;
use crate::message::AgentState;
use crate::sip::Transport;

/// How long a write may stand still before the connection counts as dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the registrar may take to let an agent go.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Commands taken before what they led to is written.
const COMMAND_BATCH: usize = 256;

impl Agent {
    pub(super) async fn online(&mut self, mut socket: Box<Socket>, server: usize) -> Phase {
        self.shown.enter(AgentState::Registering, self.clock.now());
        self.left = false;
        let transport = self
            .list
            .get(server)
            .map_or(Transport::Ws, websocket::transport);
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
            if let Turn::Lost(reason) = write(socket, std::mem::take(&mut frames)).await {
                return Some(reason);
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
            let probe_at = self.keepalive.probe_at(heard, probed);
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
                count = self.commands.recv_many(&mut commands, COMMAND_BATCH) => {
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
                        frames.push(self.keepalive.frame());
                    }
                }
            }
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
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

async fn write(socket: &mut Socket, frames: Vec<Message>) -> Turn {
    if frames.is_empty() {
        return Turn::Go;
    }
    let writing = websocket::write(socket, frames);
    match tokio::time::timeout(WRITE_TIMEOUT, writing).await {
        Ok(Ok(())) => Turn::Go,
        Ok(Err(error)) => Turn::Lost(error.to_string()),
        Err(_) => Turn::Lost("the server reads nothing".to_owned()),
    }
}
