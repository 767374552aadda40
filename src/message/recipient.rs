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

/// Whether two normalized SIP URIs are of the same user at the same host. Neither the port nor the
/// parameters of a request's target are part of the address that its user answers from.
pub fn is_same_user(one: &str, other: &str) -> bool {
    address(one) == address(other)
}

fn address(uri: &str) -> (Option<&str>, &str) {
    let (_, address) = uri.split_once(':').unwrap_or(("", uri));
    let (user, host) = match address.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, address),
    };
    let host = host.split([';', '?']).next().unwrap_or_default();
    // The colons of an IPv6 address are in brackets.
    let host = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    (user, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_answers_from_the_address_of_the_target_without_port_and_parameters() {
        for (target, sender, is_same) in [
            ("sip:bob@example.com", "sip:bob@example.com", true),
            ("sips:bob@example.com:5061", "sip:bob@example.com", true),
            (
                "sip:bob@example.com;transport=ws",
                "sip:bob@example.com",
                true,
            ),
            ("sip:bob@[2001:db8::1]:5060", "sip:bob@[2001:db8::1]", true),
            ("sip:bob@example.com", "sip:Bob@example.com", false),
            ("sip:bob@example.com", "sip:bob@example.org", false),
            ("sip:bob@example.com", "sip:example.com", false),
            ("sip:bob;x=y@example.com", "sip:bob@example.com", false),
            ("sip:bob@[2001:db8::1]", "sip:bob@[2001:db8::2]", false),
        ] {
            assert_eq!(is_same_user(target, sender), is_same, "{target} {sender}");
        }
    }
}
