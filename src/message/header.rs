//! Headers that a client adds to the SIP request.

/// One header of the SIP request, checked.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Header {
    /// A token of RFC 3261 §25.1, in the client's spelling.
    pub name: String,
    /// One line: no CR, LF or NUL, and no blank at either end.
    pub value: String,
}

/// Why a header is not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// The text has no colon.
    #[error("a header is written \"Name: value\"")]
    NoColon,
    /// The name is empty or has a character that RFC 3261's `token` has not.
    #[error("the name of a header is a token of RFC 3261 §25.1: letters, digits and -.!%*_+`'~")]
    Name,
    /// The value would end the line, or the text.
    #[error("the value of a header may not contain CR, LF, NUL or another control character")]
    Value,
    /// The stack writes this header itself.
    #[error("{0} is written by sipost itself")]
    Owned(&'static str),
    /// The header is longer than [`Header::MAX_LENGTH`].
    #[error("a header may have at most {} bytes", Header::MAX_LENGTH)]
    TooLong,
    /// There are more than [`HeaderList::MAX`].
    #[error("at most {} headers", HeaderList::MAX)]
    TooMany,
    /// Together they are longer than [`HeaderList::MAX_BYTES`].
    #[error("at most {} bytes of names and values together", HeaderList::MAX_BYTES)]
    TooMuch,
}

/// What the stack writes, with the compact form where there is one (RFC 3261 §7.3.3).
const OWNED: &[(&str, &str)] = &[
    ("Via", "v"),
    ("From", "f"),
    ("To", "t"),
    ("Call-ID", "i"),
    ("CSeq", ""),
    ("Max-Forwards", ""),
    ("Contact", "m"),
    ("Route", ""),
    ("Record-Route", ""),
    ("Content-Type", "c"),
    ("Content-Length", "l"),
    ("Authorization", ""),
    ("Proxy-Authorization", ""),
    // Each of these goes on the wire exactly once, from a setting of its own.
    ("Allow", ""),
    ("Supported", "k"),
    ("User-Agent", ""),
    ("Expires", ""),
    ("Date", ""),
];

/// What a server inside a trust domain believes about who sent a request and how it came: who sends
/// for another user could be any user with it. With the compact form where there is one.
/// RFC 3325, 7315, 8224 and 4474, 5002, 4457, 7316, 5503, 3327, 7044, 5806, 3892, 3GPP TS 24.229,
/// draft-ietf-sip-privacy.
const ASSERTED: &[(&str, &str)] = &[
    ("P-Asserted-Identity", ""),
    ("P-Preferred-Identity", ""),
    ("Remote-Party-ID", ""),
    ("Identity", "y"),
    ("Identity-Info", "n"),
    ("P-Associated-URI", ""),
    ("P-Called-Party-ID", ""),
    ("P-Served-User", ""),
    ("P-Asserted-Service", ""),
    ("P-Preferred-Service", ""),
    ("P-Access-Network-Info", ""),
    ("P-Visited-Network-ID", ""),
    ("P-Charging-Vector", ""),
    ("P-Charging-Function-Addresses", ""),
    ("P-Profile-Key", ""),
    ("P-User-Database", ""),
    ("P-Private-Network-Indication", ""),
    ("P-DCS-Trace-Party-ID", ""),
    ("P-DCS-OSPS", ""),
    ("P-DCS-Billing-Info", ""),
    ("P-DCS-LAES", ""),
    ("P-DCS-Redirect", ""),
    ("Additional-Identity", ""),
    ("Attestation-Info", ""),
    ("Origination-Id", ""),
    ("Path", ""),
    ("History-Info", ""),
    ("Diversion", ""),
    ("Referred-By", "b"),
];

impl Header {
    /// Whether it says who sends, or how the request came, to servers that believe it.
    pub fn is_asserted(&self) -> bool {
        ASSERTED.iter().any(|(long, compact)| {
            self.name.eq_ignore_ascii_case(long) || self.name.eq_ignore_ascii_case(compact)
        })
    }

    /// The longest header taken, name and value together, in bytes.
    pub const MAX_LENGTH: usize = 8192;

