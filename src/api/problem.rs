//! The kinds of problems: one closed table, which `/problems/{slug}` and `openapi.yaml` show too.

use axum::http::StatusCode;

/// What makes problems of one kind alike (RFC 9457 §3.1.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ProblemType {
    /// The body is not JSON.
    MalformedBody,
    /// A query parameter says nothing we know.
    InvalidQuery,
    /// A header says nothing we know.
    InvalidHeader,
    /// No token, or none that is known.
    Unauthorized,
    /// The token is not for this.
    Forbidden,
    /// A page of another origin asks for a change.
    CrossOrigin,
    /// No such thing.
    NotFound,
    /// The path has other methods.
    MethodNotAllowed,
    /// Nothing the client takes is something we have.
    NotAcceptable,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The message is being sent, or has ended.
    TooLate,
    /// The same request is being answered.
    KeyInProgress,
    /// There are as many webhooks as may be.
    TooManyWebhooks,
    /// The body is too large.
    TooLarge,
    /// The body is of a type we do not read.
    UnsupportedType,
    /// The request is for another host.
    Misdirected,
    /// JSON that says something we do not accept.
    InvalidMessage,
    /// The Idempotency-Key belongs to another request.
    KeyReused,
    /// More requests than the token, or the address, may send.
    RateLimited,
    /// Something of ours went wrong.
    Internal,
    /// As many messages wait as may.
    Overloaded,
    /// As many streams are open as may.
    TooManyStreams,
    /// The gateway is stopping.
    Stopping,
    /// The store does not take anything.
    Unavailable,
}

/// A row of the table.
struct Row {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    advice: &'static str,
}

impl ProblemType {
    /// Every kind, by status.
    pub const ALL: [Self; 24] = [
        Self::MalformedBody,
        Self::InvalidQuery,
        Self::InvalidHeader,
        Self::Unauthorized,
        Self::Forbidden,
        Self::CrossOrigin,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::TooLate,
        Self::KeyInProgress,
        Self::TooManyWebhooks,
        Self::TooLarge,
        Self::UnsupportedType,
        Self::Misdirected,
        Self::InvalidMessage,
        Self::KeyReused,
        Self::RateLimited,
        Self::Internal,
        Self::Overloaded,
        Self::TooManyStreams,
        Self::Stopping,
        Self::Unavailable,
    ];

    #[rustfmt::skip]
    fn row(self) -> Row {
        use StatusCode as S;
        let (status, slug, title, advice) = match self {
            Self::MalformedBody => (S::BAD_REQUEST, "malformed-body", "The body is not JSON",
                "Send one JSON document (RFC 8259) in UTF-8."),
            Self::InvalidQuery => (S::BAD_REQUEST, "invalid-query", "A query parameter is not understood",
                "`detail` names the parameter and what it takes."),
            Self::InvalidHeader => (S::BAD_REQUEST, "invalid-header", "A header is not understood",
                "`detail` names the header and what it takes."),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "A token is needed",
                "Send `Authorization: Bearer` and a token that the operator gave you. WWW-Authenticate says what was wrong (RFC 6750)."),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "The token is not for this",
                "`detail` says what the token is limited to. Another request will do, or another token."),
            Self::CrossOrigin => (S::FORBIDDEN, "cross-origin", "A page of another origin may change nothing",
                "The operator lists the origins of pages that may in `http.cors_origins`. Programs send neither Origin nor Sec-Fetch-Site."),
            Self::NotFound => (S::NOT_FOUND, "not-found", "Not found",
                "`detail` says what was not found. Finished messages are removed after a time that the operator sets (`retention.finished`)."),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not take this method",
                "The Allow header lists the methods it takes."),
            Self::NotAcceptable => (S::NOT_ACCEPTABLE, "not-acceptable", "No media type in Accept is available",
                "Accept application/json, or text/event-stream where events are read."),
            Self::RequestTimeout => (S::REQUEST_TIMEOUT, "request-timeout", "The request did not arrive in time",
                "Nothing was taken in. Send the request again."),
            Self::TooLate => (S::CONFLICT, "too-late", "The message can no longer be canceled",
                "Only a scheduled or queued message can be canceled. The events of the message say what happened to it."),
            Self::KeyInProgress => (S::CONFLICT, "key-in-progress", "The same request is being answered",
                "Another request with this Idempotency-Key is under way. Try again after Retry-After to get its answer."),
            Self::TooManyWebhooks => (S::CONFLICT, "too-many-webhooks", "There are too many webhooks",
                "Delete one that is not needed any more; one webhook can serve any number of accounts."),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "The request is too large",
                "`detail` says which limit was passed. Nothing was taken in."),
            Self::UnsupportedType => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported-type", "The body is of a type that is not read",
                "Send JSON, not compressed, with Content-Type: application/json."),
            Self::Misdirected => (S::MISDIRECTED_REQUEST, "misdirected", "The request is for another host",
                "Use a loopback name or address. The operator lists other names of the gateway in `http.hosts`, or configures tokens."),
            Self::InvalidMessage => (S::UNPROCESSABLE_ENTITY, "invalid-message", "The request is invalid",
                "`errors` lists every mistake with a JSON pointer (RFC 6901). Nothing was taken in."),
            Self::KeyReused => (S::UNPROCESSABLE_ENTITY, "key-reused", "The Idempotency-Key belongs to another request",
                "A request with this key and another body was accepted before. A new request takes a new key."),
            Self::RateLimited => (S::TOO_MANY_REQUESTS, "rate-limited", "More requests than the rate allows",
                "Nothing was taken in. Try again after Retry-After; RateLimit and RateLimit-Policy say how much is allowed."),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error",
                "It is logged with the X-Request-Id of the answer. Whether a message was taken in is not known: repeat with an Idempotency-Key."),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Too much is waiting",
                "Too many messages are waiting, or too many bytes of requests or answers are in memory. Nothing was taken in. Try again after Retry-After."),
            Self::TooManyStreams => (S::SERVICE_UNAVAILABLE, "too-many-streams", "Too many streams are open",
                "Too many event streams are open. Nothing was taken in. Try again after Retry-After."),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, "stopping", "The gateway is stopping",
                "Nothing was taken in. Try again after Retry-After, or at another replica."),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "The store does not take anything now",
                "Nothing is accepted that is not durable. Try again after Retry-After; the log of the gateway says why."),
        };
        Row { status, slug, title, advice }
    }

    /// Its last part of the path.
    pub fn slug(self) -> &'static str {
        self.row().slug
    }

    /// What the `type` of its problems says.
    pub fn uri(self) -> String {
        format!("/problems/{}", self.slug())
    }

    /// Its HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().status
    }

    /// What it is, in a sentence.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        self.row().advice
    }

    /// The kind of this name.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.slug() == slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        for kind in ProblemType::ALL {
            assert_eq!(ProblemType::from_slug(kind.slug()), Some(kind));
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
        }
    }
}
