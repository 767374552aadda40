//! What happens to every request before and after its handler.

use std::any::Any;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Response;
use tokio::time::Instant;

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
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id taken from a client.
const MAX_REQUEST_ID: usize = 128;

/// Gives the request a name, the client's own where it has one, and writes its line in the log.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    log(&id, &method, route.as_ref(), &response, begun.elapsed());
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fits = |id: &&HeaderValue| {
        (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    let given = headers.get(REQUEST_ID).filter(fits);
    given.cloned().unwrap_or_else(|| {
        let mut text = String::with_capacity(16);
        // Writing to memory cannot fail, and hexadecimal digits are always a header's value.
        let _ = write!(text, "{:016x}", rand::random::<u64>());
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-"))
    })
}

/// One line for each request: at `warn` when a reason of ours kept it from being granted, else at
/// `debug`. Never a body, a query or a header but the request's id.
fn log(
    id: &HeaderValue,
    method: &Method,
    route: Option<&MatchedPath>,
    response: &Response,
    took: Duration,
) {
    let id = id.to_str().unwrap_or_default();
    let route = route.map_or("-", MatchedPath::as_str);
    let status = response.status();
    let code = status.as_u16();
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let cause = response.extensions().get::<FailureCause>();
    match cause.map(|FailureCause(cause)| cause) {
        Some(cause) if status.is_server_error() => {
            tracing::warn!(request.id = id, %method, route, status = code, duration_ms, cause, "not granted");
        }
        Some(cause) => {
            tracing::debug!(request.id = id, %method, route, status = code, duration_ms, cause, "refused");
        }
        None => {
            tracing::debug!(request.id = id, %method, route, status = code, duration_ms, "answered");
        }
    }
}

/// A handler that panics is a fault of ours; its client is told so.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    ApiError::Internal(format!("a handler panicked: {words}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &[u8]) -> String {
        let value = HeaderValue::from_bytes(given).unwrap();
        let headers = HeaderMap::from_iter([(REQUEST_ID, value)]);
        request_id(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_request_keeps_the_name_its_client_gave_it() {
        assert_eq!(id_for(b"order-42"), "order-42");
    }

    #[test]
    fn a_name_that_could_not_stand_in_a_log_is_replaced() {
        for odd in [&b"a b"[..], b"", b"\xff", &[b'a'; 129]] {
            let id = id_for(odd);
            assert!(
                id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()),
                "{id}"
            );
        }
    }
}
