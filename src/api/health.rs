//! `/livez` and `/readyz`, for load balancers and orchestrators.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::Api;
use super::error::ApiError;
use crate::store::StoreError;

/// `GET /livez`: the process answers.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: messages can be taken in. A SIP server that is away is no reason to say no:
/// messages wait for it.
pub(super) async fn ready(State(api): State<Api>) -> Result<Response, ApiError> {
    if api.draining.is_cancelled() {
        return Err(ApiError::Stopping);
    }
    let store = api.store.clone();
    api.0.store_check.ask(move || store.check()).await?;
    Ok("ok\n".into_response())
}

/// The store is written to this often at most, however many ask.
const INTERVAL: Duration = Duration::from_millis(200);

/// The check whether the store can be written, shared by those who ask. Who comes sooner than
/// [`INTERVAL`] after the last one waits for the next, so no answer is older than its question.
#[derive(Default)]
pub(super) struct StoreCheck(Mutex<Option<Check>>);

struct Check {
    begins: Instant,
    answer: CheckAnswer,
}

type CheckAnswer = Shared<BoxFuture<'static, Result<(), StoreError>>>;

impl StoreCheck {
    /// Resolves to what a check says that begins after the call.
    fn ask<C>(&self, check: impl FnOnce() -> C + Send + 'static) -> CheckAnswer
    where
        C: Future<Output = Result<(), StoreError>> + Send,
    {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = match &*last {
            Some(next) if next.begins > now => return next.answer.clone(),
            Some(last) => now.max(last.begins + INTERVAL),
            None => now,
        };
        let check = async move {
            tokio::time::sleep_until(begins).await;
            check().await
        };
        let answer = check.boxed().shared();
        *last = Some(Check {
            begins,
            answer: answer.clone(),
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_the_store_is_checked_once_in_an_interval() {
        let (check, count) = (StoreCheck::default(), Arc::<AtomicU32>::default());
        let ask = || {
            let count = count.clone();
            check.ask(move || async move {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
        };
        for _ in 0..10 {
            let askers: Vec<_> = (0..1_000).map(|_| ask()).collect();
            // Some break off, which is no reason to begin another check.
            let (leaving, staying) = askers.split_at(500);
            leaving
                .iter()
                .for_each(|asker| assert!(asker.peek().is_none()));
            for asker in staying.iter().cloned() {
                asker.await.unwrap();
            }
        }
        // The first begins at once, and each later round waits for one of its own.
        assert!(count.load(Ordering::Relaxed) <= 20, "{count:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_answer_is_older_than_its_question() {
        let check = StoreCheck::default();
        let is_full = Arc::new(AtomicU32::new(0));
        for full in [0, 1, 0, 1] {
            is_full.store(full, Ordering::Relaxed);
            let is_full = is_full.clone();
            let answer = check.ask(move || async move {
                match is_full.load(Ordering::Relaxed) {
                    0 => Ok(()),
                    _ => Err(StoreError::Closed),
                }
            });
            assert_eq!(answer.await.is_err(), full == 1);
        }
    }
}
