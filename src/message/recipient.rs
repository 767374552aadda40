//! Whom a message goes to, and as whom.

use std::sync::Arc;

/// Whom a message goes to, and as whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recipient {
    /// The normalized URI: what the request is addressed to, and the name of the message's lane.
    pub uri: Arc<str>,
    /// The address of record of the account that must send it; `None` when any may.
    pub account: Option<Arc<str>>,
}

/// How large the body of a message may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyRoom {
    /// The bytes that its headers leave of the whole SIP message; `None` when they alone exceed it.
    pub left: Option<usize>,
    /// The bytes of the whole SIP message.
    pub max_message: usize,
    /// The setting that says so.
    pub setting: &'static str,
}

/// Why a target or a sender is not one, with the sentence a client reads.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// `target` cannot be called.
    #[error("{0}")]
    Target(String),
    /// `from` is not an account of ours.
    #[error("{0}")]
    From(String),
}
