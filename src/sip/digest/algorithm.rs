//! Hash functions, and the two ways digest uses each.

use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};

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
