//! Which addresses may be posted to.
//!
//! A client that may create a webhook makes this machine send requests, so they must not reach what
//! only this machine can: itself, its neighbours, the metadata service of its cloud. Public
//! addresses are allowed, and those in `webhooks.allowed_networks`.
//!
//! The table follows the registries of IANA for special-purpose addresses (RFC 6890), read in 2026.
//! No crate has it both whole and in good care: `IpAddr::is_global` of the standard library is
//! unstable, and `ip_network` does not know the entries of recent years. `ipnet` does the
//! arithmetic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// The longest URL, in bytes.
const MAX_URL: usize = 2_048;

/// Knows which addresses may be posted to.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allowed: Vec<IpNet>,
}

/// An address that is not posted to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{address} is {purpose}; webhooks.allowed_networks can allow networks that are not public")]
pub struct AddressRefused {
    address: IpAddr,
    purpose: &'static str,
}

/// Why a URL is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlRefused {
    /// It is no URL, or too long, or of another scheme.
    #[error("expected an http or https URL of at most {MAX_URL} bytes")]
    Form,
    /// User name and password would end up in logs.
    #[error("expected a URL without user name and password")]
    UserInfo,
    /// A fragment is never sent.
    #[error("expected a URL without a fragment")]
    Fragment,
    /// It has no address, and never will have.
    #[error("expected a URL whose host is an address or a name of DNS (RFC 1035 §2.3.4)")]
    Host,
    /// Port 0 cannot be connected to.
    #[error("expected a port from 1 to 65535")]
    Port,
    /// Its host is an address that is not posted to.
    #[error(transparent)]
    Address(#[from] AddressRefused),
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: u16, b: u16, c: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

/// IPv4 addresses that are not public, and why.
#[rustfmt::skip]
const SPECIAL_V4: [(Ipv4Net, &str); 17] = [
    (v4(0, 0, 0, 0, 8),          "unspecified (RFC 791)"),
    (v4(10, 0, 0, 0, 8),         "private (RFC 1918)"),
    (v4(100, 64, 0, 0, 10),      "shared by a carrier (RFC 6598)"),
    (v4(127, 0, 0, 0, 8),        "loopback (RFC 1122)"),
    (v4(168, 63, 129, 16, 32),   "the host of a cloud's machine"),
    (v4(169, 254, 0, 0, 16),     "link-local, where clouds keep metadata (RFC 3927)"),
    (v4(172, 16, 0, 0, 12),      "private (RFC 1918)"),
    (v4(192, 0, 0, 0, 24),       "for protocols (RFC 6890)"),
    (v4(192, 0, 2, 0, 24),       "for documentation (RFC 5737)"),
    (v4(192, 88, 99, 0, 24),     "a relay of 6to4 (RFC 7526)"),
    (v4(192, 168, 0, 0, 16),     "private (RFC 1918)"),
    (v4(198, 18, 0, 0, 15),      "for benchmarks (RFC 2544)"),
    (v4(198, 51, 100, 0, 24),    "for documentation (RFC 5737)"),
    (v4(203, 0, 113, 0, 24),     "for documentation (RFC 5737)"),
    (v4(224, 0, 0, 0, 4),        "multicast (RFC 1112)"),
    (v4(255, 255, 255, 255, 32), "broadcast (RFC 919)"),
    (v4(240, 0, 0, 0, 4),        "reserved (RFC 1112)"),
];

/// Global unicast (RFC 4291 §2.4).
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// IPv6 addresses that are not public, and why; of those outside of [`PUBLIC_V6`] the ones that
/// have a name.
#[rustfmt::skip]
const SPECIAL_V6: [(Ipv6Net, &str); 13] = [
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "unspecified (RFC 4291)"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),   "loopback (RFC 4291)"),
    (v6(0, 0, 0, 96),                "an IPv4 address in disguise (RFC 4291)"),
    (v6(0x64, 0xff9b, 1, 48),        "translated to IPv4 (RFC 8215)"),
    (v6(0x100, 0, 0, 64),            "discarded (RFC 6666)"),
    (v6(0x2001, 0, 0, 32),           "Teredo (RFC 4380)"),
    (v6(0x2001, 0, 0, 23),           "for protocols (RFC 2928)"),
    (v6(0x2001, 0xdb8, 0, 32),       "for documentation (RFC 3849)"),
    (v6(0x2002, 0, 0, 16),           "6to4 (RFC 3056)"),
    (v6(0x3fff, 0, 0, 20),           "for documentation (RFC 9637)"),
    (v6(0xfc00, 0, 0, 7),            "private (RFC 4193)"),
    (v6(0xfe80, 0, 0, 10),           "link-local (RFC 4291)"),
    (v6(0xff00, 0, 0, 8),            "multicast (RFC 4291)"),
];

