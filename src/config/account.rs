//! `[[account]]`: the addresses we send as, and the servers that know them.

use std::time::Duration;

use super::address::{AddressOfRecord, Registrar};
use super::secret::Secret;
use super::section::Section;
use super::sip::MAX_MESSAGE;
use crate::message::Header;

/// One address of record with its credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// From of what it sends.
    pub uri: AddressOfRecord,
    /// The display name in From.
    pub display_name: Option<String>,
    /// The user name in digest authentication.
    pub authorization_user: String,
    /// What digest authentication is answered with.
    pub credentials: Credentials,
    /// Realms that are answered besides the registrar's and the domain.
    pub realms: Vec<String>,
    /// Whether agents register with outbound (RFC 5626).
    pub outbound: bool,
    /// Registered user agents of this account.
    pub connections: u32,
    /// Where they connect to. Never empty.
    pub servers: Vec<Server>,
    /// How long a registration is asked to last.
    pub register_expires: Duration,
    /// Where REGISTER goes.
    pub registrar: Registrar,
    /// Headers in every MESSAGE.
    pub extra_headers: Vec<Header>,
    /// Messages a second; `None` for no limit.
    pub rate: Option<f64>,
    /// Open transactions of one agent.
    pub in_flight: u32,
    /// The largest SIP message it sends, in bytes; `None` for `sip.max_message`.
    pub max_message: Option<usize>,
}

/// What digest authentication is answered with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credentials {
    /// Nothing: a challenge cannot be answered.
    None,
    /// The password, for one realm or for each that may be answered.
    Password {
        /// As it is typed.
        password: Secret,
        /// Byte for byte as the challenge says it.
        realm: Option<String>,
    },
    /// The hash of user name, realm and password, for this realm only.
    Ha1 {
        /// 32 hexadecimal digits (MD5) or 64 (SHA-256, SHA-512-256), in lower case.
        ha1: Secret,
        /// Byte for byte as the challenge says it.
        realm: String,
    },
}

/// A SIP WebSocket server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// `ws` or `wss`, with a host, without user information and fragment.
    pub url: url::Url,
    /// Heavier ones are used first.
    pub weight: u32,
}

const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

impl Account {
    /// Whether agents need not know the difference: how many there are and how much they send all
    /// together is not theirs to know.
    pub fn is_same_for_agents(&self, other: &Self) -> bool {
        let alike = Self {
            connections: other.connections,
            rate: other.rate,
            ..self.clone()
        };
        alike == *other
    }

    /// Reads an account; `None` when something it cannot do without is missing or wrong.
    pub(super) fn read(section: Section<'_>) -> Option<Self> {
        let mut section = section.or([
            ("connections", 1.into()),
            ("register_expires", "10m".into()),
            ("outbound", true.into()),
            ("in_flight", 64.into()),
        ]);
        let accepted = "a SIP URI with a user, such as \"sip:alice@example.com\"";
        let uri = section.required_text("uri", accepted, AddressOfRecord::parse);
        let display_name = section.text("display_name", "a text of one line", one_line);
        let authorization_user = section.text("authorization_user", "a text of one line", one_line);
        let credentials = Credentials::read(&mut section);
        let realms = realms(&mut section, &credentials);
        let connections = section.integer("connections", 1..=10_000);
        let servers = Server::read_list(&mut section);
        let register_expires = section.duration("register_expires", 10 * SECOND, WEEK);
        let accepted = "a SIP URI without a user, such as \"sip:example.com\"";
        let registrar = section.text("registrar", accepted, Registrar::parse);
        let extra_headers = extra_headers(&mut section);
        let outbound = section.flag("outbound");
        let rate = section.positive("rate");
        let in_flight = section.integer("in_flight", 1..=100_000);
        let max_message = section.optional_size("max_message", MAX_MESSAGE);
        section.finish();

        let uri = uri?;
        Some(Self {
            display_name,
            authorization_user: authorization_user.unwrap_or_else(|| uri.user()),
            credentials,
            realms,
            outbound,
            connections,
            servers,
            register_expires,
            registrar: registrar.unwrap_or_else(|| Registrar::of(&uri)),
            extra_headers,
            rate,
            in_flight,
            max_message,
            uri,
        })
    }
}

