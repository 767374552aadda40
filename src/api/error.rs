//! Errors on the wire: RFC 9457 problem documents.
//!
//! [`ApiError`] is the only error a handler returns, and [`ApiError::kind`] the only place where an
//! error meets its kind of problem. No `match` here has a `_` arm, so a new cause does not compile
//! until its answer to the client is decided.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::ProblemType;
use crate::dispatch::{AcceptError, CancelError};
use crate::message::{Violation, Violations};
use crate::store::StoreError;

/// Why a request was refused, or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// JSON that says something we do not accept; the violations are listed.
    #[error("{}", sentence(.0))]
    Invalid(Violations),
    /// Not JSON at all.
    #[error("{0}")]
    Malformed(String),
    /// A query parameter that is not one, or says nothing we know.
    #[error("{0}")]
    Query(String),
    /// A header that says nothing we know.
    #[error("{0}")]
    Header(&'static str),
    /// The body is of another type than JSON, or compressed.
    #[error("{0}")]
    MediaType(&'static str),
    /// The client takes nothing of what we have.
    #[error("this is given as {0}")]
    NotAcceptable(&'static str),
    /// The body of the message, or of the request, is too large.
    #[error("{0}")]
    TooLarge(String),
    /// The client did not send its request in time.
    #[error("the body did not arrive in time")]
    Timeout,
    /// The client shows no token.
    #[error("a token is needed: Authorization: Bearer …")]
    NoToken,
    /// The client shows an unknown token.
    #[error("a token is needed, and this one is not known")]
    UnknownToken,
    /// The client shows more than one.
    #[error("Authorization: once")]
    TwoTokens,
    /// The client's token is not for this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A page of another origin asks for a change.
    #[error("a page of another origin may change nothing here, unless http.cors_origins lists it")]
    CrossOrigin,
    /// The request is for a host that is not known to be this gateway.
    #[error(
        "while no token is configured, only loopback names and addresses are answered, and the \
         names in http.hosts"
    )]
    Misdirected,
    /// The frames of the agent pass at another replica.
    #[error("the agent is at another replica, which shows its frames: `replica` of it says which")]
    OtherReplica,
    /// The client's token, or its address, has sent as much as it may.
    #[error("more requests than the rate allows")]
    RateLimited(Duration),
    /// The client's token has as much as it may of what all share.
    #[error("{0}")]
    ShareUsed(&'static str),
    /// No such thing.
    #[error("{0}")]
    NotFound(&'static str),
    /// Nothing is at the path, and this is the path that was meant.
    #[error("there is nothing at this path; {0} has no slash at its end")]
    TrailingSlash(&'static str),
    /// The path has other methods, which this names.
    #[error("this path takes {0}")]
    Method(String),
    /// The message cannot be canceled, for the reason that this gives.
    #[error("{0}")]
    TooLate(String),
    /// A request with this key is being answered now.
    #[error("a request with this Idempotency-Key is being answered now")]
    KeyInProgress,
    /// The key was used with another body.
    #[error("this Idempotency-Key was used with another body")]
    KeyReused,
    /// As many messages wait as may.
    #[error("too many messages are waiting (delivery.max_queued)")]
    Overloaded(Duration),
    /// As many bytes of bodies are in memory as may.
    #[error("too many bytes of requests are in memory (http.max_bodies)")]
    TooManyBytes,
    /// As many bytes of answers are in memory as may.
    #[error(
        "too many bytes of answers are in memory (http.max_bodies): read the answers that you asked \
         for, or ask for fewer rows"
    )]
    TooManyAnswers,
    /// As many streams are open as may.
    #[error("too many event streams are open (http.max_streams)")]
    TooManyStreams,
    /// There are as many webhooks as may be.
    #[error("{0}")]
    TooManyWebhooks(String),
    /// The gateway is stopping.
    #[error("nothing was taken in; repeat the request after Retry-After, or at another replica")]
    Stopping,
    /// Ours to mend; the client learns when to try again, and the log learns why.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Ours to mend.
    #[error("{0}")]
    Internal(String),
}

/// RFC 9457 §3.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "<[Violation]>::is_empty")]
    errors: &'a [Violation],
}

/// Left on the response for the access log, which reports each cause once, with its request.
#[derive(Clone, Debug)]
pub(super) struct FailureCause(pub(super) String);

