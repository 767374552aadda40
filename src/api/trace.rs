//! `traceparent`: the trace that a request continues (W3C Trace Context).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::message::Trace;

/// What the client says of its trace; nothing when it says nothing, or what cannot be read.
pub(super) fn of_client(headers: &HeaderMap) -> Option<Trace> {
    let mut given = headers.get_all("traceparent").iter();
    let trace = given.next()?.to_str().ok().and_then(Trace::parse)?;
    // Two are ambiguous.
    given.next().is_none().then_some(trace)
}

/// The trace of the messages that a request brings, as [`super::Observer::asked`] said.
pub(super) struct TraceOf(pub(super) Option<Trace>);

impl<S: Sync> FromRequestParts<S> for TraceOf {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().copied()))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(values: &[&str]) -> Option<Trace> {
        let name = HeaderName::from_static("traceparent");
        let value = |value: &&str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
        of_client(
            &values
                .iter()
                .map(|one| (name.clone(), value(one)))
                .collect(),
        )
    }

    #[test]
    fn one_traceparent_is_taken_and_two_or_a_broken_one_are_not() {
        assert_eq!(of(&[TRACE]).unwrap().to_string(), TRACE);
        for other in [&[][..], &[TRACE, TRACE], &["", TRACE], &["é"], &["00-x"]] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }
}
