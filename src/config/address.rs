//! The SIP URIs of an account: its address of record, its registrar.

use std::fmt;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// A SIP URI with user and host, and nothing that would leak into requests: no password, no
/// parameters, no headers. The host is in lower case.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct AddressOfRecord {
    text: Arc<str>,
    /// Where the user ends; it begins after `sip:`.
    user_end: usize,
}

const SCHEME: &str = "sip:";

impl AddressOfRecord {
    /// Reads `sip:user@host[:port]`; as in JsSIP the scheme may be left out.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = without_scheme(text);
        let (user, domain) = rest.rsplit_once('@')?;
        let domain = parse_domain(domain)?;
        is_user(user).then(|| Self {
            text: format!("{SCHEME}{user}@{domain}").into(),
            user_end: SCHEME.len() + user.len(),
        })
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole URI, to share.
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The part before the `@`, as it is written.
    pub fn user(&self) -> &str {
        &self.text[SCHEME.len()..self.user_end]
    }

    /// Host, and port where there is one.
    pub fn domain(&self) -> &str {
        &self.text[self.user_end + 1..]
    }
}

impl fmt::Debug for AddressOfRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for AddressOfRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A SIP URI without a user: where REGISTER goes (RFC 3261 §10.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registrar(Arc<str>);

impl Registrar {
    /// Reads `sip:host[:port]`; the scheme may be left out.
    pub fn parse(text: &str) -> Option<Self> {
        let domain = parse_domain(without_scheme(text))?;
        Some(Self(format!("{SCHEME}{domain}").into()))
    }

    /// The registrar of an address where none is configured: its domain.
    pub fn of(address: &AddressOfRecord) -> Self {
        Self(format!("{SCHEME}{}", address.domain()).into())
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn without_scheme(text: &str) -> &str {
    match text.get(..SCHEME.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &text[SCHEME.len()..],
        _ => text,
    }
}

/// RFC 3261 §25.1, `user`. A colon would begin a password, or come from another scheme.
fn is_user(user: &str) -> bool {
    let mut bytes = user.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                let mut digit = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
                digit() && digit()
            }
            _ => byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    !user.is_empty()
}

/// `host[:port]` in lower case.
fn parse_domain(domain: &str) -> Option<String> {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let port = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    let host = host.to_ascii_lowercase();
    let suffix = port.map(|port| format!(":{port}")).unwrap_or_default();
    is_host(&host).then(|| format!("{host}{suffix}"))
}

/// RFC 3261 §25.1, `host`.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']');
        return inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let top = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(label)
        && top.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_record_has_a_user_and_a_host() {
        let address = AddressOfRecord::parse("SIP:Alice@Example.COM:5062").unwrap();
        assert_eq!(address.as_str(), "sip:Alice@example.com:5062");
        assert_eq!(
            (address.user(), address.domain()),
            ("Alice", "example.com:5062")
        );
        for text in [
            "alice@example.com",
            "sip:a%20b@[2001:db8::1]",
            "sip:+1;x=y@192.0.2.1",
        ] {
            assert!(AddressOfRecord::parse(text).is_some(), "{text}");
        }
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
            assert_eq!(AddressOfRecord::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_registrar_has_no_user() {
        let registrar = Registrar::parse("sip:Example.com:5060").unwrap();
        assert_eq!(registrar.as_str(), "sip:example.com:5060");
        for text in [
            "",
            "sip:",
            "sips:example.com",
            "sip:alice@example.com",
            "sip:a.b;lr",
        ] {
            assert_eq!(Registrar::parse(text), None, "{text}");
        }
        let address = AddressOfRecord::parse("sip:alice@example.com:5070").unwrap();
        assert_eq!(Registrar::of(&address).as_str(), "sip:example.com:5070");
    }
}
