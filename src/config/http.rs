//! `[http]`: where clients come in, and how much they may ask.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::auth::Auth;
use super::section::Section;
use super::{units, value};

/// How clients are served.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who may call.
    pub auth: Auth,
    /// The names, in lower case, that the gateway is called by while no token is configured.
    pub hosts: Vec<String>,
    /// The networks of proxies that are believed about where a request comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// Where these proxies write it.
    pub proxy_header: ProxyHeader,
    /// The origins of pages that may call; empty for none but our own.
    pub cors_origins: Vec<Origin>,
    /// What is shown to clients; `None` for plain HTTP.
    pub tls: Option<HttpTls>,
    /// Whether `/metrics` is given to anyone.
    pub open_metrics: bool,
    /// Requests a second that one address may send without a token that is known; more are
    /// answered with 429.
    pub refused_rate: u32,
    /// The largest request, in bytes.
    pub max_request: usize,
    /// The largest batch of messages, in bytes.
    pub max_batch_request: usize,
    /// Bytes of bodies in memory at once, over all clients.
    pub max_bodies: usize,
    /// How long a client may take to send its first byte, and the headers of a request.
    pub header_timeout: Duration,
    /// How long a client may take to send its whole request.
    pub request_timeout: Duration,
    /// How long a connection may stay open with nothing asked.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections of one address at once.
    pub max_connections_per_address: usize,
    /// Event streams at once.
    pub max_streams: usize,
    /// How often a comment keeps an idle event stream alive.
    pub heartbeat: Duration,
}

/// In which header proxies say where a request comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

const PROXY_HEADERS: [(&str, ProxyHeader); 2] = [
    ("x-forwarded-for", ProxyHeader::XForwardedFor),
    ("forwarded", ProxyHeader::Forwarded),
];
/// The files of the certificate that clients are shown, both PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpTls {
    /// The certificate and those up to its root, ours first.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

impl HttpTls {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let has = (section.has("certificate_file"), section.has("key_file"));
        let certificate = section.certificates("certificate_file");
        let key = section.private_key("key_file");
        if has == (true, false) {
            section.miss("key_file", "the key that belongs to certificate_file");
        }
        if has == (false, true) {
            section.miss("certificate_file", "the certificate of key_file");
        }
        let read = certificate.zip(key);
        if let Some(((_, certificates), (_, key))) = &read {
            section.check_pair("key_file", certificates, key);
        }
        section.finish();
        let ((certificate_file, _), (key_file, _)) = read?;
        Some(Self {
            certificate_file,
            key_file,
        })
    }
}

/// The origin of a page (RFC 6454).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Any there is, written `*`.
    Any,
    /// This one, as browsers write it: `https://app.example`.
    One(String),
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let url = url::Url::parse(text).ok()?;
        let origin = url.origin();
        let is_whole = origin.is_tuple() && matches!(url.path(), "" | "/");
        let is_bare = url.query().is_none() && url.fragment().is_none();
        (is_whole && is_bare).then(|| Self::One(origin.ascii_serialization()))
    }
}

/// Reads a name or an address, without a port.
fn parse_host(text: &str) -> Option<String> {
    let host = url::Host::parse(text.strip_suffix('.').unwrap_or(text)).ok()?;
    Some(match host {
        url::Host::Ipv6(address) => address.to_string(),
        url::Host::Domain(_) | url::Host::Ipv4(_) => host.to_string(),
    })
}

const COUNT: &str = "a number, at least 1";
const HOST: &str = "a host name or an address without a port, such as \"gateway.lan\"";
const ORIGIN: &str = "an origin such as \"https://app.example\", or \"*\"";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: usize = 1 << 20;

impl Http {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let listen = section.address("listen");
        let max_connections = section.size("max_connections", 1..=1_000_000);
        let per_address = section.optional("max_connections_per_address", COUNT, |value| {
            let count = usize::try_from(value::whole_number(value)?).ok();
            count.filter(|count| *count > 0)
        });
        let http = Self {
            listen,
            auth: Auth::read(&mut section, listen),
            hosts: section.texts("hosts", HOST, parse_host),
            trusted_proxies: section.texts("trusted_proxies", units::NETWORK, units::parse_network),
            proxy_header: section.word("proxy_header", &PROXY_HEADERS),
            cors_origins: section.texts("cors_origins", ORIGIN, Origin::parse),
            open_metrics: section.word("metrics_auth", &[("token", false), ("none", true)]),
            refused_rate: section.integer("refused_rate", 1..=100_000),
            max_request: section.size("max_request", 1024..=64 * MIB),
            max_batch_request: section.size("max_batch_request", 1024..=512 * MIB),
            max_bodies: section.size("max_bodies", 1024..=1024 * MIB),
            header_timeout: section.duration("header_timeout", SECOND, HOUR),
            request_timeout: section.duration("request_timeout", SECOND, HOUR),
            idle_timeout: section.duration("idle_timeout", SECOND, 24 * HOUR),
            max_connections,
            max_connections_per_address: per_address.unwrap_or_else(|| max_connections.div_ceil(2)),
            max_streams: section.size("max_streams", 0..=1_000_000),
            heartbeat: section.duration("heartbeat", SECOND, HOUR),
            // The last: its keys stand in a table after this one.
            tls: HttpTls::read(section.table("tls")),
        };
        section.finish();
        http
    }
}