/// What DNS64 makes of IPv4 addresses where there is only IPv6 (RFC 6052 §2.1).
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

impl AddressGuard {
    /// Allows these networks besides public addresses.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether this address may be posted to. Where an IPv6 address leads to an IPv4 address, that
    /// one counts.
    pub fn check_address(&self, address: IpAddr) -> Result<(), AddressRefused> {
        let canonical = address.to_canonical();
        let is_allowed = |network: &IpNet| network.contains(&canonical);
        if self.allowed.iter().any(is_allowed) {
            return Ok(());
        }
        let purpose = match canonical {
            IpAddr::V4(address) => special_v4(address),
            IpAddr::V6(address) if NAT64.contains(&address) => {
                let [.., a, b, c, d] = address.octets();
                return self.check_address(Ipv4Addr::new(a, b, c, d).into());
            }
            IpAddr::V6(address) => special_v6(address),
        };
        match purpose {
            None => Ok(()),
            Some(purpose) => Err(AddressRefused { address, purpose }),
        }
    }

    /// Whether this URL may be posted to, as far as it tells. Hosts that are names are looked up,
    /// and checked, at each connection.
    pub fn check_url(&self, text: &str) -> Result<Url, UrlRefused> {
        // Before it is parsed: to parse a host name of many labels takes a time of its own.
        if text.len() > MAX_URL {
            return Err(UrlRefused::Form);
        }
        let url = Url::parse(text).map_err(|_| UrlRefused::Form)?;
        let is_web = matches!(url.scheme(), "http" | "https");
        if !is_web || url.as_str().len() > MAX_URL {
            return Err(UrlRefused::Form);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlRefused::Fragment);
        }
        if url.port() == Some(0) {
            return Err(UrlRefused::Port);
        }
        if url.domain().is_some_and(|name| !is_name(name)) {
            return Err(UrlRefused::Host);
        }
        // What the client makes of it, which is stricter than a URL in places.
        if http::Uri::try_from(url.as_str()).is_err() {
            return Err(UrlRefused::Form);
        }
        self.check_host(&url)?;
        // The parser leaves some of these out in silence.
        if text.chars().any(char::is_control) {
            return Err(UrlRefused::Form);
        }
        Ok(url)
    }

    /// Whether the host of this URL may be posted to, when it is an address and not a name.
    pub fn check_host(&self, url: &Url) -> Result<(), AddressRefused> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check_address(address.into()),
            Some(Host::Ipv6(address)) => self.check_address(address.into()),
            // RFC 6761 §6.3: these names are loopback, whatever is asked.
            Some(Host::Domain(name)) if is_localhost(name) => {
                self.check_address(Ipv4Addr::LOCALHOST.into())
            }
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

/// Whether DNS can have this name: labels of 1 to 63 letters, digits, hyphens and underscores, 253
/// bytes together. A certificate cannot be for another either.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let bytes = || label.bytes();
        (1..=63).contains(&label.len())
            && bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let found = SPECIAL_V4
        .iter()
        .find(|(network, _)| network.contains(&address));
    found.map(|(_, purpose)| *purpose)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let found = SPECIAL_V6
        .iter()
        .find(|(network, _)| network.contains(&address));
    let outside = (!PUBLIC_V6.contains(&address)).then_some("not public (RFC 4291)");
    found.map(|(_, purpose)| *purpose).or(outside)
}

#[cfg(test)]
mod tests;
