//! What clients ask for: messages taken in, all of a request or none, and cancellations.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::super::board::Cancel;
use super::super::handle::AcceptError;
use super::super::handle::Admission;
use super::super::handle::CancelError;
use super::super::handle::Command;
use super::Dispatcher;
use crate::message::Message;
use crate::message::MessageId;
use crate::store::IdempotencyKey;
use crate::store::StoreError;
use crate::store::Submission;
use crate::store::Verdict;

pub(super) type Accepting = futures_util::future::BoxFuture<'static, Accepted>;

pub(super) struct Accepted {
    pub(super) result: Result<Vec<Verdict>, StoreError>,
    pub(super) requests: Vec<Request>,
}

/// An accept command under way.
pub(super) struct Request {
    pub(super) messages: Vec<Arc<Message>>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) reply: oneshot::Sender<Result<Admission, AcceptError>>,
}

impl Dispatcher {
    pub(super) fn take_commands(&mut self, inbox: &mut Vec<Command>) {
        let mut requests = Vec::new();
        for command in inbox.drain(..) {
            match command {
                Command::Accept {
                    messages,
                    key,
                    reply,
                } => {
                    let request = Request {
                        messages,
                        key,
                        reply,
                    };
                    if let Some(request) = self.admit(request) {
                        requests.push(request);
                    }
                }
                Command::Cancel { id, reply } => self.cancel(id, reply),
            }
        }
        if requests.is_empty() {
            return;
        }
        let submissions = requests
            .iter()
            .map(|request| Submission {
                messages: request.messages.clone(),
                key: request.key.clone(),
            })
            .collect();
        let answer = self.store.accept(submissions);
        self.accepting.push_back(
            async {
                Accepted {
                    result: answer.await,
                    requests,
                }
            }
            .boxed(),
        );
    }

    /// Lets a request through to the store, or answers it.
    pub(super) fn admit(&mut self, request: Request) -> Option<Request> {
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
            drop(request.reply.send(Err(refusal)));
            return None;
        }
        self.admitted += count;
        Some(request)
    }

    pub(super) fn accepted(&mut self, accepted: Accepted) {
        let Accepted { result, requests } = accepted;
        let now = self.clock.now();
        let verdicts = match result {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); requests.len()],
        };
        for (request, verdict) in requests.into_iter().zip(verdicts) {
            let Request {
                messages,
                key,
                reply,
            } = request;
            self.admitted -= messages.len();
            if let Some(key) = &key {
                self.keys.remove(key);
            }
            let answer = match verdict {
                Ok(Verdict::Accepted) => {
                    for message in &messages {
                        self.board.accept(message.clone(), now);
                    }
                    Ok(Admission::Accepted(messages))
                }
                Ok(Verdict::Replayed(ids)) => Ok(Admission::Replayed(ids)),
                Ok(Verdict::KeyReused) => Err(AcceptError::KeyReused),
                Err(error) => Err(AcceptError::Store(error)),
            };
            // A client that has gone meanwhile has still handed its message over.
            drop(reply.send(answer));
        }
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
            Cancel::Unknown => {
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
    }
}
