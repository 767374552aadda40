//! What a user agent is.

use std::time::Duration;

use crate::sip::digest::Credentials;
use crate::sip::parse::Limits;
use crate::sip::registration::Policy;

/// What a user agent is, fixed for its life.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address of record, as a URI.
    pub aor: String,
    /// The From header's address: `"Alice" <sip:alice@example.com>`.
    pub from: String,
    /// Where it registers, as a URI without a user.
    pub registrar: String,
    /// The user part of its Contact; random, so that nobody reaches it but through its registrar.
    pub contact_user: String,
    /// What stands in Via and Contact for the host it does not have: `….invalid` (RFC 7118 §5).
    pub via_host: String,
    /// Its instance id, a UUID (RFC 5626 §4.1).
    pub instance_id: String,
    /// Which of the instance's flows this is, from 1 (RFC 5626 §4.2).
    pub reg_id: u32,
    /// Whether it registers with outbound (RFC 5626) at first.
    pub outbound: bool,
    /// How it registers.
    pub registration: Policy,
    /// The User-Agent header.
    pub user_agent: String,
    /// Headers added to every request.
    pub extra_headers: Vec<(String, String)>,
    /// The media types of messages that somebody takes, as in an Accept header. With none of them
    /// nobody does, and a MESSAGE that comes in is answered 405.
    pub accepts: Vec<String>,
    /// What it answers challenges with.
    pub credentials: Option<Credentials>,
    /// How long a request may go without a final response (RFC 3261 §17.1.2.2).
    pub timer_f: Duration,
    /// How large a request of [`UserAgent::send`](super::UserAgent::send) may be, in bytes.
    pub max_message: usize,
    /// How much is read at most.
    pub limits: Limits,
}

impl Settings {
    /// The host of our address of record.
    pub(super) fn domain(&self) -> &str {
        let (_, rest) = self.aor.split_once(':').unwrap_or_default();
        let hostport = rest.rsplit_once('@').map_or(rest, |(_, hostport)| hostport);
        let end = match hostport.starts_with('[') {
            true => hostport.find(']').map_or(hostport.len(), |at| at + 1),
            false => hostport.find([':', ';']).unwrap_or(hostport.len()),
        };
        &hostport[..end]
    }

    /// Whether this is the user of our address of record or of our Contact. The host of a
    /// Request-URI says nothing: a registrar may write its own, or our invalid one.
    pub(crate) fn is_user(&self, user: &str) -> bool {
        let aor_user = self
            .aor
            .split_once(':')
            .and_then(|(_, rest)| rest.split_once('@'))
            .map(|(user, _)| user);
        user == self.contact_user || aor_user == Some(user)
    }
}

/// The two transports of RFC 7118.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Plain.
    Ws,
    /// Over TLS.
    Wss,
}

impl Transport {
    /// As Via names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }
}
