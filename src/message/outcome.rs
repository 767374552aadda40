//! How an attempt ended.

use std::time::Duration;

use super::view::ResponseView;

/// How one attempt at sending a message ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The peer gave a final response.
    Answered(Answer),
    /// Nothing was written: the connection was gone before, or the agent gave the message back.
    NotWritten,
    /// Nothing was written: with what the connection adds, the request is larger than it may be.
    TooLarge,
    /// The request was written and no final response came. Whether the peer acted is unknown.
    Unknown(Unknown),
}

impl Outcome {
    /// The code of the final response, or a word for why there was none.
    pub fn code(&self) -> Result<u16, &'static str> {
        match self {
            Self::Answered(answer) => Ok(answer.response.status_code),
            Self::NotWritten => Err("not written"),
            Self::TooLarge => Err("too large"),
            Self::Unknown(Unknown::Disconnected) => Err("disconnected"),
            Self::Unknown(Unknown::Silent) => Err("timeout"),
            Self::Unknown(Unknown::Died) => Err("gateway ended"),
        }
    }
}

/// A final response, as far as a message's fate depends on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The response as events show it.
    pub response: ResponseView,
    /// How long the peer asks us to stay away (RFC 3261 §20.33), from its arrival.
    pub retry_after: Option<Duration>,
    /// Whether the peer did not understand the body in an envelope and was sent the bare one.
    pub is_bare: bool,
}

/// Why it is unknown whether the peer got the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unknown {
    /// The connection was lost with the request in flight.
    Disconnected,
    /// Timer F fired (RFC 3261 §17.1.2.2).
    Silent,
    /// The gateway itself ended with the request in flight, and found it so when it came back.
    Died,
}
