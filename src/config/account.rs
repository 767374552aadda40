//! `[[account]]`: the addresses we send as, and the servers that know them.

use std::sync::Arc;
use std::time::Duration;

use config::{Value, ValueKind};
use url::Url;

use super::findings::Findings;
use super::mask::masked;
use super::section::Section;
use super::sip::MAX_MESSAGE;
use super::value;
use crate::agent::WeightedServer;
use crate::message::Header;
use crate::sip::digest::Credentials;
use crate::sip::uri::{Scheme, Uri};

/// One address of record with its credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// From of what it sends: a `sip:` URI with a user, and no parameters but `user=phone`.
    pub uri: Uri,
    /// The display name in From.
    pub display_name: Option<String>,
    /// What digest authentication is answered with; `None`: a challenge cannot be answered.
    pub credentials: Option<Credentials>,
    /// Whether agents register with outbound (RFC 5626).
    pub outbound: bool,
    /// Whether messages that come in are taken.
    pub receive: bool,
    /// Registered user agents of this account.
    pub connections: u32,
    /// Where they connect to. Never empty.
    pub servers: Arc<[WeightedServer]>,
    /// How long a registration is asked to last.
    pub register_expires: Duration,
    /// Where REGISTER goes (RFC 3261 §10.2): a `sip:` URI without a user.
    pub registrar: Uri,
    /// Headers in every MESSAGE.
    pub extra_headers: Vec<Header>,
    /// Messages a second; `None` for no limit.
    pub rate: Option<f64>,
    /// Open transactions of one agent.
    pub in_flight: u32,
    /// The largest SIP message it sends, in bytes; `None` for `sip.max_message`.
    pub max_message: Option<usize>,
}

const ONE_LINE: &str = "a text of one line";
const SECOND: Duration = Duration::from_secs(1);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// Every account, each with an address of its own.
pub(super) fn read_all(value: Option<Value>, findings: &Findings) -> Vec<Account> {
    let sections = Section::list("account", value, findings);
    let mut accounts: Vec<Account> = Vec::with_capacity(sections.len());
    for section in sections {
        let name = section.name().to_owned();
        let Some(account) = Account::read(section) else {
            continue;
        };
        let address = account.uri.address_of_record();
        if accounts
            .iter()
            .any(|other| other.uri.address_of_record() == address)
        {
            let problem = "another account has this address";
            findings.wrong(&format!("{name}.uri"), problem, "an address of its own");
        }
        accounts.push(account);
    }
    accounts
}

/// The addresses of all accounts, which are not read yet.
pub(super) fn addresses(accounts: Option<&Value>) -> Vec<Uri> {
    let address = |account: &Value| match &account.kind {
        ValueKind::Table(keys) => address_of_record(value::text_of(keys.get("uri")?)?),
        _ => None,
    };
    match accounts.map(|accounts| &accounts.kind) {
        Some(ValueKind::Array(accounts)) => accounts.iter().filter_map(address).collect(),
        _ => Vec::new(),
    }
}

impl Account {
    /// Whether agents of both behave alike: how many there are, and how much they send together,
    /// makes no difference to one.
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
        let mut section = section.with_defaults([
            ("connections", 1.into()),
            ("register_expires", "10m".into()),
            ("outbound", true.into()),
            ("receive", true.into()),
            ("in_flight", 64.into()),
        ]);
        let accepted = "a SIP URI with a user, such as \"sip:alice@example.com\"";
        let uri = section.required_text("uri", accepted, address_of_record);
        let display_name = section.text("display_name", ONE_LINE, one_line);
        let credentials = credentials(&mut section, uri.as_ref());
        let connections = section.integer("connections", 1..=10_000);
        let servers = servers(&mut section);
        let register_expires = section.duration("register_expires", 10 * SECOND, WEEK);
        let accepted = "a SIP URI without a user, such as \"sip:example.com\"";
        let registrar = section.text("registrar", accepted, registrar);
        let accepted = "\"Name: value\" with a header that sipost does not write itself";
        let header = |line: &str| Header::parse(line).ok();
        let extra_headers = section.texts("extra_headers", accepted, header);
        let outbound = section.flag("outbound");
        let receive = section.flag("receive");
        let rate = section.positive("rate");
        let in_flight = section.integer("in_flight", 1..=100_000);
        let max_message = section.optional_size("max_message", MAX_MESSAGE);
        section.finish();

