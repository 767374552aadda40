//! What a draft must know of accounts and addresses, without knowing how SIP writes them.

use std::sync::Arc;

/// Whom a message goes to, and as whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recipient {
    /// The normalized URI: what the request is addressed to, and the name of the message's lane.
    pub uri: Arc<str>,
    /// The address of record of the account that must send it; `None` when any may.
    pub account: Option<Arc<str>>,
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

    /// The account of this address, in the spelling of the configuration.
    fn account(&self, from: &str) -> Option<Arc<str>>;
}
