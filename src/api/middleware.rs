//! What happens to every request before and after its handler.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Response;
use tokio::time::Instant;
use tracing::Level;

use super::error::ApiError;
use super::error::FailureCause;

/// Who calls. Anonymous until tokens say otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    name: Option<Arc<str>>,
}

impl Caller {
    /// The name of the caller's token; empty without one.
    pub(super) fn name(&self) -> Arc<str> {
        self.name.clone().unwrap_or_else(|| "".into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// One line for each request that failed for a reason of ours or was slow to answer; the others at
/// `debug`. Never a body, a query or a header.
pub(super) async fn log(request: Request, next: Next) -> Response {
    if !tracing::enabled!(Level::WARN) {
        return next.run(request).await;
    }
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let status = response.status();
    let route = path.as_ref().map_or("-", MatchedPath::as_str);
    let duration_ms = millis(begun.elapsed());
    match response.extensions().get::<FailureCause>() {
        Some(FailureCause(cause)) if status.is_server_error() => {
            tracing::warn!(%method, route, status = status.as_u16(), duration_ms, cause, "not granted");
        }
        Some(FailureCause(cause)) => {
            tracing::debug!(%method, route, status = status.as_u16(), duration_ms, cause, "refused");
        }
        None => tracing::debug!(%method, route, status = status.as_u16(), duration_ms, "answered"),
    }
    response
}

/// A handler that takes longer than a client may take to send its request is answered for. Streams
/// are no exception: their handler answers at once.
pub(super) async fn timeout(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let mut response = ApiError::Timeout.into_response();
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// A handler that panics is a fault of ours; its client is told so.
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let cause = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    tracing::error!(cause, "a handler panicked");
    ApiError::Internal("a handler panicked".to_owned()).into_response()
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
