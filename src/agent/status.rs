//! What an agent shows of itself while it works.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::changes::RegistrationChanges;
use super::identity::Identity;
use crate::message::{AgentChange, AgentState, AgentStatus, Timestamp};

/// Written by the agent, read by API handlers. The counters change with every message and need no
/// lock; the rest changes with the connection.
#[derive(Debug)]
pub struct StatusCell {
    identity: Arc<Identity>,
    /// Where it tells that it is registered, or no longer.
    changes: RegistrationChanges,
    slow: Mutex<Slow>,
    in_flight: AtomicU32,
    sent: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug)]
struct Slow {
    server: Arc<str>,
    state: AgentState,
    since: Timestamp,
    registered_until: Option<Timestamp>,
    next_attempt_at: Option<Timestamp>,
    last_error: Option<String>,
    /// Whether that came after it was registered last.
    is_error_new: bool,
}

impl Slow {
    /// Why it is no longer registered, when it enters this state.
    fn reason(&self, state: AgentState) -> String {
        match (&self.last_error, state) {
            (Some(error), _) if self.is_error_new => error.clone(),
            (_, AgentState::Stopped) => "it was stopped".to_owned(),
            (_, AgentState::Registering) => "it registers anew".to_owned(),
            (_, AgentState::Connecting | AgentState::Backoff) => {
                "the connection was lost".to_owned()
            }
            (_, AgentState::Registered | AgentState::Draining) => String::new(),
        }
    }
}

impl StatusCell {
    /// An agent that is about to connect.
    pub fn new(
        identity: Arc<Identity>,
        server: Arc<str>,
        changes: RegistrationChanges,
        now: Timestamp,
    ) -> Self {
        let slow = Slow {
            server,
            state: AgentState::Connecting,
            since: now,
            registered_until: None,
            next_attempt_at: None,
            last_error: None,
            is_error_new: false,
        };
        Self {
            identity,
            changes,
            slow: Mutex::new(slow),
            in_flight: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// As the API shows it.
    pub fn status(&self) -> AgentStatus {
        let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        AgentStatus {
            id: self.identity.id.clone(),
            account: self.identity.account.clone(),
            server: slow.server.clone(),
            state: slow.state,
            since: slow.since,
            registered_until: slow.registered_until,
            next_attempt_at: slow.next_attempt_at,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            succeeded: self.succeeded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            last_error: slow.last_error.clone(),
            replica: None,
        }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    fn change(&self, change: impl FnOnce(&mut Slow)) {
        change(&mut self.slow.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn state(&self) -> AgentState {
        self.slow
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .state
    }

    pub(super) fn enter(&self, state: AgentState, now: Timestamp) {
        self.change(|slow| {
            if slow.state != state {
                slow.state = state;
                slow.since = now;
            }
            if state != AgentState::Registered && state != AgentState::Draining {
                let was_registered = slow.registered_until.take().is_some();
                if was_registered {
                    self.tell(slow, Some(slow.reason(state)), now);
                }
            }
            slow.next_attempt_at = None;
        });
    }

    fn tell(&self, slow: &Slow, down: Option<String>, time: Timestamp) {
        self.changes.push(AgentChange {
            agent: self.identity.id.clone(),
            account: self.identity.account.clone(),
            server: slow.server.clone(),
            time,
            down,
        });
    }

    pub(super) fn connecting_to(&self, server: &str) {
        self.change(|slow| {
            if *slow.server != *server {
                slow.server = server.into();
            }
        });
    }

    /// It is registered, for the first time or again.
    pub(super) fn registered_until(&self, until: Timestamp, now: Timestamp) {
        self.change(|slow| {
            if slow.registered_until.replace(until).is_none() {
                slow.is_error_new = false;
                self.tell(slow, None, now);
            }
        });
    }

    pub(super) fn next_attempt_at(&self, at: Timestamp) {
        self.change(|slow| slow.next_attempt_at = Some(at));
    }

    pub(super) fn failed_with(&self, error: impl Into<String>) {
        self.change(|slow| {
            slow.last_error = Some(error.into());
            slow.is_error_new = true;
        });
    }

    pub(super) fn began(&self, count: u32) {
        self.in_flight.fetch_add(count, Ordering::Relaxed);
        self.sent.fetch_add(count.into(), Ordering::Relaxed);
    }

    pub(super) fn ended(&self, succeeded: bool) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let counter = if succeeded {
            &self.succeeded
        } else {
            &self.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn only_the_steps_between_registered_and_not_are_told() {
        let identity = Arc::new(Identity {
            id: "alice-1".into(),
            account: "sip:alice@example.com".into(),
            from: String::new(),
            user_agent: String::new(),
            extra_headers: Vec::new(),
            receives: true,
        });
        let changes = RegistrationChanges::default();
        let shown = StatusCell::new(identity, "wss://a".into(), changes.clone(), at(0));
        let told = || {
            let told = changes.take(usize::MAX).into_iter();
            told.map(|change| (change.time, change.down))
                .collect::<Vec<_>>()
        };
        let because = |seconds, reason: &str| vec![(at(seconds), Some(reason.to_owned()))];
        shown.failed_with("refused");
        for state in [
            AgentState::Backoff,
            AgentState::Connecting,
            AgentState::Registering,
        ] {
            shown.enter(state, at(1));
        }
        assert_eq!(told(), []);
        shown.registered_until(at(600), at(2));
        shown.enter(AgentState::Registered, at(2));
        shown.registered_until(at(900), at(300));
        shown.enter(AgentState::Draining, at(301));
        assert_eq!(told(), [(at(2), None)]);
        // What was wrong before is no reason any more.
        shown.enter(AgentState::Backoff, at(302));
        assert_eq!(told(), because(302, "the connection was lost"));
        shown.enter(AgentState::Connecting, at(303));
        shown.registered_until(at(900), at(304));
        shown.failed_with("the server is silent");
        shown.enter(AgentState::Backoff, at(305));
        assert_eq!(told()[1..], because(305, "the server is silent"));
        shown.registered_until(at(900), at(306));
        shown.enter(AgentState::Stopped, at(307));
        shown.enter(AgentState::Stopped, at(308));
        assert_eq!(told()[1..], because(307, "it was stopped"));
    }
}
