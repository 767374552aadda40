//! What can go wrong.

use crate::types::{Gap, Problem, Violation};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The gateway refused a request, and said why.
    #[error(transparent)]
    Problem(#[from] Box<ProblemError>),
    /// The gateway was not reached, or the connection was lost, as often as was tried.
    #[error("the gateway was not reached")]
    Connection(#[source] reqwest::Error),
    /// Events were removed before they were read. The log goes on after `resumed_from`.
    #[error("{}", .0.reason)]
    Gap(Box<Gap>),
    /// The answer is not what the contract says.
    #[error("the answer is not what the contract says")]
    Answer(#[from] serde_json::Error),
    /// A line of a stream is longer than any event.
    #[error("a line of the stream is too long")]
    LineTooLong,
}

/// A problem (RFC 9457).
#[derive(Debug, thiserror::Error)]
#[error("{}", .problem.detail.as_deref().unwrap_or(&.problem.title))]
#[non_exhaustive]
pub struct ProblemError {
    /// The HTTP status.
    pub status: u16,
    /// The whole document. Its kind is `problem.kind`.
    pub problem: Problem,
    /// The name of the request in the gateway's log.
    pub request_id: Option<String>,
}

impl ProblemError {
    /// Every mistake of the request.
    pub fn violations(&self) -> &[Violation] {
        self.problem.errors.as_deref().unwrap_or_default()
    }
}

/// A post is not from the gateway that has the secret, or is too old.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// A header is missing.
    #[error("the post has no {0}")]
    NoHeader(&'static str),
    /// The time is not now.
    #[error("the post is too old, or the clocks differ")]
    Time,
    /// A secret or a signature is not Base64.
    #[error("a secret or a signature is not Base64")]
    Encoding,
    /// It was signed with another secret, or changed on its way.
    #[error("the signature is not that of the secret")]
    Signature,
    /// The body is no event.
    #[error("the body is not an event")]
    Body(#[from] serde_json::Error),
}
