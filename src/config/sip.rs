//! `[sip]`: how agents connect, stay connected and come back.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::certificates::Authorities;
use super::section::Section;
use crate::agent::{Identification, Keepalive, Probe, ReconnectPolicy};

/// How agents behave, whatever their account.
#[derive(Clone, Debug)]
pub struct SipSettings {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// How long connecting may take: name, TCP, TLS and WebSocket together.
    pub connect_timeout: Duration,
    /// How a connection is kept alive.
    pub keepalive: Keepalive,
    /// How long to stay away after failures.
    pub recovery: ReconnectPolicy,
    /// RFC 3261 §17.1.2.2: how long a request waits for its final response.
    pub timer_f: Duration,
    /// Registrations begun in a second, over all agents.
    pub register_rate: u32,
    /// The largest SIP message sent to a server, in bytes.
    pub max_message: usize,
    /// The largest SIP message taken from a server, in bytes.
    pub max_frame: usize,
    /// Certificates to trust beside those of the system.
    pub authorities: Authorities,
    /// What to show servers that ask for a client certificate.
    pub client_certificate: Option<Arc<Identification>>,
    /// Headers of the WebSocket handshake.
    pub upgrade_headers: Vec<(HeaderName, HeaderValue)>,
}

/// What a message may have at most: from its headers alone to what one HTTP request can bring.
pub(super) const MAX_MESSAGE: RangeInclusive<usize> = 2048..=16 << 20;

const PROBES: [(&str, Probe); 3] = [
    ("ping", Probe::Ping),
    ("crlf", Probe::Crlf),
    ("none", Probe::None),
];
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

impl SipSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let sip = Self {
            user_agent: section
                .text("user_agent", "a text of one line", super::account::one_line)
                .unwrap_or_else(|| concat!("sipost/", env!("CARGO_PKG_VERSION")).to_owned()),
            connect_timeout: section.duration("connect_timeout", 10 * MILLISECOND, HOUR),
            keepalive: Keepalive {
                probe: section.word("keepalive", &PROBES),
                interval: section.duration("ping_interval", 10 * MILLISECOND, HOUR),
                timeout: section.duration("pong_timeout", 10 * MILLISECOND, HOUR),
            },
            recovery: ReconnectPolicy {
                min: section.duration("recovery_min", MILLISECOND, HOUR),
                max: section.duration("recovery_max", MILLISECOND, 24 * HOUR),
                cooldown: section.duration("server_cooldown", MILLISECOND, 24 * HOUR),
            },
            timer_f: section.duration("timer_f", 10 * MILLISECOND, HOUR),
            register_rate: section.integer("register_rate", 1..=100_000),
            max_message: section.size("max_message", MAX_MESSAGE),
            max_frame: section.size("max_frame", 4096..=16 << 20),
            authorities: section.authorities("ca_file"),
            client_certificate: client_certificate(&mut section),
            upgrade_headers: section.secrets("upgrade_headers", HEADER, upgrade_header),
        };
        if sip.recovery.min > sip.recovery.max {
            let problem = "is longer than sip.recovery_max";
            section.wrong("recovery_min", problem, "at most sip.recovery_max");
        }
        section.finish();
        sip
    }
}

fn client_certificate(section: &mut Section<'_>) -> Option<Arc<Identification>> {
    let pair = section.certificate_pair("client_cert_file", "client_key_file");
    pair.map(|((_, chain), (_, key))| Arc::new((chain, key)))
}

const HEADER: &str = "\"Name: value\" with the name and value of an HTTP header that the handshake does not set itself";

/// What the handshake itself says (RFC 6455 §4.1), and what would break it.
const HANDSHAKE: [&str; 9] = [
    "host",
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "content-length",
    "transfer-encoding",
];

fn upgrade_header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    super::value::http_header(line).filter(|(name, _)| !HANDSHAKE.contains(&name.as_str()))
}
