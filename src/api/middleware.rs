//! What happens to every request before and after its handler.

use std::any::Any;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::field::display;

use super::access::{Caller, Meter};
use super::error::{ApiError, FailureCause};
use super::observer::Answered;
use super::peer::{ClientAddress, Peer};
use super::{Api, browser, trace};
use crate::message::Trace;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id taken from a client.
const MAX_REQUEST_ID: usize = 128;

/// [`observed`] as a layer.
pub(super) async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    observed(&api, route, request, |request| next.run(request)).await
}

/// Gives the request a name, the client's own where it has one, writes its line in the log, and
/// tells browsers what they may make of the answer. One layer for what every answer needs: each
/// layer costs a future in a box.
pub(super) async fn observed<F: Future<Output = Response>>(
    api: &Api,
    route: Option<&str>,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let begun = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let client = client(api, &request);
    if let Some(client) = client {
        request.extensions_mut().insert(client);
    }
    let client_trace = trace::of_client(request.headers());
    let trace = api.observer.asked(&method, route, client_trace);
    if let Some(trace) = trace {
        request.extensions_mut().insert(trace);
    }
    let handled = AssertUnwindSafe(next(request)).catch_unwind();
    let mut response = handled.await.unwrap_or_else(panicked);
    let told = Told {
        id: &id,
        method: &method,
        route,
        client,
        took: begun.elapsed(),
        trace,
    };
    api.observer.answered(&Answered {
        method: &method,
        route,
        id: id.to_str().unwrap_or_default(),
        status: response.status(),
        begun: begun.into_std(),
        took: told.took,
        client: client_trace,
        trace,
    });
    log(api, &told, &response);
    browser::protect(response.headers_mut());
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

fn client(api: &Api, request: &Request) -> Option<ClientAddress> {
    let Peer(peer) = request.extensions().get::<Peer>()?;
    let client = api.settings.proxies.client(peer.ip(), request.headers());
    Some(ClientAddress(client))
}

/// What the log says of a request, beside its answer.
struct Told<'a> {
    id: &'a HeaderValue,
    method: &'a Method,
    route: Option<&'a str>,
    client: Option<ClientAddress>,
    took: Duration,
    trace: Option<Trace>,
}

/// One line for each request. A request that failed for a reason of ours (5xx) is always told:
/// at `warn` while such are few, and faults always, else at `info`. A request that was refused for
/// a reason of the client's is logged at `info` while such are few, else at `debug`. Never a body,
/// a query or a header but the request's id.
fn log(api: &Api, told: &Told<'_>, response: &Response) {
    let (id, method) = (told.id.to_str().unwrap_or_default(), told.method);
    let route = told.route.unwrap_or("-");
    let client = told.client.map(|ClientAddress(client)| display(client));
    let caller = response.extensions().get().map(Caller::name);
    let caller = caller.as_deref();
    let status = response.status();
    let code = status.as_u16();
    let duration_ms = u64::try_from(told.took.as_millis()).unwrap_or(u64::MAX);
    let trace = told.trace.map(|trace| display(trace.id));
    let cause = response.extensions().get::<FailureCause>();
    let cause = cause.map(|FailureCause(cause)| cause.as_str());
    macro_rules! line {
        ($level:ident, $words:literal) => {
            tracing::$level!(request.id = id, %method, route, status = code, client, caller, duration_ms, trace.id = trace, cause, $words)
        };
    }
    let is_one_of_few = |lines: &Meter| lines.take(Instant::now()).is_ok();
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        line!(warn, "request failed");
    } else if status.is_server_error() {
        if is_one_of_few(&api.0.unavailable_lines) {
            line!(warn, "request failed");
        } else {
            line!(info, "request failed");
        }
    } else if cause.is_some() {
        if is_one_of_few(&api.0.refused_lines) {
            line!(info, "refused");
        } else {
            line!(debug, "refused");
        }
    } else {
        line!(debug, "answered");
    }
}

/// A handler that panics is a fault of ours: 500.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
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
