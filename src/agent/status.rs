//! What an agent shows of itself while it works.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::identity::Identity;
use crate::message::{AgentState, AgentStatus, Timestamp};

/// Written by the agent, read by API handlers. The counters change with every message and need no
/// lock; the rest changes with the connection.
#[derive(Debug)]
pub struct StatusCell {
    identity: Arc<Identity>,
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
}

impl StatusCell {
    /// An agent that is about to connect.
    pub fn new(identity: Arc<Identity>, server: Arc<str>, now: Timestamp) -> Self {
        let slow = Slow {
            server,
            state: AgentState::Connecting,
            since: now,
            registered_until: None,
            next_attempt_at: None,
            last_error: None,
        };
        Self {
            identity,
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

    pub(super) fn identity(&self) -> &Identity {
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
                slow.registered_until = None;
            }
            slow.next_attempt_at = None;
        });
    }

    pub(super) fn connecting_to(&self, server: &str) {
        self.change(|slow| {
            if *slow.server != *server {
                slow.server = server.into();
            }
        });
    }

    pub(super) fn registered_until(&self, until: Timestamp) {
        self.change(|slow| slow.registered_until = Some(until));
    }

    pub(super) fn next_attempt_at(&self, at: Timestamp) {
        self.change(|slow| slow.next_attempt_at = Some(at));
    }

    pub(super) fn failed_with(&self, error: impl Into<String>) {
        self.change(|slow| slow.last_error = Some(error.into()));
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
