//! Errors on the wire: RFC 9457 problem documents.
//!
//! [`ApiError`] is the only error a handler returns. [`ApiError::kind`] is the only place where an
//! error meets a status code, and its `match` has no `_` arm, so a new cause does not compile until
//! somebody has decided what the client is told.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

use crate::dispatch::AcceptError;
use crate::dispatch::CancelError;
use crate::message::Violation;
use crate::store::StoreError;

/// Why a request was not granted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// JSON that says something we do not accept; every violation is listed.
    #[error("{}", sentence(.0))]
    Invalid(Vec<Violation>),
    /// Not JSON at all.
    #[error("{0}")]
    Malformed(String),
    /// A query parameter that is not one, or says nothing we know.
    #[error("{0}")]
    Query(String),
    /// A header that says nothing we know.
    #[error("{0}")]
    Header(String),
    /// The body is of another type than JSON.
    #[error("the body must be JSON and say so: Content-Type: application/json (curl --json does)")]
    MediaType,
    /// The body of the message, or of the request, is too large.
    #[error("{0}")]
    TooLarge(String),
    /// The client did not send its request in time.
    #[error("the request did not arrive in time")]
    Timeout,
    /// No such thing.
    #[error("{0}")]
    NotFound(&'static str),
    /// The path has other methods.
    #[error("this path does not take this method")]
    Method,
    /// The message is being sent, or has ended.
    #[error("the message is being sent or has ended")]
    TooLate,
    /// A request with this key is being answered now.
    #[error("a request with this Idempotency-Key is being answered now")]
    KeyInProgress,
    /// The key was used with another body.
    #[error("this Idempotency-Key was used with another body")]
    KeyReused,
    /// As many messages wait as may.
    #[error("as many messages wait as may; try again later")]
    Overloaded(Duration),
    /// As many streams are open as may.
    #[error("as many event streams are open as may")]
    TooManyStreams,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
    /// Ours to mend; the client learns when to try again, and the log learns why.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Ours to mend.
    #[error("{0}")]
    Internal(String),
}

/// What makes problems of one kind alike.
struct Kind {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
}

/// Every slug with its status and title, as `openapi.yaml` and `/problems/{slug}` list them.
#[rustfmt::skip]
pub const SLUGS: &[(&str, u16, &str)] = &[
    ("invalid-message",   422, "The request says something that is not accepted"),
    ("malformed-body",    400, "The body is not JSON"),
    ("invalid-query",     400, "A query parameter is not understood"),
    ("invalid-header",    400, "A header is not understood"),
    ("unsupported-type",  415, "The body is of a type that is not understood"),
    ("too-large",         413, "The request is too large"),
    ("request-timeout",   408, "The request did not arrive in time"),
    ("not-found",         404, "There is no such thing"),
    ("method-not-allowed", 405, "The path does not take this method"),
    ("too-late",          409, "The message can no longer be canceled"),
    ("key-in-progress",   409, "The same request is being answered"),
    ("key-reused",        422, "The Idempotency-Key belongs to another request"),
    ("overloaded",        503, "Too much is waiting"),
    ("too-many-streams",  503, "Too many streams are open"),
    ("stopping",          503, "The gateway is stopping"),
    ("unavailable",       503, "The store does not take anything now"),
    ("internal",          500, "Something went wrong inside"),
];

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
    #[rustfmt::skip]
    fn slug(&self) -> &'static str {
        match self {
            Self::Invalid(_)        => "invalid-message",
            Self::Malformed(_)      => "malformed-body",
            Self::Query(_)          => "invalid-query",
            Self::Header(_)         => "invalid-header",
            Self::MediaType         => "unsupported-type",
            Self::TooLarge(_)       => "too-large",
            Self::Timeout           => "request-timeout",
            Self::NotFound(_)       => "not-found",
            Self::Method            => "method-not-allowed",
            Self::TooLate           => "too-late",
            Self::KeyInProgress     => "key-in-progress",
            Self::KeyReused         => "key-reused",
            Self::Overloaded(_)     => "overloaded",
            Self::TooManyStreams    => "too-many-streams",
            Self::Stopping          => "stopping",
            Self::Store(_)          => "unavailable",
            Self::Internal(_)       => "internal",
        }
    }

    fn kind(&self) -> Kind {
        let slug = self.slug();
        let known = SLUGS.iter().find(|(known, ..)| *known == slug);
        let (_, status, title) = known
            .copied()
            .unwrap_or((slug, 500, "Something went wrong"));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Kind {
            status,
            slug,
            title,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded(wait) => Some(*wait),
            Self::Store(error) => Some(error.retry_after()),
            Self::TooManyStreams | Self::KeyInProgress => Some(Duration::from_secs(1)),
            Self::Stopping => Some(Duration::from_secs(5)),
            Self::Invalid(_)
            | Self::Malformed(_)
            | Self::Query(_)
            | Self::Header(_)
            | Self::MediaType
            | Self::TooLarge(_)
            | Self::Timeout
            | Self::NotFound(_)
            | Self::Method
            | Self::TooLate
            | Self::KeyReused
            | Self::Internal(_) => None,
        }
    }

    /// What the client is told; nothing of what is ours to mend.
    fn detail(&self) -> Option<String> {
        match self {
            Self::Store(_) | Self::Internal(_) => None,
            _ => Some(self.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = self.kind();
        let errors: &[Violation] = match &self {
            Self::Invalid(errors) => errors,
            _ => &[],
        };
        let problem = Problem {
            r#type: format!("/problems/{}", kind.slug),
            title: kind.title,
            status: kind.status.as_u16(),
            detail: self.detail(),
            errors,
        };
        // Strings and numbers are always JSON.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = kind.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
        }
        response
            .extensions_mut()
            .insert(FailureCause(self.to_string()));
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
            CancelError::TooLate => Self::TooLate,
            CancelError::Store(error) => Self::Store(error),
            CancelError::Stopping => Self::Stopping,
        }
    }
}

impl ApiError {
    /// One violation.
    pub(super) fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation {
            pointer: pointer.into(),
            detail: detail.into(),
        }])
    }
}

fn sentence(violations: &[Violation]) -> String {
    match violations {
        [one] => format!("{}: {}", one.pointer, one.detail),
        many => format!(
            "{} members are not accepted; `errors` lists them",
            many.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_published_slug() {
        let errors = [
            ApiError::Invalid(Vec::new()),
            ApiError::Malformed(String::new()),
            ApiError::Query(String::new()),
            ApiError::Header(String::new()),
            ApiError::MediaType,
            ApiError::TooLarge(String::new()),
            ApiError::Timeout,
            ApiError::NotFound(""),
            ApiError::Method,
            ApiError::TooLate,
            ApiError::KeyInProgress,
            ApiError::KeyReused,
            ApiError::Overloaded(Duration::ZERO),
            ApiError::TooManyStreams,
            ApiError::Stopping,
            ApiError::Store(StoreError::Closed),
            ApiError::Internal(String::new()),
        ];
        assert_eq!(errors.len(), SLUGS.len());
        for error in errors {
            assert!(
                SLUGS.iter().any(|(slug, ..)| *slug == error.slug()),
                "{}",
                error.slug()
            );
        }
    }
}
