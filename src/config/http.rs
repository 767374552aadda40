//! `[http]`: where clients come in, and how much they may ask.

use std::net::SocketAddr;
use std::time::Duration;

use super::section::Section;

/// How clients are served.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who may call.
    pub auth: Auth,
    /// The largest request, in bytes.
    pub max_request: usize,
    /// The largest batch of messages, in bytes.
    pub max_batch_request: usize,
    /// How long a client may take to send its headers.
    pub header_timeout: Duration,
    /// How long a client may take to send its whole request.
    pub request_timeout: Duration,
    /// How long a connection may stay open with nothing asked.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Event streams at once.
    pub max_streams: usize,
    /// How often a comment keeps an idle event stream alive.
    pub heartbeat: Duration,
}

/// Who may call.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Who shows one of these tokens. Never empty.
    Tokens(Vec<Token>),
    /// Anyone on this machine: no token is configured, and only loopback is listened on.
    Loopback,
    /// Anyone: the operator wrote it out.
    Anyone,
}

/// A token, known by its hash only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// Whose it is, for logs and limits.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: usize = 1 << 20;

impl Http {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let listen = section.address("listen");
        let http = Self {
            listen,
            auth: Auth::read(&mut section, listen),
            max_request: section.size("max_request", 1024..=64 * MIB),
            max_batch_request: section.size("max_batch_request", 1024..=512 * MIB),
            header_timeout: section.duration("header_timeout", SECOND, HOUR),
            request_timeout: section.duration("request_timeout", SECOND, HOUR),
            idle_timeout: section.duration("idle_timeout", SECOND, 24 * HOUR),
            max_connections: section.size("max_connections", 1..=1_000_000),
            max_streams: section.size("max_streams", 0..=1_000_000),
            heartbeat: section.duration("heartbeat", SECOND, HOUR),
        };
        section.finish();
        http
    }
}

impl Auth {
    fn read(section: &mut Section<'_>, listen: SocketAddr) -> Self {
        let open = section.word("auth", &[("token", false), ("none", true)]);
        let mut tokens: Vec<Token> = Vec::new();
        for table in section
            .tables("tokens", None, Some("sha256"))
            .unwrap_or_default()
        {
            if let Some(token) = Token::read(table) {
                if tokens.iter().any(|other| other.name == token.name) {
                    section.wrong("tokens", "two tokens have the same name", "different names");
                }
                tokens.push(token);
            }
        }
        match (open, tokens.is_empty()) {
            (false, false) => return Self::Tokens(tokens),
            (false, true) if listen.ip().is_loopback() => return Self::Loopback,
            (false, true) => section.wrong(
                "listen",
                "without http.tokens, others could send messages through this address",
                "a loopback address, or http.tokens, or http.auth = \"none\"",
            ),
            (true, true) => {}
            (true, false) => section.wrong(
                "auth",
                "\"none\" would not ask for the tokens that are configured",
                "\"token\", or no tokens",
            ),
        }
        Self::Anyone
    }
}

impl Token {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let name = section.required_text("name", "a text", |text| Some(text.to_owned()));
        let accepted = "the SHA-256 of the token, 64 hexadecimal digits";
        if !section.has("sha256") && !section.has("sha256_file") {
            section.miss("sha256", accepted);
        }
        let sha256 = section.secret_text("sha256", "sha256_file", accepted, sha256);
        section.finish();
        Some(Self {
            name: name?,
            sha256: sha256?,
        })
    }
}

/// 64 hexadecimal digits.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}
