//! The settings of a user agent.

use std::time::Duration;

use super::content::essence;
use super::digest::Credentials;
use super::parse::ParseLimits;
use super::registration::Policy;
use super::uri::Uri;
use super::{StatusCode, cpim, imdn};

/// The settings of a user agent, fixed for its life.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address of record.
    pub aor: Uri,
    /// The From header's address: `"Alice" <sip:alice@example.com>`.
    pub from: String,
    /// Where it registers, as a URI without a user.
    pub registrar: String,
    /// The user part of its Contact; random, so that it is reached through its registrar only.
    pub contact_user: String,
    /// The host in Via and Contact: `….invalid`, as a WebSocket client has none (RFC 7118 §5).
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
    /// How it takes messages; without, a MESSAGE that comes in is answered 405.
    pub receive: Option<ReceiveSettings>,
    /// What it answers challenges with.
    pub credentials: Option<Credentials>,
    /// How long a request may go without a final response (RFC 3261 §17.1.2.2).
    pub timer_f: Duration,
    /// The largest request of [`UserAgent::send`](super::UserAgent::send), in bytes.
    pub max_message: usize,
    /// The largest frame that is read.
    pub limits: ParseLimits,
}

/// How messages are taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReceiveSettings {
    /// The media ranges that are taken, as in an Accept header: `text/plain`, `image/*`, `*/*`.
    /// Receipts are always taken.
    pub accepts: Vec<String>,
    /// The largest body, in bytes, when it is decoded.
    pub max_body: usize,
    /// What a message that was taken is answered with: 202 or 200 (RFC 3428 §7).
    pub answer: StatusCode,
    /// Whether P-Asserted-Identity of this server is to be believed (RFC 3325 §7).
    pub trust_asserted: bool,
}

impl Default for ReceiveSettings {
    /// Everything, up to 64 KiB.
    fn default() -> Self {
        Self {
            accepts: vec!["*/*".to_owned()],
            max_body: 64 * 1024,
            answer: StatusCode::ACCEPTED,
            trust_asserted: false,
        }
    }
}

impl ReceiveSettings {
    /// Whether messages of this type are taken, whatever its parameters are.
    pub(super) fn accepts(&self, content_type: &str) -> bool {
        let given = essence(content_type);
        let kind = given.split('/').next().unwrap_or_default().trim();
        self.accepts
            .iter()
            .map(|range| essence(range))
            .any(|range| match range.strip_suffix("/*") {
                Some("*") => true,
                Some(accepted) => accepted.eq_ignore_ascii_case(kind),
                None => range.eq_ignore_ascii_case(given),
            })
    }

    /// The value of Accept: the listed types, and those that are taken besides.
    pub(super) fn accept(&self) -> String {
        let always = [cpim::MEDIA_TYPE, imdn::MEDIA_TYPE];
        let more = always.into_iter().filter(|known| !self.accepts(known));
        let all: Vec<_> = self
            .accepts
            .iter()
            .map(String::as_str)
            .chain(more)
            .collect();
        all.join(", ")
    }
}

/// RFC 3261 §17.1.2.2: Timer F is 64 × T1, and T1 is half a second (§17.1.1.1).
const TIMER_F: Duration = Duration::from_millis(500 * 64);

impl Settings {
    /// A user agent of this address of record that registers with outbound and has no credentials.
    /// `contact_user` is random.
    pub fn new(aor: Uri, contact_user: &str, instance_id: &str) -> Self {
        Self {
            from: format!("<{aor}>"),
            registrar: aor.registrar().as_str().to_owned(),
            aor,
            contact_user: contact_user.to_owned(),
            via_host: format!("{contact_user}.invalid"),
            instance_id: instance_id.to_owned(),
            reg_id: 1,
            outbound: true,
            registration: Policy {
                expires: Duration::from_secs(600),
                retry_min: Duration::from_secs(2),
                retry_max: Duration::from_secs(30),
            },
            user_agent: "sipost".to_owned(),
            extra_headers: Vec::new(),
            receive: None,
            credentials: None,
            timer_f: TIMER_F,
            max_message: 1 << 20,
            limits: ParseLimits::default(),
        }
    }

    /// Whether this is the user of our address of record or of our Contact. The host of a
    /// Request-URI says nothing: a registrar may write its own, or our invalid one.
    pub(super) fn is_user(&self, user: &str) -> bool {
        user == self.contact_user || self.aor.user() == Some(user)
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
