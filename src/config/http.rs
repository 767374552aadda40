//! `[http]`: where clients come in, and how much they may ask.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;

use super::section::Section;
use super::value;
use crate::api;
use crate::api::{AccessParts, Hosts, Origins, PlaceLimits, Proxies, ProxyHeader, Server};
use crate::sip::uri::Uri;
use crate::webhook::TokenSecrets;

/// How clients are served.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub listen: SocketAddr,
    /// Whether the operator wrote out that anyone may call.
    pub is_open: bool,
    /// Who may call.
    pub access: AccessParts,
    /// What signs for tokens that have secrets of their own.
    pub token_secrets: TokenSecrets,
    /// What handlers allow.
    pub settings: api::Settings,
    /// How connections are treated. Its certificate is read when the gateway starts.
    pub server: Server,
    /// The files of the certificate that clients are shown; `None` for plain HTTP.
    pub tls: Option<HttpTls>,
}

/// The files of the certificate that clients are shown, both PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpTls {
    /// The certificate and those up to its root, ours first.
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

const PROXY_HEADERS: [(&str, ProxyHeader); 2] = [
    ("x-forwarded-for", ProxyHeader::XForwardedFor),
    ("forwarded", ProxyHeader::Forwarded),
];
const COUNT: &str = "a number, at least 1";
const HOST: &str = "a host name or an address without a port, such as \"gateway.lan\"";
const ORIGIN: &str = "an origin such as \"https://app.example\", or \"*\"";
/// How long an HTTP client may take nothing of what it is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const MIB: usize = 1 << 20;

impl HttpSettings {
    /// `accounts` are the addresses that tokens may be limited to.
    pub(super) fn read(mut section: Section<'_>, accounts: &[Uri]) -> Self {
        let listen = section.address("listen");
        let total = section.integer("max_connections", 1..=1_000_000);
        let per_address = section.optional("max_connections_per_address", COUNT, |value| {
            let count = usize::try_from(value::whole_number(value)?).ok();
            count.filter(|count| *count > 0)
        });
        let is_open = section.word("auth", &[("token", false), ("none", true)]);
        let tokens = super::tokens::read(&mut section, accounts);
        check_callers(&section, listen, is_open, tokens.are_written);
        let tokens = tokens.valid;
        let token_secrets = tokens
            .iter()
            .filter(|(_, secrets)| !secrets.is_empty())
            .map(|(token, secrets)| (token.name.to_string(), secrets.clone()))
            .collect();
        let tokens: Vec<_> = tokens.into_iter().map(|(token, _)| token).collect();
        let hosts = section.texts("hosts", HOST, parse_host);
        let trusted = section.texts("trusted_proxies", value::NETWORK, value::parse_network);
        let proxies = Proxies {
            trusted: trusted.clone(),
            header: section.word("proxy_header", &PROXY_HEADERS),
        };
        let origins = origins(&mut section);
        let http = Self {
            listen,
            is_open,
            access: AccessParts {
                tokens: (!tokens.is_empty()).then_some(tokens),
                open_metrics: section.word("metrics_auth", &[("token", false), ("none", true)]),
                refused_rate: section.integer("refused_rate", 1..=100_000),
                hosts: Hosts {
                    names: hosts,
                    any_address: !listen.ip().is_loopback(),
                },
            },
            token_secrets,
            settings: settings(&mut section, proxies, origins),
            server: Server {
                tls: None,
                header_timeout: section.duration("header_timeout", SECOND, HOUR),
                idle_timeout: section.duration("idle_timeout", SECOND, 24 * HOUR),
                write_timeout: WRITE_TIMEOUT,
                places: PlaceLimits {
                    total,
                    per_address: per_address.unwrap_or_else(|| total.div_ceil(2)),
                    proxies: trusted,
                },
            },
            // The last: its keys stand in a table after this one.
            tls: HttpTls::read(section.table("tls")),
        };
        section.finish();
        http
    }
}

fn settings(section: &mut Section<'_>, proxies: Proxies, origins: Origins) -> api::Settings {
    api::Settings {
        max_request: section.size("max_request", 1024..=64 * MIB),
        max_batch_request: section.size("max_batch_request", 1024..=512 * MIB),
        max_bodies: section.size("max_bodies", 1024..=1024 * MIB),
        request_timeout: section.duration("request_timeout", SECOND, HOUR),
        heartbeat: section.duration("heartbeat", SECOND, HOUR),
        max_streams: section.integer("max_streams", 0..=1_000_000),
        proxies,
        origins,
        // Of another section.
        max_queued: 0,
    }
}

/// Notes an address that others could send messages through, and tokens that are not asked for.
fn check_callers(section: &Section<'_>, listen: SocketAddr, is_open: bool, has_tokens: bool) {
    if !is_open && !has_tokens && !listen.ip().is_loopback() {
        section.wrong(
            "listen",
            "without http.tokens, others could send messages through this address",
            "a loopback address, or http.tokens, or http.auth = \"none\"",
        );
    }
    if is_open && has_tokens {
        section.wrong(
            "auth",
            "\"none\" would not ask for the tokens that are configured",
            "\"token\", or no tokens",
        );
    }
}

/// The origins (RFC 6454) of pages that may call, `*` for any.
fn origins(section: &mut Section<'_>) -> Origins {
    let parsed = section.texts("cors_origins", ORIGIN, |text| {
        if text == "*" {
            return Some(None);
        }
        let url = url::Url::parse(text).ok()?;
        let origin = url.origin();
        let is_whole = origin.is_tuple() && matches!(url.path(), "" | "/");
        let is_bare = url.query().is_none() && url.fragment().is_none();
        let value = HeaderValue::try_from(origin.ascii_serialization()).ok()?;
        (is_whole && is_bare).then_some(Some(value))
    });
    if parsed.is_empty() {
        return Origins::Own;
    }
    let listed: Option<Vec<HeaderValue>> = parsed.into_iter().collect();
    listed.map_or(Origins::Any, Origins::Listed)
}

/// Reads a name or an address, without a port.
fn parse_host(text: &str) -> Option<String> {
    let host = url::Host::parse(text.strip_suffix('.').unwrap_or(text)).ok()?;
    Some(match host {
        url::Host::Ipv6(address) => address.to_string(),
        url::Host::Domain(_) | url::Host::Ipv4(_) => host.to_string(),
    })
}

impl HttpTls {
    fn read(mut section: Section<'_>) -> Option<Self> {
        let pair = section.certificate_pair("certificate_file", "key_file");
        section.finish();
        let ((certificate_file, _), (key_file, _)) = pair?;
        Some(Self {
            certificate_file,
            key_file,
        })
    }
}
