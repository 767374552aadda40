//! The SIP URIs of an account: its address of record, its registrar.

use std::fmt;

use crate::sip::uri::{Scheme, Uri};

/// A `sip:` URI with a user, and nothing that would leak into requests: no password, no headers,
/// and no parameters but `user=phone`, which some registrars want in From and To of a number.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct AddressOfRecord(Uri);

impl AddressOfRecord {
    /// Reads `sip:user@host[:port][;user=phone]`; as in JsSIP the scheme may be left out.
    pub fn parse(text: &str) -> Option<Self> {
        let uri = bare(text)?;
        let fits = uri.params().all(|param| param == ("user", Some("phone")));
        (fits && uri.params().count() <= 1 && uri.user().is_some()).then_some(Self(uri))
    }

    /// Whether both are the same address, whether or not one says that it is a number.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.address_of_record() == other.0.address_of_record()
    }

    /// The URI.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// The URI as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The user a person means, without escapes.
    pub fn user(&self) -> String {
        let user = self.0.user_unescaped().unwrap_or_default();
        String::from_utf8_lossy(&user).into_owned()
    }

    /// Host, and port where there is one.
    pub fn domain(&self) -> &str {
        self.0.host_and_port()
    }
}

impl fmt::Debug for AddressOfRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for AddressOfRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `sip:` URI without a user: where REGISTER goes (RFC 3261 §10.2).
#[derive(Clone, Eq, PartialEq)]
pub struct Registrar(Uri);

impl Registrar {
    /// Reads `sip:host[:port]`; the scheme may be left out.
    pub fn parse(text: &str) -> Option<Self> {
        let uri = bare(text)?;
        (uri.params().next().is_none() && uri.user().is_none()).then_some(Self(uri))
    }

    /// The registrar of an address where none is configured: its domain.
    pub fn of(address: &AddressOfRecord) -> Self {
        Self(address.0.registrar())
    }

    /// The URI.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    /// The URI as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A `sip:` URI without password and headers.
fn bare(text: &str) -> Option<Uri> {
    let has_scheme = |scheme: &str| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let uri = match has_scheme("sip:") || has_scheme("sips:") {
        true => Uri::parse(text),
        false => Uri::parse(&format!("sip:{text}")),
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
        let address = AddressOfRecord::parse("SIP:Alice@Example.COM:5062").unwrap();
        assert_eq!(address.as_str(), "sip:Alice@example.com:5062");
        assert_eq!(
            (address.user(), address.domain()),
            ("Alice".to_owned(), "example.com:5062")
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
    fn an_address_of_record_may_say_that_it_is_a_number() {
        let address = AddressOfRecord::parse("sip:+4930@example.com;User=Phone").unwrap();
        assert_eq!(address.as_str(), "sip:+4930@example.com;user=phone");
        assert_eq!(
            (address.user(), address.domain()),
            ("+4930".to_owned(), "example.com")
        );
        assert_eq!(Registrar::of(&address).as_str(), "sip:example.com");
        let plain = AddressOfRecord::parse("sip:+4930@example.com").unwrap();
        assert!(address.is_same(&plain) && plain != address);
        for text in [
            "sip:+4930@example.com;user=ip",
            "sip:+4930@example.com;user",
            "sip:+4930@example.com;user=phone;lr",
            "sip:+4930@example.com;user=phone;user=phone",
        ] {
            assert_eq!(AddressOfRecord::parse(text), None, "{text}");
        }
        assert_eq!(Registrar::parse("sip:example.com;user=phone"), None);
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
