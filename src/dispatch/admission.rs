//! Messages on their way in: the request of a client, and how it learns what became of it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::quota::QuotaPermit;
use crate::message::{Message, MessageId};
use crate::store::{IdempotencyKey, StoreError};

/// What became of messages handed in.
#[derive(Clone, Debug)]
pub enum Admission {
    /// Durable, and on their way.
    Accepted(Vec<Arc<Message>>),
    /// The same request came before; these are its messages.
    Replayed(Vec<MessageId>),
}

/// Why messages were not taken. None of them was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AcceptError {
    /// As many messages wait as may.
    #[error("too many messages are waiting")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// A request with this key is being answered now.
    #[error("a request with this Idempotency-Key is being answered now")]
    KeyInProgress,
    /// The key was used with another body.
    #[error("this Idempotency-Key was used with another body")]
    KeyReused,
    /// The store did not take them.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// Messages to be taken in together: all of them or none.
#[derive(Debug)]
pub struct AcceptRequest {
    /// At least one.
    pub messages: Vec<Arc<Message>>,
    /// What makes a repeated request the same request.
    pub key: Option<IdempotencyKey>,
    /// What each message holds of its client's share until it ends; empty where there are no
    /// shares.
    pub permits: Vec<QuotaPermit>,
    /// Takes the answer.
    pub reply: AdmissionReply,
}

/// The way back to the client of an [`AcceptRequest`].
#[derive(Debug)]
pub struct AdmissionReply {
    reply: oneshot::Sender<Result<Admission, AcceptError>>,
    alarm: Alarm,
}

/// Wakes a client that waits for the end of its message when that was not accepted. Dropped after
/// the answer, or without one.
#[derive(Debug)]
struct Alarm(Option<Arc<Notify>>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(client) = &self.0 {
            client.notify_one();
        }
    }
}

/// What a client learns that waits for the end of its message.
#[derive(Clone, Debug)]
pub enum Awaited<T> {
    /// The message has ended.
    Ended(T),
    /// It was accepted, and has not ended in time.
    Accepted,
    /// The same request came before; this is its message.
    Replayed(Vec<MessageId>),
}

/// A client that waits for the end of its message, and is not woken by its acceptance.
#[derive(Debug)]
pub(super) struct EndWait {
    answer: oneshot::Receiver<Result<Admission, AcceptError>>,
    /// Notified when the message is not accepted.
    refused: Arc<Notify>,
}

impl AdmissionReply {
    /// A reply that wakes its client with any answer.
    pub(super) fn new(reply: oneshot::Sender<Result<Admission, AcceptError>>) -> Self {
        let alarm = Alarm(None);
        Self { reply, alarm }
    }

    /// A reply to a client that waits for the end of its message.
    pub(super) fn to_end() -> (Self, EndWait) {
        let (reply, answer) = oneshot::channel();
        let refused = Arc::<Notify>::default();
        let alarm = Alarm(Some(refused.clone()));
        (Self { reply, alarm }, EndWait { answer, refused })
    }

    /// Answers the client; one that has gone meanwhile has still handed its messages over.
    pub fn send(mut self, answer: Result<Admission, AcceptError>) {
        if matches!(answer, Ok(Admission::Accepted(_))) {
            self.alarm.0 = None;
        }
        let _ = self.reply.send(answer);
    }

    /// Whether the client waits no more.
    pub fn is_closed(&self) -> bool {
        self.reply.is_closed()
    }
}

impl EndWait {
    /// Waits so long for `end`, which resolves with the end of the message, or with `None` when
    /// nothing is to be waited for any more; `None` also of `sent`, when the dispatcher has ended.
    pub(super) async fn wait<T>(
        self,
        sent: impl Future<Output = Option<()>>,
        wait: Duration,
        end: impl Future<Output = Option<T>>,
    ) -> Result<Awaited<T>, AcceptError> {
        let begun = Instant::now();
        let mut end = pin!(end);
        let is_over = tokio::select! {
            biased;
            end = async { sent.await?; (&mut end).await } => match end {
                Some(end) => return Ok(Awaited::Ended(end)),
                None => true,
            },
            () = self.refused.notified() => true,
            () = sleep(wait.min(PATIENCE)) => false,
        };
        let admission = match timeout_at(begun + PATIENCE, self.answer).await {
            Ok(answer) => answer.unwrap_or(Err(AcceptError::Stopping))?,
            Err(_) => return Err(AcceptError::Store(silent())),
        };
        if let Admission::Replayed(ids) = admission {
            return Ok(Awaited::Replayed(ids));
        }
        if is_over {
            return Ok(Awaited::Accepted);
        }
        let end = timeout_at(begun + wait, end).await.ok().flatten();
        Ok(end.map_or(Awaited::Accepted, Awaited::Ended))
    }
}

