//! What comes in at an agent, on its way to the dispatcher, and how it is answered.
//!
//! | the dispatcher's answer | a message                   | a receipt |
//! |-------------------------|-----------------------------|-----------|
//! | [`Taken`], [`Repeated`] | 202 or 200, as settings say | 200       |
//! | [`NoConsumer`]          | 480 with Retry-After        | 480 …     |
//! | [`Overloaded`]          | 500 with Retry-After        | 500 …     |
//! | [`Failed`]              | 500 with Retry-After        | 500 …     |
//! | none within 10 s        | 500                         | 500       |
//!
//! Never 503: RFC 3261 §21.5.4 lets a proxy take the whole flow out of service for it.
//!
//! [`Taken`]: InboundAnswer::Taken
//! [`Repeated`]: InboundAnswer::Repeated
//! [`NoConsumer`]: InboundAnswer::NoConsumer
//! [`Overloaded`]: InboundAnswer::Overloaded
//! [`Failed`]: InboundAnswer::Failed

use tokio::sync::mpsc;

use super::command_queue::WeakCommandSender;
use super::handle::AgentCommand;
use crate::message::{Receipt, Received};

#[derive(Debug)]
pub enum Inbound {
    Message(Box<Received>),
    /// A receipt for a message of ours.
    Receipt(Receipt),
}

/// How a request that came in is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InboundAnswer {
    /// It is in the store.
    Taken,
    /// It was in the store before: a fork, or a retransmission.
    Repeated,
    /// Nothing would take the event now, and the account wants something that does.
    NoConsumer,
    /// There is no room, or a rate is exceeded.
    Overloaded,
    /// It could not be stored.
    Failed,
}

/// Names a request of a peer in its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ArrivalId {
    /// As the user agent counts them: no number comes twice, so that an answer meets no request
    /// of a later connection.
    pub(super) request: u64,
    pub(super) is_receipt: bool,
}

impl ArrivalId {
    /// The number of the request.
    pub fn request(self) -> u64 {
        self.request
    }
}

/// A request that came in and waits for its answer.
///
/// One that is dropped is answered with 500 after ten seconds.
#[derive(Debug)]
pub struct Arrival {
    pub what: Inbound,
    reply: ArrivalReply,
}

#[derive(Debug)]
pub struct ArrivalReply {
    id: ArrivalId,
    commands: WeakCommandSender,
}

impl Arrival {
    /// Answers the request. A request whose connection is gone needs no answer any more.
    pub fn answer(self, answer: InboundAnswer) {
        self.reply.answer(answer);
    }

    /// What it brings, and what answers it later.
    pub fn split(self) -> (Inbound, ArrivalReply) {
        (self.what, self.reply)
    }
}

impl ArrivalReply {
    /// See [`Arrival::answer`].
    pub fn answer(self, answer: InboundAnswer) {
        if let Some(commands) = self.commands.upgrade() {
            // False: the agent has ended.
            let _ = commands.send(AgentCommand::Answer(self.id, answer));
        }
    }
}

/// An agent's way to the dispatcher for what comes in. Made by
/// [`AgentHandle::arrivals`](super::AgentHandle::arrivals).
#[derive(Clone, Debug)]
pub struct Arrivals {
    queue: mpsc::Sender<Arrival>,
    /// Weak: an agent ends when nothing can send it commands any more.
    commands: WeakCommandSender,
}

impl Arrivals {
    pub(super) fn new(queue: mpsc::Sender<Arrival>, commands: WeakCommandSender) -> Self {
        Self { queue, commands }
    }

    /// Hands over what came in as the user agent's request of this number; false when the queue is
    /// full or closed.
    pub fn hand_over(&self, request: u64, what: Inbound) -> bool {
        let is_receipt = matches!(what, Inbound::Receipt(_));
        let reply = ArrivalReply {
            id: ArrivalId {
                request,
                is_receipt,
            },
            commands: self.commands.clone(),
        };
        self.queue.try_send(Arrival { what, reply }).is_ok()
    }
}
