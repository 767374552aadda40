//! A response that was taken out of its frame, for whoever needs it longer.

use std::time::Duration;

use super::headers::retry_after;
use super::parse::{Message, StartLine};
use super::{StatusCode, parse};

/// A final response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// The code.
    pub status: StatusCode,
    /// As the peer wrote it; bytes that are not UTF-8 are replaced.
    pub reason: String,
    /// Long names and values, in the order of the wire.
    pub headers: Vec<(String, String)>,
}

impl Response {
    /// Takes a response out of its frame. A request has no status and is read as a 500 of ours,
    /// which nobody asks for.
    pub fn of(message: &Message<'_>) -> Self {
        let (status, reason) = match message.start {
            StartLine::Response { status, reason } => (status, parse::text(reason)),
            StartLine::Request { .. } => (StatusCode::SERVER_INTERNAL_ERROR, String::new()),
        };
        Self {
            status,
            reason,
            headers: message.header_texts(),
        }
    }

    /// How long the peer asks us to stay away (RFC 3261 §20.33).
    pub fn retry_after(&self) -> Option<Duration> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("Retry-After"))?;
        retry_after(value)
    }
}