/// How long an answer of the dispatcher may take. Commands are left to gather while a commit is
/// under way; one that takes longer than this is one of a database that went away in it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn silent() -> StoreError {
    StoreError::Away("it has not said for too long what became of a commit".to_owned())
}

#[cfg(test)]
mod tests {
    use std::future::{Pending, pending, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use uuid::Uuid;

    use super::*;
    use crate::message::{Contents, Timestamp};

    fn message() -> Arc<Message> {
        let id = MessageId::new(Uuid::nil());
        Arc::new(Contents::default().accept(id, Timestamp::EPOCH, None))
    }

    /// The answer to a client that waits so long for `end`, and when it comes. `answer` plays the
    /// dispatcher.
    async fn wait_for_end(
        wait: Duration,
        end: impl Future<Output = Option<u8>>,
        answer: impl AsyncFnOnce(AdmissionReply),
    ) -> (Result<Awaited<u8>, AcceptError>, Duration) {
        let begun = Instant::now();
        let (reply, waiting) = AdmissionReply::to_end();
        let waiting = async {
            let answer = waiting.wait(ready(Some(())), wait, end).await;
            (answer, begun.elapsed())
        };
        tokio::join!(waiting, answer(reply)).0
    }

    fn accepted() -> Result<Admission, AcceptError> {
        Ok(Admission::Accepted(vec![message()]))
    }

    fn never() -> Pending<Option<u8>> {
        pending()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_client_that_waits_for_the_end_is_woken_by_the_end_alone() {
        let (reply, waiting) = AdmissionReply::to_end();
        let (tell, end) = oneshot::channel();
        let end = async { end.await.ok() };
        let mut waiting = pin!(waiting.wait(ready(Some(())), SECOND, end));
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        reply.send(accepted());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        tell.send(7).unwrap();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        let answer = waiting.as_mut().poll(&mut context);
        assert!(matches!(answer, Poll::Ready(Ok(Awaited::Ended(7)))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_the_end_is_told_at_once_what_keeps_it_from_coming() {
        let at_once = |took: Duration| took == Duration::ZERO;
        let (answer, took) = wait_for_end(SECOND, never(), async |reply| {
            reply.send(Err(AcceptError::KeyReused));
        })
        .await;
        assert!(matches!(answer, Err(AcceptError::KeyReused)) && at_once(took));
        let (answer, took) = wait_for_end(SECOND, never(), async |reply| {
            reply.send(Ok(Admission::Replayed(Vec::new())));
        })
        .await;
        assert!(matches!(answer, Ok(Awaited::Replayed(_))) && at_once(took));
        // The dispatcher has ended.
        let (answer, took) = wait_for_end(SECOND, never(), async |reply| drop(reply)).await;
        assert!(matches!(answer, Err(AcceptError::Stopping)) && at_once(took));
        let (reply, waiting) = AdmissionReply::to_end();
        drop(reply);
        let answer = waiting.wait(ready(None), SECOND, never()).await;
        assert!(matches!(answer, Err(AcceptError::Stopping)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_waits_as_long_as_it_says_and_for_its_acceptance_in_any_case() {
        for (wait, accepted_after, took) in [(3, 1, 3), (1, 3, 3), (20, 1, 20)] {
            let (wait, accepted_after) = (SECOND * wait, SECOND * accepted_after);
            let (answer, after) = wait_for_end(wait, never(), async |reply| {
                sleep(accepted_after).await;
                reply.send(accepted());
            })
            .await;
            assert!(matches!(answer, Ok(Awaited::Accepted)), "{answer:?}");
            assert_eq!(after, SECOND * took);
        }
        let late = async {
            sleep(PATIENCE + SECOND).await;
            Some(7)
        };
        let (answer, _) = wait_for_end(20 * SECOND, late, async |reply| {
            reply.send(accepted());
        })
        .await;
        assert!(matches!(answer, Ok(Awaited::Ended(7))), "{answer:?}");
        // The gateway is stopping: the message is accepted all the same.
        let released = ready(None);
        let (answer, after) = wait_for_end(20 * SECOND, released, async |reply| {
            sleep(SECOND).await;
            reply.send(accepted());
        })
        .await;
        assert!(matches!(answer, Ok(Awaited::Accepted)), "{answer:?}");
        assert_eq!(after, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_does_not_answer_counts_as_away_however_long_a_client_waits() {
        for wait in [SECOND, 20 * SECOND] {
            let (answer, after) = wait_for_end(wait, never(), async |reply| {
                sleep(PATIENCE + SECOND).await;
                drop(reply);
            })
            .await;
            assert!(matches!(answer, Err(AcceptError::Store(_))), "{answer:?}");
            assert_eq!(after, PATIENCE);
        }
    }
}
