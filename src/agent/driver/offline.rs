//! An agent without a connection: on its way to one, staying away from one, or drained.

use rand::RngExt as _;

use super::Agent;
use super::Phase;
use crate::agent::handle::Command;
use crate::agent::handle::Report;
use crate::agent::websocket;
use crate::clock;
use crate::message::AgentState;
use crate::message::Outcome;

impl Agent {
    pub(super) async fn connect(&mut self) -> Phase {
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

    pub(super) async fn stay_away(&mut self) -> Phase {
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

    pub(super) async fn park(&mut self) -> Phase {
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
}