    /// Reads `"Name: value"`.
    pub fn parse(line: &str) -> Result<Self, HeaderError> {
        let (name, value) = line.split_once(':').ok_or(HeaderError::NoColon)?;
        Self::new(name.trim_end_matches([' ', '\t']), value)
    }

    /// Checks a name and a value.
    pub fn new(name: &str, value: &str) -> Result<Self, HeaderError> {
        if name.len() + value.len() > Self::MAX_LENGTH {
            return Err(HeaderError::TooLong);
        }
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(HeaderError::Name);
        }
        let value = value.trim_matches([' ', '\t']);
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(HeaderError::Value);
        }
        let owned = OWNED.iter().find(|(long, compact)| {
            name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(compact)
        });
        match owned {
            Some((long, _)) => Err(HeaderError::Owned(long)),
            None => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
        }
    }
}

/// The extra headers of a message. They are bounded while they are added.
#[derive(Clone, Debug, Default)]
pub struct HeaderList {
    headers: Vec<Header>,
    bytes: usize,
}

impl HeaderList {
    /// The most headers.
    pub const MAX: usize = 64;
    /// The most bytes of all names and values together.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Adds a header that was checked. Nothing can be added after an error.
    pub fn add(&mut self, header: Header) -> Result<(), HeaderError> {
        if self.headers.len() == Self::MAX {
            return Err(HeaderError::TooMany);
        }
        self.bytes += header.name.len() + header.value.len();
        if self.bytes > Self::MAX_BYTES {
            return Err(HeaderError::TooMuch);
        }
        self.headers.push(header);
        Ok(())
    }

    /// What was added, in that order.
    pub fn into_headers(self) -> Vec<Header> {
        self.headers
    }
}

/// RFC 3261 §25.1, `token`.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let header = Header::parse("X-Foo:  foo: bar \t").unwrap();
        assert_eq!(
            (header.name.as_str(), header.value.as_str()),
            ("X-Foo", "foo: bar")
        );
        assert_eq!(Header::parse("X-Empty:").unwrap().value, "");
        assert_eq!(Header::parse("Subject : Grüße").unwrap().value, "Grüße");
    }

    #[test]
    fn a_list_of_headers_is_bounded_by_number_and_by_bytes() {
        let mut list = HeaderList::default();
        for number in 0..64 {
            let header = Header::new(&format!("X-{number}"), "").unwrap();
            assert_eq!(list.add(header), Ok(()));
        }
        let one_more = Header::new("X", "").unwrap();
        assert_eq!(list.add(one_more), Err(HeaderError::TooMany));
        assert_eq!(list.into_headers().len(), 64);

        let mut list = HeaderList::default();
        let half = || Header::new("X-Half", &"x".repeat(8_186)).unwrap();
        assert_eq!((list.add(half()), list.add(half())), (Ok(()), Ok(())));
        let shortest = Header::new("X", "").unwrap();
        assert_eq!(list.add(shortest), Err(HeaderError::TooMuch));
    }

    #[test]
    fn nothing_can_be_injected() {
        for line in [
            "X-A: b\r\nX-C: d",
            "X-A: b\nX-C: d",
            "X-A: b\0",
            "X-A: b\rc",
        ] {
            assert_eq!(Header::parse(line), Err(HeaderError::Value), "{line:?}");
        }
        for line in [
            ": b",
            "X A: b",
            "X\r\nB: c",
            "Grüße: b",
            "X\0: b",
            "\"X\": b",
        ] {
            assert_eq!(Header::parse(line), Err(HeaderError::Name), "{line:?}");
        }
        assert_eq!(Header::parse("X-A"), Err(HeaderError::NoColon));
    }

    #[test]
    fn what_the_stack_owns_is_refused_by_name() {
        for (name, owned) in [
            ("via", "Via"),
            ("V", "Via"),
            ("CONTENT-TYPE", "Content-Type"),
            ("l", "Content-Length"),
            ("Route", "Route"),
            ("m", "Contact"),
        ] {
            assert_eq!(Header::new(name, "x"), Err(HeaderError::Owned(owned)));
        }
    }
}
