//! Requests that are repeated while that is safe.

use std::future::{self, Future};
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use crate::error::{Error, ProblemError};
use crate::types::{Problem, ProblemUri};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(10);
/// A `Retry-After` beyond this is an error at once.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// A request that may be made several times.
pub(crate) struct Call {
    /// How it is built, anew for each attempt.
    pub(crate) request: RequestBuilder,
    /// Whether it can be repeated although it may have been carried out.
    pub(crate) is_repeatable: bool,
    /// How often it is repeated; `None` for as often as it takes.
    pub(crate) retries: Option<u32>,
}

/// What failed, and whether and when to try again.
struct Failure {
    error: Error,
    is_worth_it: bool,
    wait: Option<Duration>,
}

impl Call {
    /// The answer, which is below 400.
    pub(crate) async fn answer(&self) -> Result<Response, Error> {
        self.run(|response| future::ready(Ok(response))).await
    }

    /// The body of the answer, which is below 400.
    pub(crate) async fn body(&self) -> Result<Vec<u8>, Error> {
        let read = |response: Response| async { Ok(response.bytes().await?.to_vec()) };
        self.run(read).await
    }

    async fn run<T, F>(&self, read: impl Fn(Response) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, reqwest::Error>>,
    {
        for attempt in 0.. {
            let failure = match self.try_once(&read).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let wait = failure.wait.unwrap_or_else(|| backoff(attempt));
            let is_last = self.retries.is_some_and(|retries| attempt >= retries);
            if is_last || !failure.is_worth_it || wait > MAX_RETRY_AFTER {
                return Err(failure.error);
            }
            tokio::time::sleep(wait).await;
        }
        unreachable!("the loop has no other end")
    }

    async fn try_once<T, F>(&self, read: &impl Fn(Response) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, reqwest::Error>>,
    {
        let lost = |error: reqwest::Error| Failure {
            is_worth_it: self.is_repeatable && !error.is_builder(),
            error: Error::Connection(error),
            wait: None,
        };
        // Bodies are in memory, so a request can always be built again.
        let request = self.request.try_clone();
        let request = request.unwrap_or_else(|| unreachable!("the body is no stream"));
        let response = request.send().await.map_err(lost)?;
        if response.status().is_success() {
            return read(response).await.map_err(lost);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let wait = retry_after(response.headers());
        let request_id = response.headers().get("x-request-id");
        let request_id = request_id
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
        let body = response.bytes().await.unwrap_or_default();
        let problem = serde_json::from_slice(&body).unwrap_or_else(|_| unknown(status));
        let is_fault = matches!(status.as_u16(), 408 | 500 | 502 | 503 | 504);
        Failure {
            error: Error::Problem(Box::new(ProblemError {
                status: status.as_u16(),
                problem,
                request_id,
            })),
            // With Retry-After nothing was taken in.
            is_worth_it: wait.is_some() || (is_fault && self.is_repeatable),
            wait,
        }
    }
}

/// Whether a request of this method can be repeated as it is.
pub(crate) fn is_repeatable(method: &Method) -> bool {
    *method != Method::POST
}

/// A proxy between may have answered something else than a problem.
fn unknown(status: StatusCode) -> Problem {
    Problem {
        kind: ProblemUri::Unknown,
        title: format!("the answer was {status}"),
        status: status.as_u16().into(),
        detail: None,
        errors: None,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Doubles with each attempt; half of it is left to chance, for clients that failed together.
fn backoff(attempt: u32) -> Duration {
    let wait = FIRST_WAIT
        .saturating_mul(2_u32.saturating_pow(attempt))
        .min(MAX_WAIT);
    let chance = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    wait.mul_f64(0.5 + chance / 2.0)
}
