//! `[sip]`: how agents connect, stay connected and come back.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificates::Authorities;
use super::secret::Secret;
use super::section::Section;

/// How agents behave, whatever their account.
#[derive(Clone, Debug)]
pub struct Sip {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// How long connecting may take: name, TCP, TLS and WebSocket together.
    pub connect_timeout: Duration,
    /// What keeps a connection alive.
    pub keepalive: Keepalive,
    /// How often.
    pub ping_interval: Duration,
    /// How long the answer may take before the connection counts as dead, and how long the server
    /// may read nothing.
    pub pong_timeout: Duration,
    /// The shortest time to stay away after a failure.
    pub recovery_min: Duration,
    /// The longest; not shorter than `recovery_min`.
    pub recovery_max: Duration,
    /// How long a server that failed is left alone before agents come back to it.
    pub server_cooldown: Duration,
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
    pub client_certificate: Option<ClientCertificate>,
    /// Name and value of headers of the WebSocket handshake.
    pub upgrade_headers: Vec<(String, Secret)>,
}

/// What keeps a connection alive and shows that it lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keepalive {
    /// WebSocket pings (RFC 6455 §5.5.2).
    Ping,
    /// A double CRLF, answered by a single one (RFC 5626 §3.5.1).
    Crlf,
    /// Nothing.
    Off,
}

/// What is shown to servers that ask who connects.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and those up to its root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: Arc<PrivateKeyDer<'static>>,
}

/// What a message may have at most: from its headers alone to what one HTTP request can bring.
pub(super) const MAX_MESSAGE: RangeInclusive<usize> = 2048..=16 << 20;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

impl Sip {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let keepalive = [
            ("ping", Keepalive::Ping),
            ("crlf", Keepalive::Crlf),
            ("none", Keepalive::Off),
        ];
        let one_line = |text: &str| {
            let fits = !text.chars().any(char::is_control);
            fits.then(|| text.to_owned())
        };
        let sip = Self {
            user_agent: section
                .text("user_agent", "a text of one line", one_line)
                .unwrap_or_else(|| concat!("sipost/", env!("CARGO_PKG_VERSION")).to_owned()),
            connect_timeout: section.duration("connect_timeout", 10 * MILLISECOND, HOUR),
            keepalive: section.word("keepalive", &keepalive),
            ping_interval: section.duration("ping_interval", 10 * MILLISECOND, HOUR),
            pong_timeout: section.duration("pong_timeout", 10 * MILLISECOND, HOUR),
            recovery_min: section.duration("recovery_min", MILLISECOND, HOUR),
            recovery_max: section.duration("recovery_max", MILLISECOND, 24 * HOUR),
            server_cooldown: section.duration("server_cooldown", MILLISECOND, 24 * HOUR),
            timer_f: section.duration("timer_f", 10 * MILLISECOND, HOUR),
            register_rate: section.integer("register_rate", 1..=100_000),
            max_message: section.size("max_message", MAX_MESSAGE),
            max_frame: section.size("max_frame", 4096..=16 << 20),
            authorities: section.authorities("ca_file"),
            client_certificate: ClientCertificate::read(&mut section),
            upgrade_headers: upgrade_headers(&mut section),
        };
        if sip.recovery_min > sip.recovery_max {
            let problem = "is longer than sip.recovery_max";
            section.wrong("recovery_min", problem, "at most sip.recovery_max");
        }
        section.finish();
        sip
    }
}

impl ClientCertificate {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let has = (
            section.has("client_cert_file"),
            section.has("client_key_file"),
        );
        let certificates = section.certificates("client_cert_file");
        let key = section.private_key("client_key_file");
        if has == (true, false) {
            let accepted = "the key that belongs to client_cert_file";
            section.miss("client_key_file", accepted);
        }
        if has == (false, true) {
            section.miss("client_cert_file", "the certificate of client_key_file");
        }
        let ((_, chain), (_, key)) = certificates.zip(key)?;
        section.check_pair("client_key_file", &chain, &key);
        let key = Arc::new(key);
        Some(Self { chain, key })
    }
}

fn upgrade_headers(section: &mut Section<'_>) -> Vec<(String, Secret)> {
    section.secrets(
        "upgrade_headers",
        "\"Name: value\" with the name and value of an HTTP header that the handshake does not own",
        upgrade_header,
    )
}

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

fn upgrade_header(line: &str) -> Option<(String, Secret)> {
    let (name, value) = line.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    let known = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
    http::HeaderValue::from_str(value).ok()?;
    let ours = HANDSHAKE.contains(&known.as_str());
    (!ours).then(|| (name.to_owned(), Secret::new(value)))
}