        let uri = uri?;
        Some(Self {
            display_name,
            credentials,
            outbound,
            receive,
            connections,
            servers,
            register_expires,
            registrar: registrar.unwrap_or_else(|| uri.registrar()),
            extra_headers,
            rate,
            in_flight,
            max_message,
            uri,
        })
    }

    /// The user of its address, without escapes.
    pub fn user(&self) -> String {
        user(&self.uri)
    }
}

fn user(uri: &Uri) -> String {
    let user = uri.user_unescaped().unwrap_or_default();
    String::from_utf8_lossy(&user).into_owned()
}

fn credentials(section: &mut Section<'_>, uri: Option<&Uri>) -> Option<Credentials> {
    let username = section.text("authorization_user", ONE_LINE, one_line);
    let username = username.unwrap_or_else(|| uri.map(user).unwrap_or_default());
    let password = section.secret("password", ONE_LINE, password);
    let accepted = "32 hexadecimal digits (MD5) or 64 (SHA-256, SHA-512-256)";
    let ha1 = section.secret("ha1", accepted, |text| {
        // Whatever the realm is, which is read after it.
        Credentials::ha1(username.as_str(), "", text).ok()
    });
    let realm = section.text("realm", ONE_LINE, one_line);
    let realms = realms(section);
    let has_realm = realm.is_some();
    let credentials = match (password, ha1, realm) {
        (Some(_), Some(_), _) => {
            section.wrong("ha1", "password is set as well", "one of them");
            None
        }
        (Some(password), None, None) => {
            Some(Credentials::password(username, password).also_for(&realms))
        }
        (Some(password), None, Some(realm)) => {
            Some(Credentials::password(username, password).only_for(realm))
        }
        (None, Some(ha1), Some(realm)) => Some(ha1.only_for(realm)),
        (None, Some(_), None) => {
            section.miss("realm", "the realm that ha1 was made for");
            None
        }
        (None, None, Some(_)) => {
            section.wrong("realm", "needs a secret", "password or ha1 beside it");
            None
        }
        (None, None, None) => None,
    };
    if has_realm && credentials.is_some() && !realms.is_empty() {
        section.wrong("realms", "realm is set as well", REALMS);
    }
    credentials
}

/// A challenge is compared with each realm.
const MAX_REALMS: usize = 16;
const REALMS: &str = "at most 16 texts of one line, and none beside realm";

/// Realms that are answered besides the registrar's and the domain.
fn realms(section: &mut Section<'_>) -> Vec<String> {
    let realms = section.texts("realms", REALMS, one_line);
    if realms.len() > MAX_REALMS {
        section.wrong("realms", "has too many", REALMS);
    }
    realms
}

fn servers(account: &mut Section<'_>) -> Arc<[WeightedServer]> {
    let accepted = "at least one server, such as [{ url = \"wss://example.com/ws\", weight = 10 }]";
    if !account.has("servers") {
        account.miss("servers", accepted);
    }
    let tables = account.tables(
        "servers",
        Some("url"),
        &[],
        "{ url = \"wss://example.com/ws\" }",
    );
    if tables.as_ref().is_some_and(Vec::is_empty) {
        account.wrong("servers", "names no server", accepted);
    }
    let tables = tables.unwrap_or_default().into_iter();
    tables.filter_map(server).collect()
}

fn server(section: Section<'_>) -> Option<WeightedServer> {
    let mut section = section.with_defaults([("weight", 0.into())]);
    let accepted = "a ws or wss URL with a host, without user name and fragment";
    let url = section.required_text("url", accepted, websocket_url);
    let weight = section.integer("weight", 0..=65_535);
    section.finish();
    let url = url?;
    Some(WeightedServer {
        shown: masked(url.as_str()).into(),
        url,
        weight,
    })
}

/// RFC 6455 §3. The scheme is written in any case.
fn websocket_url(text: &str) -> Option<Url> {
    // The parser would take `ws:host` for `ws://host`.
    let (_, rest) = text.split_once("://")?;
    let url = Url::parse(text).ok()?;
    let fits = matches!(url.scheme(), "ws" | "wss")
        && !rest.starts_with('/')
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.port() != Some(0);
    fits.then_some(url)
}

