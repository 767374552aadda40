//! The hash functions of RFC 7616 §3 and RFC 8760 §2, and what they hash.

use md5::Digest as _;
use md5::Md5;
use sha2::Sha256;
use sha2::Sha512_256;

/// What a challenge asks to hash with, the weakest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Function {
    /// 128 bits; broken, and everywhere.
    Md5,
    /// SHA-512 cut to 256 bits.
    Sha512_256,
    /// 256 bits. RFC 8760 §2.1 has implementations support it first.
    Sha256,
}

/// A hash function, and whether its key is bound to a session.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Algorithm {
    /// The function.
    pub function: Function,
    /// `-sess`: the key also hashes the first nonces (RFC 7616 §3.4.2).
    pub session: bool,
}

impl Algorithm {
    /// What RFC 7616 §3.3 assumes when a challenge names none.
    pub const MD5: Self = Self {
        function: Function::Md5,
        session: false,
    };

    /// Reads the `algorithm` parameter, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (name, session) = match lower.strip_suffix("-sess") {
            Some(name) => (name, true),
            None => (lower.as_str(), false),
        };
        let function = match name {
            "md5" => Function::Md5,
            "sha-256" => Function::Sha256,
            "sha-512-256" => Function::Sha512_256,
            _ => return None,
        };
        Some(Self { function, session })
    }
}

impl Function {
    /// Hashes parts joined by colons, written as lower-case hexadecimal digits.
    pub fn hex(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => hex(&joined(Md5::new(), parts)),
            Self::Sha256 => hex(&joined(Sha256::new(), parts)),
            Self::Sha512_256 => hex(&joined(Sha512_256::new(), parts)),
        }
    }

    /// How many hexadecimal digits a hash has.
    pub fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512_256 => 64,
        }
    }
}

fn joined<D: md5::Digest>(mut hash: D, parts: &[&[u8]]) -> Vec<u8> {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// What the `response` parameter is computed from.
///
/// ```text
/// response = H( H(A1) : nonce : nc : cnonce : qop : H(A2) )     RFC 7616 §3.4.1
/// response = H( H(A1) : nonce : H(A2) )                         RFC 2069, without qop
/// A2       = method : uri                                       RFC 7616 §3.4.3
/// A2       = method : uri : H(body)                             with qop=auth-int
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The hash function.
    pub function: Function,
    /// H(A1).
    pub key: &'a str,
    /// From the challenge.
    pub nonce: &'a str,
    /// How often the nonce was used, this time included. Eight digits: compared as text.
    pub nonce_count: u32,
    /// Ours.
    pub cnonce: &'a str,
    /// What is protected; `None` for a challenge that names no qop.
    pub qop: Option<Qop>,
    /// Of the request.
    pub method: &'a str,
    /// The Request-URI as its bytes stand on the wire.
    pub uri: &'a str,
    /// Of the request.
    pub body: &'a [u8],
}

/// Quality of protection (RFC 7616 §3.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Qop {
    /// The method and the URI.
    Auth,
    /// The body too.
    AuthInt,
}

impl Qop {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

impl Input<'_> {
    /// Computes the `response` parameter.
    pub fn response(&self) -> String {
        let (method, uri) = (self.method.as_bytes(), self.uri.as_bytes());
        let h = self.function;
        let a2 = match self.qop {
            None | Some(Qop::Auth) => h.hex(&[method, uri]),
            Some(Qop::AuthInt) => h.hex(&[method, uri, h.hex(&[self.body]).as_bytes()]),
        };
        let (key, nonce) = (self.key.as_bytes(), self.nonce.as_bytes());
        match self.qop {
            None => h.hex(&[key, nonce, a2.as_bytes()]),
            Some(qop) => {
                let count = format!("{:08x}", self.nonce_count);
                let (cnonce, qop) = (self.cnonce.as_bytes(), qop.as_str().as_bytes());
                h.hex(&[key, nonce, count.as_bytes(), cnonce, qop, a2.as_bytes()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(function: Function, password: &str, realm: &str) -> String {
        function.hex(&[b"Mufasa", realm.as_bytes(), password.as_bytes()])
    }

    #[test]
    fn a1_answers_the_example_of_rfc_2617() {
        let key = key(Function::Md5, "Circle Of Life", "testrealm@host.com");
        let input = Input {
            function: Function::Md5,
            key: &key,
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            nonce_count: 1,
            cnonce: "0a4f113b",
            qop: Some(Qop::Auth),
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
        };
        assert_eq!(input.response(), "6629fae49393a05397450978507c4ef1");
        assert_eq!(
            Input { qop: None, ..input }.response(),
            "670fd8c2df070c60b045671b8b24ff02"
        );
    }

    #[test]
    fn a2_answers_the_examples_of_rfc_7616() {
        for (function, expected) in [
            (Function::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Function::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let key = key(function, "Circle of Life", "http-auth@example.org");
            let input = Input {
                function,
                key: &key,
                nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                nonce_count: 1,
                cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                qop: Some(Qop::Auth),
                method: "GET",
                uri: "/dir/index.html",
                body: b"",
            };
            assert_eq!(input.response(), expected);
        }
    }

    #[test]
    fn algorithms_are_known_in_any_case() {
        assert_eq!(Algorithm::parse("md5"), Some(Algorithm::MD5));
        let session = Algorithm {
            function: Function::Sha512_256,
            session: true,
        };
        assert_eq!(Algorithm::parse("SHA-512-256-Sess"), Some(session));
        assert_eq!(Algorithm::parse("SHA-1"), None);
        assert!(Function::Sha256 > Function::Sha512_256 && Function::Sha512_256 > Function::Md5);
    }
}
