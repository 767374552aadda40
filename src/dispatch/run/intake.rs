//! What clients ask for: messages taken in, all of a request or none, and cancellations.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::board::Cancel;
use super::super::handle::{AcceptError, Admission, CancelError, Command};
use super::super::observer::WaitingFor;
use super::super::quota::QuotaPermit;
use super::Dispatcher;
use crate::clock;
use crate::message::{ByMessage, Message, MessageId, Timestamp};
use crate::store::{IdempotencyKey, StoreError, Verdict};

/// Taken in by one commit at most, beside what is recorded: what a client waits for is not to wait
/// behind a thousand large batches. One request is always taken.
const MAX_MESSAGES: usize = 4_096;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Requests for the next commit. The board has their messages, and the store does not yet.
#[derive(Default)]
pub(super) struct Offered {
    pub(super) requests: Vec<Request>,
    messages: usize,
    bytes: usize,
}

impl Offered {
    fn has_room(&self) -> bool {
        self.messages < MAX_MESSAGES && self.bytes < MAX_BYTES
    }
}

/// An accept command under way.
pub(super) struct Request {
    pub(super) messages: Vec<Arc<Message>>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) permits: Vec<QuotaPermit>,
    pub(super) reply: oneshot::Sender<Result<Admission, AcceptError>>,
}

impl Dispatcher {
    pub(super) fn take_commands(&mut self, inbox: &mut Vec<Command>) {
        for command in inbox.drain(..) {
            match command {
                Command::Accept {
                    messages,
                    key,
                    permits,
                    reply,
                } => self.admit(Request {
                    messages,
                    key,
                    permits,
                    reply,
                }),
                Command::Cancel { id, reply } => self.cancel(id, reply),
                Command::Rates(rates) => self.set_rates(&rates),
                // Who asks may be gone when it is answered.
                Command::WaitingFor { ids, reply } => drop(reply.send(self.waiting_for(&ids))),
                Command::Standing { reply } => drop(reply.send(self.board.standing())),
            }
        }
    }

    fn waiting_for(&self, ids: &[MessageId]) -> ByMessage<WaitingFor> {
        // In this order, so that no time is told that is too early.
        let steady = clock::now();
        let now = self.clock.now();
        let mut waiting = self.board.waiting_for(ids, &self.pool, now, steady);
        if self.failing.is_some() {
            for reason in waiting.values_mut() {
                if *reason == WaitingFor::Slot {
                    *reason = WaitingFor::Store;
                }
            }
        } else {
            waiting.retain(|_, reason| *reason != WaitingFor::Store);
        }
        waiting
    }

    /// Lets a request through, or answers it.
    fn admit(&mut self, request: Request) {
        // Whoever asked was told that the store is away, or has gone.
        if request.reply.is_closed() {
            return;
        }
        let count = request.messages.len();
        let refusal = if self.draining {
            Some(AcceptError::Stopping)
        } else if self.board.len() + self.admitted + count > self.settings.max_queued {
            Some(AcceptError::Overloaded {
                retry_after: Duration::from_secs(1),
            })
        } else if request
            .key
            .as_ref()
            .is_some_and(|key| !self.keys.insert(key.clone()))
        {
            Some(AcceptError::KeyInProgress)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return drop(request.reply.send(Err(refusal)));
        }
        self.admitted += count;
        self.incoming.push_back(request);
    }

    /// Puts what was let through on the board, as much as one commit takes. Whether it is taken in
    /// is not known yet: the board is told by [`Self::answer_requests`].
    pub(super) fn offer_incoming(&mut self, now: Timestamp) {
        while self.offered.has_room()
            && let Some(mut request) = self.incoming.pop_front()
        {
            for message in &request.messages {
                self.offered.messages += 1;
                self.offered.bytes += message.weight();
                self.board
                    .offer(message.clone(), request.key.is_some(), now);
                if let Some(permit) = request.permits.pop() {
                    self.board.hold(message.id, permit);
                }
            }
            self.admitted -= request.messages.len();
            self.offered.requests.push(request);
        }
    }

    /// Tells clients what became of their requests, and the board which messages stay on it. Gives
    /// those that do not.
    pub(super) fn answer_requests(
        &mut self,
        requests: Vec<Request>,
        result: Result<Vec<Verdict>, StoreError>,
    ) -> HashSet<MessageId> {
        let now = self.clock.now();
        let mut withdrawn = HashSet::new();
        let verdicts = match result {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); requests.len()],
        };
        for (request, verdict) in requests.into_iter().zip(verdicts) {
            let Request {
                messages,
                key,
                reply,
                ..
            } = request;
            if let Some(key) = &key {
                self.keys.remove(key);
            }
            if let Ok(Verdict::Accepted | Verdict::Elsewhere(_)) = verdict {
                self.observer.accepted(messages.len());
            }
            let is_kept = |id: MessageId| match &verdict {
                Ok(Verdict::Accepted) => true,
                Ok(Verdict::Elsewhere(others)) => !others.contains(&id),
                Ok(Verdict::Replayed(_) | Verdict::KeyReused | Verdict::Rejected(_)) | Err(_) => {
                    false
                }
            };
            for message in &messages {
                if is_kept(message.id) {
                    tracing::debug!(message.id = %message.id, "accepted");
                    self.board.confirm(message.id);
                } else {
                    self.board.withdraw(message.id, now);
                    withdrawn.insert(message.id);
                }
            }
            // A client that has gone meanwhile has still handed its message over.
            drop(reply.send(match verdict {
                Ok(Verdict::Accepted | Verdict::Elsewhere(_)) => Ok(Admission::Accepted(messages)),
                Ok(Verdict::Replayed(ids)) => Ok(Admission::Replayed(ids)),
                Ok(Verdict::KeyReused) => Err(AcceptError::KeyReused),
                Ok(Verdict::Rejected(text)) => Err(StoreError::Rejected(text).into()),
                Err(error) => Err(AcceptError::Store(error)),
            }));
        }
        withdrawn
    }

    pub(super) fn cancel(
        &mut self,
        id: MessageId,
        reply: oneshot::Sender<Result<(), CancelError>>,
    ) {
        let now = self.clock.now();
        match self.board.cancel(id, now) {
            Cancel::TooLate => drop(reply.send(Err(CancelError::TooLate))),
            // Answered when the record of its end is durable.
            Cancel::Canceled => drop(self.canceling.insert(id, reply)),
            Cancel::Unknown => self.refuse_to_cancel(id, reply),
        }
    }

    /// Tells a client what there is of a message that is not here.
    pub(super) fn refuse_to_cancel(
        &self,
        id: MessageId,
        reply: oneshot::Sender<Result<(), CancelError>>,
    ) {
        let answer = self.store.message(id);
        tokio::spawn(async move {
            drop(reply.send(match answer.await {
                Ok(Some(_)) => Err(CancelError::TooLate),
                Ok(None) => Err(CancelError::NotFound),
                Err(error) => Err(CancelError::Store(error)),
            }));
        });
    }
}