impl ApiError {
    pub(super) fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(Violations::one(pointer, detail))
    }

    #[rustfmt::skip]
    fn kind(&self) -> ProblemType {
        match self {
            Self::Invalid(_)        => ProblemType::InvalidMessage,
            Self::Malformed(_)      => ProblemType::MalformedBody,
            Self::Query(_)          => ProblemType::InvalidQuery,
            Self::Header(_)         => ProblemType::InvalidHeader,
            Self::MediaType(_)      => ProblemType::UnsupportedType,
            Self::NotAcceptable(_)  => ProblemType::NotAcceptable,
            Self::TooLarge(_)       => ProblemType::TooLarge,
            Self::Timeout           => ProblemType::RequestTimeout,
            Self::NoToken           => ProblemType::Unauthorized,
            Self::UnknownToken      => ProblemType::Unauthorized,
            Self::TwoTokens         => ProblemType::InvalidHeader,
            Self::Forbidden(_)      => ProblemType::Forbidden,
            Self::CrossOrigin       => ProblemType::CrossOrigin,
            Self::Misdirected       => ProblemType::Misdirected,
            Self::OtherReplica      => ProblemType::Misdirected,
            Self::RateLimited(_)    => ProblemType::RateLimited,
            Self::ShareUsed(_)      => ProblemType::RateLimited,
            Self::NotFound(_)       => ProblemType::NotFound,
            Self::TrailingSlash(_)  => ProblemType::NotFound,
            Self::Method(_)         => ProblemType::MethodNotAllowed,
            Self::TooLate(_)        => ProblemType::TooLate,
            Self::KeyInProgress     => ProblemType::KeyInProgress,
            Self::KeyReused         => ProblemType::KeyReused,
            Self::Overloaded(_)     => ProblemType::Overloaded,
            Self::TooManyBytes      => ProblemType::Overloaded,
            Self::TooManyAnswers    => ProblemType::Overloaded,
            Self::TooManyStreams    => ProblemType::TooManyStreams,
            Self::TooManyWebhooks(_) => ProblemType::TooManyWebhooks,
            Self::Stopping          => ProblemType::Stopping,
            Self::Store(StoreError::Rejected(_)) => ProblemType::InvalidMessage,
            Self::Store(_)          => ProblemType::Unavailable,
            Self::Internal(_)       => ProblemType::Internal,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded(wait) | Self::RateLimited(wait) => Some(*wait),
            Self::Store(StoreError::Rejected(_)) => None,
            Self::Store(error) => Some(error.retry_after()),
            Self::TooManyBytes
            | Self::TooManyAnswers
            | Self::TooManyStreams
            | Self::KeyInProgress
            | Self::ShareUsed(_) => Some(Duration::from_secs(1)),
            Self::Stopping => Some(Duration::from_secs(5)),
            Self::Invalid(_)
            | Self::Malformed(_)
            | Self::Query(_)
            | Self::Header(_)
            | Self::MediaType(_)
            | Self::NotAcceptable(_)
            | Self::TooLarge(_)
            | Self::Timeout
            | Self::NoToken
            | Self::UnknownToken
            | Self::TwoTokens
            | Self::Forbidden(_)
            | Self::CrossOrigin
            | Self::Misdirected
            | Self::OtherReplica
            | Self::NotFound(_)
            | Self::TrailingSlash(_)
            | Self::Method(_)
            | Self::TooLate(_)
            | Self::TooManyWebhooks(_)
            | Self::KeyReused
            | Self::Internal(_) => None,
        }
    }

    /// The detail for the client; `None` for faults of our own.
    fn detail(&self) -> Option<String> {
        match self {
            Self::Store(StoreError::Rejected(_)) => {
                Some("the database does not take a value of the request".to_owned())
            }
            Self::Store(_) | Self::Internal(_) => None,
            Self::Invalid(_)
            | Self::Malformed(_)
            | Self::Query(_)
            | Self::Header(_)
            | Self::MediaType(_)
            | Self::NotAcceptable(_)
            | Self::TooLarge(_)
            | Self::Timeout
            | Self::NoToken
            | Self::UnknownToken
            | Self::TwoTokens
            | Self::Forbidden(_)
            | Self::CrossOrigin
            | Self::Misdirected
            | Self::OtherReplica
            | Self::RateLimited(_)
            | Self::ShareUsed(_)
            | Self::NotFound(_)
            | Self::TrailingSlash(_)
            | Self::Method(_)
            | Self::TooLate(_)
            | Self::KeyInProgress
            | Self::KeyReused
            | Self::Overloaded(_)
            | Self::TooManyBytes
            | Self::TooManyAnswers
            | Self::TooManyStreams
            | Self::TooManyWebhooks(_)
            | Self::Stopping => Some(self.to_string()),
        }
    }

    /// What RFC 6750 §3 says to who shows no token, or the wrong one.
    fn challenge(&self) -> Option<&'static str> {
        match self {
            // §3.1: a request without a token learns only that one is needed.
            Self::NoToken => Some(r#"Bearer realm="sipost""#),
            Self::UnknownToken => Some(
                r#"Bearer realm="sipost", error="invalid_token", error_description="the token is not known""#,
            ),
            Self::TwoTokens => Some(
                r#"Bearer realm="sipost", error="invalid_request", error_description="one token, once""#,
            ),
            Self::Forbidden(_) => Some(
                r#"Bearer realm="sipost", error="insufficient_scope", error_description="the token is not for this""#,
            ),
            Self::Invalid(_)
            | Self::Malformed(_)
            | Self::Query(_)
            | Self::Header(_)
            | Self::MediaType(_)
            | Self::NotAcceptable(_)
            | Self::TooLarge(_)
            | Self::Timeout
            | Self::CrossOrigin
            | Self::Misdirected
            | Self::OtherReplica
            | Self::RateLimited(_)
            | Self::ShareUsed(_)
            | Self::NotFound(_)
            | Self::TrailingSlash(_)
            | Self::Method(_)
            | Self::TooLate(_)
            | Self::KeyInProgress
            | Self::KeyReused
            | Self::Overloaded(_)
            | Self::TooManyBytes
            | Self::TooManyAnswers
            | Self::TooManyStreams
            | Self::TooManyWebhooks(_)
            | Self::Stopping
            | Self::Store(_)
            | Self::Internal(_) => None,
        }
    }

    fn violations(&self) -> &[Violation] {
        if let Self::Invalid(violations) = self {
            violations.told()
        } else {
            &[]
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = self.kind();
        let problem = Problem {
            r#type: kind.uri(),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: self.detail(),
            errors: self.violations(),
        };
        // Strings and numbers are always JSON.
        let mut body = serde_json::to_vec(&problem).unwrap_or_default();
        body.push(b'\n');
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = kind.status();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(challenge) = self.challenge() {
            let challenge = HeaderValue::from_static(challenge);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
        }
        // A detail about the client's mistake may quote the client: it is not for the log.
        let cause = match &self {
            // The database's words, which tell what the API should have refused.
            Self::Store(error) => error.to_string(),
            _ if kind.status().is_server_error() => self.to_string(),
            _ => kind.slug().to_owned(),
        };
        let cause = FailureCause(cause);
        response.extensions_mut().insert(cause);
        response
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Overloaded { retry_after } => Self::Overloaded(retry_after),
            AcceptError::KeyInProgress => Self::KeyInProgress,
            AcceptError::KeyReused => Self::KeyReused,
            AcceptError::Store(error) => Self::Store(error),
            AcceptError::Stopping => Self::Stopping,
        }
    }
}

