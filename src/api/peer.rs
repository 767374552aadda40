//! Where a request comes from: the address of the connection, or what a trusted proxy says.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Where the request comes from, as far as that can be believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// Whom to believe about where requests come from.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// The networks of our own proxies. Headers of other peers are ignored.
    pub trusted: Vec<IpNet>,
    /// Where they write it. The other header is whatever a client wants it to be.
    pub header: ProxyHeader,
}

/// In which header proxies say where a request comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For: client, proxy`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// Hops looked at; who claims more is taken at the last of them.
const MAX_HOPS: usize = 32;

impl Proxies {
    /// The first address, seen from us, that is not one of our proxies.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        for hop in self.hops(headers).rev().take(MAX_HOPS) {
            // What a trusted proxy could not name hides everything before it.
            let Some(address) = hop.and_then(address) else {
                break;
            };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    /// What each proxy wrote, the furthest first; `None` where it says nothing of an address.
    fn hops<'h>(
        &self,
        headers: &'h HeaderMap,
    ) -> impl DoubleEndedIterator<Item = Option<&'h str>> + use<'h> {
        let (name, of_hop): (_, fn(&str) -> Option<&str>) = match self.header {
            ProxyHeader::XForwardedFor => (X_FORWARDED_FOR, |hop| Some(hop.trim())),
            ProxyHeader::Forwarded => (header::FORWARDED, for_parameter),
        };
        let lines = headers.get_all(name).iter();
        let lines = lines.map(|line| line.to_str().unwrap_or_default());
        lines.flat_map(|line| line.split(',')).map(of_hop)
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// `for=` of one hop (RFC 7239 §5.2), without quotes.
fn for_parameter(hop: &str) -> Option<&str> {
    hop.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let is_for = name.trim().eq_ignore_ascii_case("for");
        is_for.then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with or without brackets and a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = text.parse().ok().or_else(with_port).or_else(bracketed)?;
    Some(IpAddr::to_canonical(&address))
}

/// The address, as one client has it: a host has a whole /64 of IPv6 to come from.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ProxyHeader, peer: &str, lines: &[(&'static str, &str)]) -> String {
        let proxies = Proxies {
            trusted: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            header,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    fn forwarded_for(peer: &str, value: &str) -> String {
        client(
            ProxyHeader::XForwardedFor,
            peer,
            &[("x-forwarded-for", value)],
        )
    }

    #[test]
    fn who_is_no_proxy_of_ours_is_not_believed() {
        assert_eq!(forwarded_for("192.0.2.1", "203.0.113.9"), "192.0.2.1");
    }

    #[test]
    fn the_first_address_that_is_no_proxy_of_ours_is_the_client() {
        for (value, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("10.2.2.2", "10.2.2.2"),
            ("nonsense", "10.0.0.1"),
            ("203.0.113.9, nonsense", "10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(forwarded_for("10.0.0.1", value), expected, "{value}");
        }
    }

    #[test]
    fn only_the_header_that_our_proxies_write_is_read() {
        let both = [
            ("x-forwarded-for", "6.6.6.6"),
            ("forwarded", "for=\"[2001:db8::1]:80\";proto=https"),
            ("forwarded", "for=10.3.3.3"),
        ];
        let client = |header| client(header, "::1", &both);
        assert_eq!(client(ProxyHeader::Forwarded), "2001:db8::1");
        assert_eq!(client(ProxyHeader::XForwardedFor), "6.6.6.6");
    }

    #[test]
    fn a_hop_that_hides_its_client_ends_the_search() {
        for value in ["for=unknown", "for=_hidden", "proto=https", "for="] {
            let lines = [("forwarded", value)];
            assert_eq!(
                client(ProxyHeader::Forwarded, "10.0.0.1", &lines),
                "10.0.0.1"
            );
        }
    }
}
