//! What a server asks for in `WWW-Authenticate` and `Proxy-Authenticate`.

use super::algorithm::Algorithm;
use super::params;
use super::params::Params;

/// A digest challenge that can be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    /// Whose credentials are wanted.
    pub realm: Vec<u8>,
    /// To be hashed and sent back.
    pub nonce: Vec<u8>,
    /// To be sent back, also when it is empty.
    pub opaque: Option<Vec<u8>>,
    /// MD5 when none was named.
    pub algorithm: Algorithm,
    /// Whether it was named: only then it is sent back.
    pub names_algorithm: bool,
    /// What the answer protects; `None` for a server of RFC 2069's time.
    pub qop: Option<Qop>,
    /// The credentials were right and only the nonce was too old.
    pub stale: bool,
    /// The user name is to be sent hashed (RFC 7616 §3.4.4).
    pub userhash: bool,
}

/// Quality of protection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Qop {
    /// The request line.
    Auth,
    /// The body too.
    AuthInt,
}

/// What a header value asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// Something we know.
    Digest(Challenge),
    /// Another scheme than digest, an algorithm or protection nobody here knows, or no nonce.
    Unknown,
}

/// Reads every challenge of a header value.
pub(super) fn parse(value: &[u8]) -> impl Iterator<Item = Asked> {
    params::parse(value)
        .into_iter()
        .map(|params| challenge(&params).map_or(Asked::Unknown, Asked::Digest))
}

fn challenge(params: &Params) -> Option<Challenge> {
    if params.scheme != "digest" {
        return None;
    }
    let nonce = params.find("nonce").filter(|nonce| !nonce.is_empty())?;
    let algorithm = params.find("algorithm");
    Some(Challenge {
        realm: params.find("realm")?.to_vec(),
        nonce: nonce.to_vec(),
        opaque: params.find("opaque").map(<[u8]>::to_vec),
        algorithm: algorithm.map_or(Some(Algorithm::MD5), Algorithm::parse)?,
        names_algorithm: algorithm.is_some(),
        qop: qop(params.find("qop"))?,
        stale: params.is_true("stale"),
        userhash: params.is_true("userhash"),
    })
}

/// `auth` if it is on offer: it costs less than `auth-int` and survives what rewrites bodies.
/// `None` when only unknown ones are.
fn qop(offered: Option<&[u8]>) -> Option<Option<Qop>> {
    let words = offered
        .unwrap_or_default()
        .split(|byte| matches!(byte, b',' | b' ' | b'\t'));
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    let offers = |qop: Qop| words.iter().any(|word| Qop::parse(word) == Some(qop));
    match words.is_empty() {
        true => Some(None),
        false if offers(Qop::Auth) => Some(Some(Qop::Auth)),
        false if offers(Qop::AuthInt) => Some(Some(Qop::AuthInt)),
        false => None,
    }
}

impl Qop {
    /// Reads one, in any case.
    pub fn parse(word: &[u8]) -> Option<Self> {
        let all = [Self::Auth, Self::AuthInt];
        all.into_iter()
            .find(|qop| qop.as_str().as_bytes().eq_ignore_ascii_case(word))
    }

    /// `auth` or `auth-int`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}
