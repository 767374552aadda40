//! How the dispatcher and an agent speak with each other.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::translate;
use crate::message::{Message, Outcome, RequestView, Timestamp};
use crate::sip::OutgoingRequest;

/// Where an agent stands among all agents of this process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AgentIndex(pub u32);

/// Who an agent is, fixed for its life.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name, safe in a path: `alice-1`.
    pub id: Arc<str>,
    /// Its address of record.
    pub account: Arc<str>,
    /// The From header of what it sends, without the tag: `"Alice" <sip:alice@example.com>`.
    pub from: String,
    /// The User-Agent header.
    pub user_agent: String,
    /// Headers that the account adds to every request.
    pub extra_headers: Vec<(String, String)>,
}

/// One attempt, handed to an agent. Its request is written at once, unless it or another one goes
/// alone.
#[derive(Debug)]
pub struct Job {
    /// What the report about it will name.
    pub key: u64,
    /// It is written when nothing else is in flight on the connection, and nothing else until it
    /// has ended.
    pub alone: bool,
    /// What is written, but for what the connection adds.
    pub request: OutgoingRequest,
}

/// What an agent is told.
#[derive(Debug)]
pub enum Command {
    /// Write these requests.
    Send(Vec<Job>),
    /// Take no more jobs; what is in flight ends as it would have.
    Drain,
    /// Go back to work.
    Resume,
    /// Register anew at once.
    Reregister,
    /// Unregister and end.
    Stop,
}

/// What an agent tells the dispatcher.
#[derive(Debug)]
pub enum Report {
    /// It begins, and this is the way in to it. Before everything else it reports.
    Here(Handle),
    /// It is registered and takes jobs.
    Up(AgentIndex),
    /// It takes no jobs.
    Down(AgentIndex),
    /// Attempts ended. Each job is reported exactly once.
    Ended(AgentIndex, Vec<(u64, Outcome)>),
    /// The agent has ended; it reports nothing more.
    Gone(AgentIndex),
}

/// The dispatcher's end of an agent.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Where it stands.
    pub index: AgentIndex,
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Requests it may have open.
    pub capacity: u32,
    commands: mpsc::UnboundedSender<Command>,
}

impl Handle {
    /// A handle and the agent's end of it. The queue needs no bound of its own: what is in it is
    /// bounded by `capacity`.
    pub fn new(
        index: AgentIndex,
        identity: Arc<Identity>,
        capacity: u32,
    ) -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        (
            Self {
                index,
                identity,
                capacity,
                commands,
            },
            inbox,
        )
    }

    /// Builds the request of an attempt: what the outside is told of it, and the job for the agent.
    pub fn prepare(
        &self,
        key: u64,
        message: &Message,
        attempt: u32,
        now: Timestamp,
    ) -> (RequestView, Job) {
        translate::prepare(&self.identity, key, message, attempt, now)
    }

    /// Tells the agent something; false when it has ended. What was told before that is reported
    /// on, all of it, before [`Report::Gone`].
    pub fn tell(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }
}
