//! An agent without a connection: on its way to one, staying away from one, or drained.

use std::time::Duration;

use rand::RngExt as _;

use super::{Agent, AgentPhase, Mode, Opening};
use crate::agent::handle::{AgentCommand, Report};
use crate::agent::websocket;
use crate::agent::websocket::WeightedServer;
use crate::clock;
use crate::message::{AgentState, Outcome};

impl Agent {
    pub(super) async fn connect(&mut self) -> AgentPhase {
        self.shown.enter(AgentState::Connecting, self.clock.now());
        let chance = self.rng.random();
        let at = self.servers.choose(clock::now(), chance);
        let Some(server) = self.list.get(at).cloned() else {
            return AgentPhase::Ended;
        };
        self.shown.connecting_to(&server.shown);
        let mut dialing = self.open(server);
        loop {
            tokio::select! {
                result = &mut dialing => return match result {
                    Ok(socket) => AgentPhase::Online(Box::new(socket), at),
                    Err(error) => {
                        let now = clock::now();
                        self.servers.failed(at, now + self.recovery.cooldown);
                        self.fail(&error.to_string());
                        // Another server has not asked to be left alone.
                        let asked = error.retry_after();
                        let asked = asked.filter(|_| !self.servers.has_another(Some(at), now));
                        AgentPhase::Away(asked.unwrap_or_default())
                    }
                },
                command = self.commands.recv() => self.take_offline(command),
            }
            if let Some(phase) = self.resting_phase() {
                return phase;
            }
        }
    }

    /// Opens a connection when it is this agent's turn.
    pub(super) fn open(&self, server: WeightedServer) -> Opening {
        let (pace, dialing) = (self.pace.clone(), self.dialing.clone());
        Box::pin(async move {
            pace.wait().await;
            websocket::dial(&server, &dialing).await
        })
    }

    /// Stays away for a while, and for as long as this at least.
    pub(super) async fn stay_away(&mut self, at_least: Duration) -> AgentPhase {
        self.failures = self.failures.saturating_add(1);
        self.observer.reconnecting();
        let wait = self.recovery.wait(self.failures, self.rng.random());
        let wait = wait.max(at_least);
        let until = clock::now() + wait;
        self.show_backoff(until);
        let until = tokio::time::Instant::from(until);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return AgentPhase::Connecting,
                command = self.commands.recv() => {
                    let hurry = matches!(command, Some(AgentCommand::Reregister));
                    self.take_offline(command);
                    if hurry {
                        return AgentPhase::Connecting;
                    }
                }
            }
            if let Some(phase) = self.resting_phase() {
                return phase;
            }
        }
    }

    pub(super) async fn park(&mut self) -> AgentPhase {
        self.shown.enter(AgentState::Stopped, self.clock.now());
        while self.mode == Mode::Draining {
            let command = self.commands.recv().await;
            self.take_offline(command);
        }
        self.resting_phase().unwrap_or(AgentPhase::Connecting)
    }

    /// A command while there is no connection.
    fn take_offline(&mut self, command: Option<AgentCommand>) {
        // All senders are gone when the gateway stops.
        let command = command.unwrap_or(AgentCommand::Stop);
        match self.obey(command) {
            Some(AgentCommand::Send(jobs)) => {
                let back = jobs.into_iter().map(|job| (job.key, Outcome::NotWritten));
                self.tell(Report::Ended(self.index, back.collect()));
            }
            // Its connection is gone, and the peer cannot be answered.
            Some(AgentCommand::Answer(id, answer)) => {
                self.frames.answered(id.request(), answer, false);
                if let Some(traced) = self.frames.take_traced() {
                    self.tell(Report::Frames(traced));
                }
            }
            Some(
                AgentCommand::Drain
                | AgentCommand::Resume
                | AgentCommand::Reregister
                | AgentCommand::Stop
                | AgentCommand::Leave,
            )
            | None => {}
        }
    }
}
