//! How the dispatcher and an agent speak with each other.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::arrival::{Arrival, ArrivalId, Arrivals, InboundAnswer};
use super::command_queue::{CommandReceiver, CommandSender, command_queue};
use super::identity::Identity;
use super::translate;
use super::translate::BodyForm;
use crate::message::{Message, MessageId, Outcome, RequestView, Timestamp};
use crate::sip::OutgoingRequest;
use crate::trace::HeldFrames;

/// Where an agent stands among all agents of this process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AgentIndex(pub u32);

/// One attempt, handed to an agent. Its request is written at once, unless it or another one goes
/// alone.
#[derive(Debug)]
pub struct Job {
    /// What the report about it will name.
    pub key: u64,
    /// It is written when nothing else is in flight on the connection, and nothing else until it
    /// has ended.
    pub alone: bool,
    /// The message, for its trace.
    pub message: MessageId,
    /// Without the headers that the connection adds.
    pub request: OutgoingRequest,
}

/// A command for an agent.
#[derive(Debug)]
pub enum AgentCommand {
    Send(Vec<Job>),
    /// Answer a request of a peer, if its connection is still there.
    Answer(ArrivalId, InboundAnswer),
    /// Take no more jobs; those in flight go on to their end.
    Drain,
    /// Go back to work.
    Resume,
    /// Register anew at once.
    Reregister,
    /// End once the requests in flight have ended.
    Stop,
    /// End now. What is in flight has an unknown outcome.
    Leave,
}

/// A report of an agent to the dispatcher.
#[derive(Debug)]
pub enum Report {
    /// It begins, and this is the way in to it. Before everything else it reports.
    Here(AgentHandle),
    /// It is registered and takes jobs.
    Up(AgentIndex),
    /// It takes no jobs.
    Down(AgentIndex),
    /// Frames of attempts that end with the next report, and of messages that came in.
    Frames(Vec<TracedFrames>),
    /// Attempts ended. Each job is reported exactly once.
    Ended(AgentIndex, Vec<(u64, Outcome)>),
    /// The agent has ended; it reports nothing more.
    Gone(AgentIndex),
}

/// Frames that an agent held with their message.
#[derive(Debug)]
pub enum TracedFrames {
    /// Of an attempt at a message; the dispatcher decides whether they are kept.
    OfAttempt(MessageId, HeldFrames),
    /// Of a message that came in; they are kept.
    OfReceived(MessageId, HeldFrames),
}

/// The dispatcher's end of an agent.
#[derive(Clone, Debug)]
pub struct AgentHandle {
    pub index: AgentIndex,
    /// Its name and account.
    pub identity: Arc<Identity>,
    /// Requests it may have open.
    pub capacity: u32,
    commands: CommandSender,
}

impl AgentHandle {
    /// A handle and the agent's end of it. The queue needs no bound of its own: its length is
    /// bounded by `capacity` and by the length of the queue of arrivals.
    pub fn new(
        index: AgentIndex,
        identity: Arc<Identity>,
        capacity: u32,
    ) -> (Self, CommandReceiver) {
        let (commands, inbox) = command_queue();
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

    /// Builds the request of an attempt: as events show it, and as the job for the agent.
    pub fn prepare(
        &self,
        key: u64,
        message: &Message,
        attempt: u32,
        now: Timestamp,
        form: BodyForm,
    ) -> (RequestView, Job) {
        let (view, request) = translate::prepare(&self.identity, message, attempt, now, form);
        let alone = false;
        (
            view,
            Job {
                key,
                alone,
                message: message.id,
                request,
            },
        )
    }

    /// The agent's way to the dispatcher for what comes in: into this queue.
    pub fn arrivals(&self, queue: mpsc::Sender<Arrival>) -> Arrivals {
        Arrivals::new(queue, self.commands.downgrade())
    }

    /// Sends the agent a command; false when it has ended. All jobs sent before that are reported
    /// before [`Report::Gone`].
    pub fn tell(&self, command: AgentCommand) -> bool {
        self.commands.send(command)
    }
}