impl From<CancelError> for ApiError {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound => Self::NotFound("no message has this id"),
            CancelError::TooLate => {
                Self::TooLate("the message is being sent or has ended".to_owned())
            }
            CancelError::Store(error) => Self::Store(error),
            CancelError::Stopping => Self::Stopping,
        }
    }
}

fn sentence(violations: &Violations) -> String {
    match violations.told() {
        [one] if one.pointer.is_empty() => one.detail.clone(),
        [one] => format!("{}: {}", one.pointer, one.detail),
        many if violations.has_more() => format!(
            "more than {count} mistakes; `errors` lists the first {count}",
            count = many.len()
        ),
        many => format!("{} mistakes; `errors` lists them", many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Place;

    #[test]
    fn what_the_database_rejects_is_not_worth_another_try() {
        let told = |error| ApiError::Store(error).into_response();
        let rejected = told(StoreError::Rejected("too big".to_owned()));
        assert_eq!(rejected.status(), 422);
        assert!(!rejected.headers().contains_key(header::RETRY_AFTER));
        let away = told(StoreError::Away("gone".to_owned()));
        assert_eq!(away.status(), 503);
        assert!(away.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn a_detail_counts_mistakes_and_not_members() {
        let of = |details: &[&str]| {
            let mut violations = Violations::default();
            for detail in details {
                violations.add(Place::Document.member("webhook"), detail);
            }
            sentence(&violations)
        };
        assert_eq!(of(&["required"]), "/webhook: required");
        let two = of(&["not a URL", "nothing is posted unsigned"]);
        assert_eq!(two, "2 mistakes; `errors` lists them");
    }
}