pub(super) fn password(text: &str) -> Option<String> {
    (!text.contains(['\r', '\n', '\0'])).then(|| text.to_owned())
}

pub(super) fn one_line(text: &str) -> Option<String> {
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// Reads `sip:user@host[:port][;user=phone]`; as in JsSIP the scheme may be left out. Some
/// registrars want `user=phone` in From and To of a number; anything else would leak into requests.
pub(super) fn address_of_record(text: &str) -> Option<Uri> {
    let uri = bare(text)?;
    let fits = uri.params().all(|param| param == ("user", Some("phone")));
    (fits && uri.params().count() <= 1 && uri.user().is_some()).then_some(uri)
}

/// Reads `sip:host[:port]`; the scheme may be left out.
fn registrar(text: &str) -> Option<Uri> {
    let uri = bare(text)?;
    (uri.params().next().is_none() && uri.user().is_none()).then_some(uri)
}

/// A `sip:` URI without password and headers.
fn bare(text: &str) -> Option<Uri> {
    let has_scheme = |scheme: &str| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let uri = if has_scheme("sip:") || has_scheme("sips:") {
        Uri::parse(text)
    } else {
        Uri::parse(&format!("sip:{text}"))
    };
    let uri = uri.ok()?;
    let fits =
        uri.scheme() == Scheme::Sip && uri.password().is_none() && uri.headers().next().is_none();
    fits.then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_record_has_a_user_and_a_host() {
        let address = address_of_record("SIP:Alice@Example.COM:5062").unwrap();
        assert_eq!(address.as_str(), "sip:Alice@example.com:5062");
        assert_eq!(
            (user(&address), address.host_and_port()),
            ("Alice".to_owned(), "example.com:5062")
        );
        for text in [
            "alice@example.com",
            "sip:a%20b@[2001:db8::1]",
            "sip:+1;x=y@192.0.2.1",
        ] {
            assert!(address_of_record(text).is_some(), "{text}");
        }
    }

    #[test]
    fn an_address_of_record_may_say_that_it_is_a_number() {
        let address = address_of_record("sip:+4930@example.com;User=Phone").unwrap();
        assert_eq!(address.as_str(), "sip:+4930@example.com;user=phone");
        assert_eq!(
            (user(&address), address.host_and_port()),
            ("+4930".to_owned(), "example.com")
        );
        assert_eq!(address.registrar().as_str(), "sip:example.com");
        let plain = address_of_record("sip:+4930@example.com").unwrap();
        assert!(address.address_of_record() == plain.address_of_record() && plain != address);
        for text in [
            "sip:+4930@example.com;user=ip",
            "sip:+4930@example.com;user",
            "sip:+4930@example.com;user=phone;lr",
            "sip:+4930@example.com;user=phone;user=phone",
        ] {
            assert_eq!(address_of_record(text), None, "{text}");
        }
        assert_eq!(registrar("sip:example.com;user=phone"), None);
    }

    #[test]
    fn what_would_leak_into_requests_is_refused() {
        for text in [
            "",
            "sip:",
            "sip:example.com",
            "sip:@example.com",
            "sip:alice@",
            "sips:alice@example.com",
            "tel:+15551234",
            "sip:alice:secret@example.com",
            "sip:alice@example.com;transport=ws",
            "sip:alice@example.com?Subject=x",
            "sip:alice@example.com:0",
            "sip:alice@example.com:65536",
            "sip:alice@example.com:+1",
            "sip:a%zz@example.com",
            "sip:a b@example.com",
            "<sip:alice@example.com>",
            "sip:alice@exa mple.com",
            "sip:alice@grüße.example",
            "sip:alice@-a.example",
            "sip:alice@1.2.3.444",
            "sip:alice@[::g]",
        ] {
            assert_eq!(address_of_record(text), None, "{text}");
        }
    }

    #[test]
    fn a_registrar_has_no_user() {
        let uri = registrar("sip:Example.com:5060").unwrap();
        assert_eq!(uri.as_str(), "sip:example.com:5060");
        for text in [
            "",
            "sip:",
            "sips:example.com",
            "sip:alice@example.com",
            "sip:a.b;lr",
        ] {
            assert_eq!(registrar(text), None, "{text}");
        }
        let address = address_of_record("sip:alice@example.com:5070").unwrap();
        assert_eq!(address.registrar().as_str(), "sip:example.com:5070");
    }
}
