//! The dispatcher from outside: what it works with, and what it can be asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::admission::{
    AcceptError, AcceptRequest, Admission, AdmissionReply, Awaited, PATIENCE, silent,
};
use super::observer::{MessageObserver, QueueCounts, WaitingFor};
use super::quota::QuotaPermit;
use super::sip_traces::SipTraces;
use crate::agent::Report;
use crate::clock::Clock;
use crate::message::retry::Backoff;
use crate::message::{ByMessage, EventId, Message, MessageId, Targets};
use crate::store::{IdempotencyKey, Store, StoreError};

/// What the dispatcher works with.
pub struct DispatchParts {
    /// Where messages and events become durable.
    pub store: Arc<dyn Store>,
    /// Accounts, with the messages a second each may send. Agents come by [`Report::Here`].
    pub accounts: Vec<(Arc<str>, Option<f64>)>,
    /// What the agents report. Each has a sender of its own.
    pub reports: mpsc::UnboundedReceiver<Report>,
    /// Canceled when no new attempt may begin; the loop ends when the open ones have.
    pub drain: CancellationToken,
    pub clock: Clock,
    /// Counts messages and attempts.
    pub observer: Arc<dyn MessageObserver>,
    /// Where frames of attempts are kept.
    pub traces: SipTraces,
    /// What jitter is drawn from.
    pub seed: u64,
    /// What the operator configured.
    pub settings: Settings,
}

/// What the operator configures.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Messages that may wait or be in flight; more are refused.
    pub max_queued: usize,
    /// Bytes of waiting messages kept in memory; of more only their names are, and they are read
    /// from the store when their turn comes.
    pub max_held_bytes: usize,
    /// The share of each account's slots and rate that is kept for urgent messages.
    pub reserved: f64,
    /// How long to stay away between attempts.
    pub backoff: Backoff,
    /// How the log of the process names targets.
    pub targets: Targets,
}

/// The way in to the dispatcher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: mpsc::Sender<Command>,
}

/// Why a message was not canceled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CancelError {
    /// No message has this id.
    #[error("no message has this id")]
    NotFound,
    /// It is being sent, or has ended.
    #[error("the message is being sent or has ended")]
    TooLate,
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// What goes through the inbox. The sender of a command may be gone when it is answered.
#[derive(Debug)]
pub enum Command {
    Accept(AcceptRequest),
    Cancel {
        id: MessageId,
        /// Takes the answer.
        reply: oneshot::Sender<Result<(), CancelError>>,
    },
    /// How many messages a second these accounts may send; `None` for any number.
    Rates(Vec<(Arc<str>, Option<f64>)>),
    /// Say when everything that was sent until now is durable.
    Flush {
        /// Takes the answer.
        reply: oneshot::Sender<()>,
    },
    /// These receipts say that messages have arrived.
    Settle(Vec<Settling>),
    /// Say what each of these messages waits for.
    WaitingFor {
        /// A page of messages at most.
        ids: Vec<MessageId>,
        /// Takes those that wait.
        reply: oneshot::Sender<ByMessage<WaitingFor>>,
    },
    /// Say how many messages are where.
    Counts {
        /// Takes the answer.
        reply: oneshot::Sender<QueueCounts>,
    },
}

/// A receipt that may settle the outcome of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settling {
    pub message: MessageId,
    /// The event that reports the receipt.
    pub receipt: EventId,
    /// Whose receipt it is.
    pub recipient: Arc<str>,
}

impl Handle {
    /// A handle and the inbox it fills, which holds at most `capacity` commands.
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<Command>) {
        let (inbox, commands) = mpsc::channel(capacity);
        (Self { inbox }, commands)
    }

    /// Makes messages durable and sets them on their way, all or none of them.
    ///
    /// Ready when they are durable; not when they are sent. A store that does not answer for too
    /// long counts as away: it is unknown then whether they were taken in. Each message of a client
    /// with a share holds one of `permits` until it has ended.
    pub async fn accept(
        &self,
        messages: Vec<impl Into<Arc<Message>>>,
        key: Option<IdempotencyKey>,
        permits: Vec<QuotaPermit>,
    ) -> Result<Admission, AcceptError> {
        let messages = messages.into_iter().map(Into::into).collect();
        let (reply, answer) = oneshot::channel();
        let command = Command::Accept(AcceptRequest {
            messages,
            key,
            permits,
            reply: AdmissionReply::new(reply),
        });
        match self.ask(command, answer).await {
            Ok(answer) => answer.unwrap_or(Err(AcceptError::Stopping)),
            Err(_) => Err(AcceptError::Store(silent())),
        }
    }

    /// As [`Self::accept`], for a client that waits so long for the end of its message. `end`
    /// resolves with it, or with `None` when nothing is to be waited for any more.
    ///
    /// The client is woken by the end, not by the acceptance before it.
    pub async fn accept_to_end<T>(
        &self,
        message: Arc<Message>,
        key: Option<IdempotencyKey>,
        permits: Vec<QuotaPermit>,
        wait: Duration,
        end: impl Future<Output = Option<T>>,
    ) -> Result<Awaited<T>, AcceptError> {
        let (reply, waiting) = AdmissionReply::to_end();
        let command = Command::Accept(AcceptRequest {
            messages: vec![message],
            key,
            permits,
            reply,
        });
        waiting.wait(self.send(command), wait, end).await
    }

    /// Sets how many messages a second accounts may send from now on.
    pub async fn set_rates(&self, rates: Vec<(Arc<str>, Option<f64>)>) {
        // A dispatcher that has ended sends nothing any more.
        let _ = self.inbox.send(Command::Rates(rates)).await;
    }

    /// Resolves when everything that was sent until now is durable, or could not be made so: a
    /// message may be sent while its commit runs, and its recipient is quick.
    pub async fn flush(&self) {
        let (reply, answer) = oneshot::channel();
        // Without an answer the store is asked as it is.
        let _ = self.ask(Command::Flush { reply }, answer).await;
    }

    /// Tells of receipts that are durable.
    pub async fn settle(&self, receipts: Vec<Settling>) {
        // A dispatcher that has ended sends nothing any more.
        let _ = self.inbox.send(Command::Settle(receipts)).await;
    }

    /// Cancels a message that is not being sent yet. Ready when that is durable.
    pub async fn cancel(&self, id: MessageId) -> Result<(), CancelError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Cancel { id, reply };
        match self.ask(command, answer).await {
            Ok(answer) => answer.unwrap_or(Err(CancelError::Stopping)),
            Err(_) => Err(CancelError::Store(silent())),
        }
    }

    /// What these messages wait for. Messages that do not wait are left out; all of them are when
    /// the dispatcher does not answer.
    pub async fn waiting_for(&self, ids: Vec<MessageId>) -> ByMessage<WaitingFor> {
        let (reply, answer) = oneshot::channel();
        let command = Command::WaitingFor { ids, reply };
        let answer = self.ask(command, answer).await.ok().flatten();
        answer.unwrap_or_default()
    }

    /// How many messages are where; `None` when the dispatcher does not answer.
    pub async fn counts(&self) -> Option<QueueCounts> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Counts { reply }, answer).await.ok()?
    }

    /// Sends a command; `None` when the dispatcher has ended.
    pub(super) async fn send(&self, command: Command) -> Option<()> {
        self.inbox.send(command).await.ok()
    }

    /// Sends a command and waits for its answer; `None` when the dispatcher has ended.
    pub(super) async fn ask<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<T>,
    ) -> Result<Option<T>, Elapsed> {
        let asked = async {
            self.send(command).await?;
            answer.await.ok()
        };
        timeout(PATIENCE, asked).await
    }
}
