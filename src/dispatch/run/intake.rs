//! What clients ask for: messages to be taken in, all of a request or none, and cancellations.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::admission::{AcceptError, AcceptRequest, Admission};
use super::super::board::Board;
use super::super::handle::CancelError;
use super::super::observer::MessageObserver;
use crate::message::{MessageId, Timestamp};
use crate::store::{IdempotencyKey, Record, Recorded, Store, StoreError, Verdict};

/// Taken in by one commit at most, beside its records: a client must not wait behind a
/// thousand large batches. One request is always taken.
const MAX_MESSAGES: usize = 4_096;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Requests to take messages in, from their arrival to their answer.
pub(super) struct Intake {
    max_queued: usize,
    /// Admitted, and not on the board yet.
    incoming: VecDeque<AcceptRequest>,
    /// Messages in `incoming`: they count against `max_queued` before the board has them.
    admitted: usize,
    /// Keys of requests that have no answer yet.
    keys: HashSet<IdempotencyKey>,
    /// For the next commit: the board has their messages, and the store does not yet.
    offered: Vec<AcceptRequest>,
    offered_messages: usize,
    offered_bytes: usize,
}

impl Intake {
    pub(super) fn new(max_queued: usize) -> Self {
        Self {
            max_queued,
            incoming: VecDeque::new(),
            admitted: 0,
            keys: HashSet::new(),
            offered: Vec::new(),
            offered_messages: 0,
            offered_bytes: 0,
        }
    }

    /// Whether no request waits for its commit.
    pub(super) fn is_idle(&self) -> bool {
        self.incoming.is_empty() && self.offered.is_empty()
    }

    /// Whether messages are on the board that the store was not given yet.
    pub(super) fn has_offered(&self) -> bool {
        !self.offered.is_empty()
    }

    /// Requests that are not on the board yet.
    pub(super) fn requests_waiting(&self) -> usize {
        self.incoming.len()
    }

    pub(super) fn messages_waiting(&self) -> usize {
        self.admitted
    }

    /// Admits a request, or refuses it, when the board has so many messages.
    pub(super) fn admit(&mut self, request: AcceptRequest, on_board: usize, is_draining: bool) {
        // Its client was answered that the store is away, or has gone.
        if request.reply.is_closed() {
            return;
        }
        let count = request.messages.len();
        let refusal = if is_draining {
            Some(AcceptError::Stopping)
        } else if on_board + self.admitted + count > self.max_queued {
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
            return request.reply.send(Err(refusal));
        }
        self.admitted += count;
        self.incoming.push_back(request);
    }

    /// Puts admitted messages on the board, as many as one commit takes. Whether they are taken in
    /// is not known yet: see [`Self::answer`].
    pub(super) fn offer(&mut self, board: &mut Board, now: Timestamp) {
        while self.offered_messages < MAX_MESSAGES
            && self.offered_bytes < MAX_BYTES
            && let Some(mut request) = self.incoming.pop_front()
        {
            for message in &request.messages {
                self.offered_messages += 1;
                self.offered_bytes += message.weight();
                if let Some(permit) = request.permits.pop() {
                    board.hold(message.id, permit);
                }
                board.offer(message.clone(), request.key.is_some(), now);
            }
            self.admitted -= request.messages.len();
            self.offered.push(request);
        }
    }

    /// The requests for the next commit.
    pub(super) fn take_offered(&mut self) -> Vec<AcceptRequest> {
        (self.offered_messages, self.offered_bytes) = (0, 0);
        std::mem::take(&mut self.offered)
    }

    /// Answers the clients of a commit that is over, and confirms or withdraws their messages on
    /// the board; returns those withdrawn.
    pub(super) fn answer(
        &mut self,
        requests: Vec<AcceptRequest>,
        result: Result<Vec<Verdict>, StoreError>,
        board: &mut Board,
        observer: &dyn MessageObserver,
        now: Timestamp,
    ) -> HashSet<MessageId> {
        let mut withdrawn = HashSet::new();
        let verdicts = match result {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); requests.len()],
        };
        for (request, verdict) in requests.into_iter().zip(verdicts) {
            let AcceptRequest {
                messages,
                key,
                reply,
                ..
            } = request;
            if let Some(key) = &key {
                self.keys.remove(key);
            }
            if let Ok(Verdict::Accepted | Verdict::Elsewhere(_)) = verdict {
                observer.accepted(messages.len());
            }
            for message in &messages {
                if is_kept(&verdict, message.id) {
                    tracing::debug!(message.id = %message.id, "accepted");
                    board.confirm(message.id);
                } else {
                    board.withdraw(message.id, now);
                    withdrawn.insert(message.id);
                }
            }
            reply.send(match verdict {
                Ok(Verdict::Accepted | Verdict::Elsewhere(_)) => Ok(Admission::Accepted(messages)),
                Ok(Verdict::Replayed(ids)) => Ok(Admission::Replayed(ids)),
                Ok(Verdict::KeyReused) => Err(AcceptError::KeyReused),
                Ok(Verdict::Rejected(text)) => Err(StoreError::Rejected(text).into()),
                Err(error) => Err(AcceptError::Store(error)),
            });
        }
        withdrawn
    }
}

/// Whether this message stays on the board.
fn is_kept(verdict: &Result<Verdict, StoreError>, id: MessageId) -> bool {
    match verdict {
        Ok(Verdict::Accepted) => true,
        Ok(Verdict::Elsewhere(others)) => !others.contains(&id),
        Ok(Verdict::Replayed(_) | Verdict::KeyReused | Verdict::Rejected(_)) | Err(_) => false,
    }
}

/// Clients that asked to cancel a message.
pub(super) struct Cancellations {
    store: Arc<dyn Store>,
    /// Until the record of the message's end is gathered.
    waiting: HashMap<MessageId, CancelReply>,
}

type CancelReply = oneshot::Sender<Result<(), CancelError>>;

impl Cancellations {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            waiting: HashMap::new(),
        }
    }

    /// The client is answered when the end of the message is durable.
    pub(super) fn await_end(&mut self, id: MessageId, reply: CancelReply) {
        self.waiting.insert(id, reply);
    }

    /// The client that waits for this record, if it ends a canceled message.
    pub(super) fn ended_by(&mut self, record: &Record) -> Option<CancelReply> {
        let is_end = record.status.is_final() && !self.waiting.is_empty();
        is_end
            .then(|| self.waiting.remove(&record.event.message_id))
            .flatten()
    }

    /// A canceled message was forgotten. If no end of it was recorded, it is gone from the store.
    pub(super) fn forgotten(&mut self, id: MessageId) {
        if let Some(reply) = self.waiting.remove(&id) {
            self.refuse(id, reply);
        }
    }

    /// Answers for a message that is not on the board, with what the store knows of it.
    pub(super) fn refuse(&self, id: MessageId, reply: CancelReply) {
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

/// What a client is answered whose cancellation was recorded so.
pub(super) fn canceled(recorded: Recorded) -> Result<(), CancelError> {
    match recorded {
        Recorded::Appended(_) => Ok(()),
        Recorded::Ended => Err(CancelError::TooLate),
        Recorded::Rejected => {
            Err(StoreError::Rejected("its end cannot be recorded".to_owned()).into())
        }
    }
}
