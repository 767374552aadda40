//! The formula of RFC 7616 §3.4.1.

use super::algorithm::{Algorithm, Hash, Hex};
use super::challenge::Qop;

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
    /// From the challenge.
    pub nonce: &'a [u8],
    /// How many requests were signed with this nonce, this one included, in eight hexadecimal
    /// digits: servers compare the text.
    pub nonce_count: &'a [u8],
    /// The client's.
    pub cnonce: &'a [u8],
}

/// The secret part of A1: `H(username:realm:password)` (RFC 7616 §3.4.2).
pub(super) fn ha1(hash: Hash, username: &[u8], realm: &[u8], password: &[u8]) -> Hex {
    hash.of(&[username, realm, password])
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
    let a1 = match algorithm.session {
        false => *ha1,
        true => hash.of(&[ha1.as_bytes(), once.nonce, once.cnonce]),
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
