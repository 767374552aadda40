//! What a draft must know of accounts and addresses, without knowing how SIP writes them.

use std::sync::Arc;

use super::header::Header;

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

/// Turns what a client writes into a [`Recipient`]. The side that speaks SIP provides it.
pub trait Addressing: Send + Sync {
    /// Normalizes `target`; `from`, when given, must be a configured account. A bare user name
    /// takes the domain of `from`, else that of the first account.
    fn resolve(&self, target: &str, from: Option<&str>) -> Result<Recipient, AddressError>;

    /// How large the body may be of a message to `recipient` with these headers; where any account
    /// may send it, for the one with the least room.
    fn body_room(&self, recipient: &Recipient, headers: &[Header], content_type: &str) -> BodyRoom;

    /// The account of this address, in the spelling of the configuration.
    fn account(&self, from: &str) -> Option<Arc<str>>;
}
