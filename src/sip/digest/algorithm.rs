//! Hash functions, and the formula of RFC 7616 §3.4.1 that uses them.

use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};

use super::challenge::Qop;

/// A hash function of RFC 7616 §3.3, the weakest first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Hash {
    /// Broken as a hash; still what most SIP servers offer.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256 of FIPS 180-4 §5.3.6, which is not a truncated SHA-512.
    Sha512_256,
}

/// What the `algorithm` parameter names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Algorithm {
    /// The hash function.
    pub hash: Hash,
    /// Whether A1 also covers the nonces (`-sess`, RFC 7616 §3.4.2).
    pub session: bool,
}

impl Algorithm {
    /// What a challenge without the parameter means (RFC 7616 §3.3).
    pub const MD5: Self = Self {
        hash: Hash::Md5,
        session: false,
    };
    /// SHA-256.
    pub const SHA_256: Self = Self {
        hash: Hash::Sha256,
        session: false,
    };
    /// SHA-512/256.
    pub const SHA_512_256: Self = Self {
        hash: Hash::Sha512_256,
        session: false,
    };

    /// Reads the name, in any case: Asterisk up to 20 sends `md5`.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (name, session) = match name.len().checked_sub(5).map(|at| name.split_at(at)) {
            Some((name, suffix)) if suffix.eq_ignore_ascii_case(b"-sess") => (name, true),
            _ => (name, false),
        };
        let all = [Hash::Md5, Hash::Sha256, Hash::Sha512_256];
        let same = |hash: &Hash| hash.as_str().as_bytes().eq_ignore_ascii_case(name);
        let hash = all.into_iter().find(same)?;
        Some(Self { hash, session })
    }

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match (self.hash, self.session) {
            (hash, false) => hash.as_str(),
            (Hash::Md5, true) => "MD5-sess",
            (Hash::Sha256, true) => "SHA-256-sess",
            (Hash::Sha512_256, true) => "SHA-512-256-sess",
        }
    }
}

impl Hash {
    fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// The hash of these parts with a colon between each two, in hexadecimal digits.
    pub fn of(self, parts: &[&[u8]]) -> Hex {
        match self {
            Self::Md5 => digest::<Md5>(parts),
            Self::Sha256 => digest::<Sha256>(parts),
            Self::Sha512_256 => digest::<Sha512_256>(parts),
        }
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Hex {
    let mut digest = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    Hex::new(&digest.finalize())
}

/// A hash in lower-case hexadecimal digits, as digest hashes and sends it.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Hex {
    digits: [u8; 64],
    length: u8,
}

impl Hex {
    fn new(hash: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = Self {
            digits: [0; 64],
            length: 0,
        };
        for (pair, byte) in hex.digits.chunks_exact_mut(2).zip(hash) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
            hex.length += 2;
        }
        hex
    }

    /// Reads one that was computed elsewhere: 32 or 64 digits in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let length = match text.len() {
            32 => 32,
            64 => 64,
            _ => return None,
        };
        let mut digits = [0; 64];
        digits[..text.len()].copy_from_slice(text.to_ascii_lowercase().as_bytes());
        is_hex.then_some(Self { digits, length })
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[..usize::from(self.length)]
    }
}

/// Without the digits: most of these are as good as a password.
impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hex({} digits)", self.length)
    }
}

/// What of a request is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// As it stands in the request line.
    pub method: &'a str,
    /// The Request-URI, as its bytes stand in the request line.
    pub uri: &'a str,
    /// The whole body; empty when there is none.
    pub body: &'a [u8],
}

/// What makes one answer differ from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Once<'a> {
    pub nonce: &'a [u8],
    /// How many requests were signed with this nonce, this one included, in eight hexadecimal
    /// digits: servers compare the text.
    pub nonce_count: &'a [u8],
    pub cnonce: &'a [u8],
}

/// Computes the `response` parameter.
///
/// ```text
/// response = H( H(A1) : nonce : nc : cnonce : qop : H(A2) )     RFC 7616 §3.4.1
/// A1       = username : realm : password                        RFC 7616 §3.4.2
/// A1       = H( that ) : nonce : cnonce                         the same, with -sess
/// A2       = method : uri                                       RFC 7616 §3.4.3
/// A2       = method : uri : H(body)                             the same, with auth-int
/// response = H( H(A1) : nonce : H(A2) )                         without qop, RFC 2617 §3.2.2.1
/// ```
pub(super) fn response(
    algorithm: Algorithm,
    ha1: &Hex,
    qop: Option<Qop>,
    once: Once<'_>,
    signed: Signed<'_>,
) -> Hex {
    let hash = algorithm.hash;
    let a1 = if algorithm.session {
        hash.of(&[ha1.as_bytes(), once.nonce, once.cnonce])
    } else {
        *ha1
    };
    let (method, uri) = (signed.method.as_bytes(), signed.uri.as_bytes());
    let a2 = match qop {
        None | Some(Qop::Auth) => hash.of(&[method, uri]),
        Some(Qop::AuthInt) => hash.of(&[method, uri, hash.of(&[signed.body]).as_bytes()]),
    };
    let (a1, a2) = (a1.as_bytes(), a2.as_bytes());
    match qop {
        None => hash.of(&[a1, once.nonce, a2]),
        Some(qop) => {
            let qop = qop.as_str().as_bytes();
            hash.of(&[a1, once.nonce, once.nonce_count, once.cnonce, qop, a2])
        }
    }
}
