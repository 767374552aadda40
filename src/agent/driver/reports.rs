//! What an agent reports: outcomes to the dispatcher, its state to the API, trouble to the log.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::line::ServerLine;
use super::{Agent, Mode};
use crate::agent::handle::Report;
use crate::agent::{translate, websocket};
use crate::clock;
use crate::message::{AgentState, Outcome, without_os_error};
use crate::sip::{Event, Output, Response, StatusCode};

impl Agent {
    /// Takes the machine's output: frames to write, and outcomes for the dispatcher.
    pub(super) fn pass_on(&mut self, line: &mut ServerLine) {
        let mut ended = Vec::new();
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Transmit(bytes, owner) => {
                    let bytes = Bytes::from(bytes);
                    self.frames.sent(owner, &bytes);
                    line.frames.push(websocket::frame(bytes));
                }
                Output::Event(Event::Ended { key, outcome }) => {
                    let outcome = translate::outcome(outcome);
                    if outcome == Outcome::TooLarge {
                        let id = &self.shown.status().id;
                        tracing::warn!(agent.id = %id, "did not send a message: with the routes of this server it exceeds max_message");
                    }
                    self.shown.ended(is_success(&outcome));
                    self.frames.ended(key, is_success(&outcome));
                    ended.push((key, outcome));
                }
                Output::Event(event) => self.take_event(line, event),
            }
        }
        if let Some(traced) = self.frames.take_traced() {
            self.tell(Report::Frames(traced));
        }
        if !ended.is_empty() {
            self.tell(Report::Ended(self.index, ended));
        }
    }

    fn take_event(&mut self, line: &mut ServerLine, event: Event) {
        match event {
            Event::Registered { until } => {
                let left = until.saturating_duration_since(clock::now());
                let now = self.clock.now();
                self.shown.registered_until(now.plus(left), now);
                if !self.is_up {
                    let status = self.shown.status();
                    tracing::info!(agent.id = %status.id, server = %status.server, "registered");
                }
                self.set_up(self.takes_jobs(line));
            }
            Event::Unregistered => self.set_up(false),
            Event::RegistrationFailed {
                response,
                refusal,
                was_signed,
                retry_at,
            } => {
                let wait = retry_at.saturating_duration_since(clock::now());
                let mut error = registration_failure(response.as_ref(), wait);
                if let Some(refusal) = refusal {
                    error = format!("{error}: {refusal}");
                } else if was_signed && is_forbidden(response.as_ref()) {
                    error.push_str(": the credentials were shown and refused");
                }
                if self.should_abandon(response.as_ref()) {
                    line.abandoned = Some(error);
                } else {
                    self.fail(&error);
                }
            }
            Event::ChallengeRefused(refusal) => {
                let error = format!("a message was not sent: {refusal}");
                let status = self.shown.status();
                if status.last_error.as_deref() != Some(&error) {
                    tracing::warn!(agent.id = %status.id, error, "challenge refused");
                }
                self.shown.failed_with(error);
            }
            Event::Left => {
                line.departure.unregistered();
                tracing::info!(agent.id = %self.shown.status().id, "unregistered");
            }
            Event::Received(request) => self.take_request(*request),
            Event::NotTaken(reason) => self.count_not_taken(reason),
            // Taken before.
            Event::Ended { .. } => {}
        }
    }

    /// Whether a registration that failed so should be tried over another connection. A registrar
    /// that does not answer may be reached by a new one (RFC 5626 §4.5); where one answers that it
    /// cannot, another server may know one that can (RFC 3263 §4.3).
    fn should_abandon(&self, response: Option<&Response>) -> bool {
        if self.machine.is_registered() || self.machine.in_flight() > 0 {
            return false;
        }
        match response {
            None => true,
            Some(response) => {
                let cannot = response.status.as_u16() >= 500;
                cannot && self.servers.has_another(self.last_server, clock::now())
            }
        }
    }

    /// Reports to the dispatcher whether this agent takes jobs, when that changed.
    pub(super) fn set_up(&mut self, up: bool) {
        if self.is_up != up {
            self.is_up = up;
            self.tell(if up {
                Report::Up(self.index)
            } else {
                Report::Down(self.index)
            });
        }
    }

    pub(super) fn takes_jobs(&self, line: &ServerLine) -> bool {
        self.mode == Mode::Working && line.better.is_none()
    }

    pub(super) fn show_state(&mut self) {
        let state = if self.mode != Mode::Working {
            AgentState::Draining
        } else if self.machine.is_registered() {
            AgentState::Registered
        } else if let Some(retry_at) = self.machine.waits_until() {
            return self.show_backoff(retry_at);
        } else {
            AgentState::Registering
        };
        self.retry_at = None;
        if self.shown.state() != state {
            self.shown.enter(state, self.clock.now());
        }
    }

    /// Shows that the next try follows then.
    pub(super) fn show_backoff(&mut self, retry_at: Instant) {
        if self.retry_at.replace(retry_at) != Some(retry_at) {
            let now = self.clock.now();
            let wait = retry_at.saturating_duration_since(clock::now());
            self.shown.enter(AgentState::Backoff, now);
            self.shown.next_attempt_at(now.plus(wait));
        }
    }

    /// Warns once for each cause, not once for each retry.
    pub(super) fn fail(&self, error: &str) {
        let error = without_os_error(error);
        let status = self.shown.status();
        if status.last_error.as_deref() == Some(&error) {
            tracing::debug!(agent.id = %status.id, error, "still failing");
        } else {
            tracing::warn!(agent.id = %status.id, server = %status.server, error, "not registered; trying again");
        }
        self.shown.failed_with(error);
    }
}

/// The longest part of a registrar's reason phrase that is logged and shown, in characters.
const MAX_REASON: usize = 100;

fn registration_failure(response: Option<&Response>, wait: Duration) -> String {
    let seconds = wait.as_secs_f64();
    match response {
        Some(response) if response.status.is_success() => {
            format!("the registrar accepted and listed no binding of ours; again in {seconds:.0} s")
        }
        Some(response) => {
            let code = response.status.as_u16();
            let reason: String = response.reason.chars().take(MAX_REASON).collect();
            format!("the registrar said {code} {reason}")
        }
        None => "the registrar does not answer".to_owned(),
    }
}

/// What some registrars answer to a wrong password, in place of another challenge.
fn is_forbidden(response: Option<&Response>) -> bool {
    response.is_some_and(|response| response.status == StatusCode::FORBIDDEN)
}

fn is_success(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answered(answer) => (200..300).contains(&answer.response.status_code),
        Outcome::NotWritten | Outcome::TooLarge | Outcome::Unknown(_) => false,
    }
}