impl Credentials {
    fn read(section: &mut Section<'_>) -> Self {
        let password = section.secret("password", "a text of one line", password);
        let accepted = "32 hexadecimal digits (MD5) or 64 (SHA-256, SHA-512-256)";
        let ha1 = section.secret("ha1", accepted, |text| {
            let fits = matches!(text.len(), 32 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
            fits.then(|| Secret::new(text.to_ascii_lowercase()))
        });
        let realm = section.text("realm", "a text of one line", one_line);
        match (password, ha1, realm) {
            (Some(_), Some(_), _) => {
                section.wrong("ha1", "password is set as well", "one of them");
                Self::None
            }
            (Some(password), None, realm) => Self::Password { password, realm },
            (None, Some(ha1), Some(realm)) => Self::Ha1 { ha1, realm },
            (None, Some(_), None) => {
                section.miss("realm", "the realm that ha1 was made for");
                Self::None
            }
            (None, None, Some(_)) => {
                section.wrong("realm", "needs a secret", "password or ha1 beside it");
                Self::None
            }
            (None, None, None) => Self::None,
        }
    }
}

impl Server {
    fn read_list(account: &mut Section<'_>) -> Vec<Self> {
        let accepted =
            "at least one server, such as [{ url = \"wss://example.com/ws\", weight = 10 }]";
        if !account.has("servers") {
            account.miss("servers", accepted);
        }
        let tables = account.tables("servers", Some("url"), &[]);
        if tables.as_ref().is_some_and(Vec::is_empty) {
            account.wrong("servers", "names no server", accepted);
        }
        let tables = tables.unwrap_or_default();
        tables.into_iter().filter_map(Self::read).collect()
    }

    fn read(section: Section<'_>) -> Option<Self> {
        let mut section = section.or([("weight", 0.into())]);
        let accepted = "a ws or wss URL with a host, without user name and fragment";
        let url = section.required_text("url", accepted, websocket_url);
        let weight = section.integer("weight", 0..=65_535);
        section.finish();
        Some(Self { url: url?, weight })
    }

    /// Whether the connection is over TLS.
    pub fn is_secure(&self) -> bool {
        self.url.scheme() == "wss"
    }
}

/// A text of one line.
pub(super) fn password(text: &str) -> Option<Secret> {
    (!text.contains(['\r', '\n', '\0'])).then(|| Secret::new(text))
}

fn one_line(text: &str) -> Option<String> {
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// Realms are few: a challenge is compared with each.
const MAX_REALMS: usize = 16;

fn realms(section: &mut Section<'_>, credentials: &Credentials) -> Vec<String> {
    let accepted = "at most 16 texts of one line, and none beside realm";
    let realms = section.texts("realms", accepted, one_line);
    if realms.len() > MAX_REALMS {
        section.wrong("realms", "has too many", accepted);
    }
    let names_one = matches!(
        credentials,
        Credentials::Ha1 { .. } | Credentials::Password { realm: Some(_), .. }
    );
    if names_one && !realms.is_empty() {
        section.wrong("realms", "realm is set, and is the only one", accepted);
    }
    realms
}

fn extra_headers(section: &mut Section<'_>) -> Vec<Header> {
    let accepted = "\"Name: value\" with a header that sipost does not write itself";
    section.texts("extra_headers", accepted, |line| Header::parse(line).ok())
}

/// RFC 6455 §3. The scheme is written in any case.
fn websocket_url(text: &str) -> Option<url::Url> {
    // The parser would take `ws:host` for `ws://host`.
    let (_, rest) = text.split_once("://")?;
    let url = url::Url::parse(text).ok()?;
    let fits = matches!(url.scheme(), "ws" | "wss")
        && !rest.starts_with('/')
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.port() != Some(0);
    fits.then_some(url)
}
