//! The server side: challenges, and verifies what comes back.
//!
//! A [`Guard`] remembers no nonce. A nonce is the time it was made, something random, and a MAC
//! over both, so that any number of them can be out without anything growing; what it gives up is
//! to notice when an answer is sent twice within a nonce's lifetime (RFC 7616 §5.4 leaves that to
//! the server).

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::algorithm::{self, Algorithm, Hash, Hex, Once, Signed};
use super::challenge::{Params, Qop, parse_params, push_quoted};
use crate::sip::uri::Uri;

/// Guards one realm.
pub struct Guard {
    realm: String,
    algorithms: Vec<Algorithm>,
    lifetime: Duration,
    key: [u8; 32],
    epoch: Instant,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denial {
    /// There is no answer for this realm: challenge.
    #[error("the request is not signed")]
    Missing,
    /// Right, with a nonce that was too old: challenge with `stale=true`.
    #[error("the nonce is too old")]
    Stale,
    /// Wrong, unreadable, of an unknown user, or with a nonce that is not ours.
    #[error("the signature is wrong")]
    Wrong,
}

/// Characters of a nonce that carry its time and its random part, and of its MAC.
const STAMP: usize = 32;
const MAC: usize = 32;

impl Guard {
    /// Guards `realm`, offering `algorithms` in this order. `key` is random, and `now` is what
    /// nonces are timed from.
    pub fn new(
        realm: impl Into<String>,
        algorithms: Vec<Algorithm>,
        lifetime: Duration,
        key: [u8; 32],
        now: Instant,
    ) -> Self {
        Self {
            realm: realm.into(),
            algorithms,
            lifetime,
            key,
            epoch: now,
        }
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Appends complete lines with a challenge for each algorithm (RFC 8760 §2.3). `header` is
    /// `WWW-Authenticate` or `Proxy-Authenticate`; `random` is part of the nonce.
    pub fn challenge(
        &self,
        now: Instant,
        random: u64,
        header: &str,
        denial: Denial,
        out: &mut Vec<u8>,
    ) {
        let nonce = self.nonce(self.millis(now), random);
        for algorithm in &self.algorithms {
            out.extend_from_slice(header.as_bytes());
            push_quoted(out, ": Digest realm=", self.realm.as_bytes());
            push_quoted(out, ", nonce=", nonce.as_bytes());
            out.extend_from_slice(b", algorithm=");
            out.extend_from_slice(algorithm.as_str().as_bytes());
            out.extend_from_slice(b", qop=\"auth,auth-int\"");
            if denial == Denial::Stale {
                out.extend_from_slice(b", stale=true");
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The user who signed this request, by the values of `Authorization` or
    /// `Proxy-Authorization`. `ha1` knows the users: it gives `H(username:realm:password)`.
    pub fn verify<'a>(
        &self,
        now: Instant,
        signed: Signed<'_>,
        values: impl IntoIterator<Item = &'a [u8]>,
        mut ha1: impl FnMut(&str, Hash) -> Option<Hex>,
    ) -> Result<String, Denial> {
        let answer = values.into_iter().flat_map(parse_params).find(|params| {
            params.scheme == "digest" && params.find("realm") == Some(self.realm.as_bytes())
        });
        let answer = answer.ok_or(Denial::Missing)?;
        let made = self.made(answer.find_text("nonce").ok_or(Denial::Wrong)?)?;
        let username = answer.find_text("username").ok_or(Denial::Wrong)?;
        let is_right = self
            .is_right(&answer, username, signed, &mut ha1)
            .unwrap_or(false);
        let age = self.millis(now).saturating_sub(made);
        match (is_right, u128::from(age) > self.lifetime.as_millis()) {
            (false, _) => Err(Denial::Wrong),
            (true, true) => Err(Denial::Stale),
            (true, false) => Ok(username.to_owned()),
        }
    }

    fn is_right(
        &self,
        answer: &Params,
        username: &str,
        signed: Signed<'_>,
        ha1: &mut impl FnMut(&str, Hash) -> Option<Hex>,
    ) -> Option<bool> {
        let algorithm = answer
            .find("algorithm")
            .map_or(Some(Algorithm::MD5), Algorithm::parse)?;
        let qop = answer.find("qop").map(Qop::parse);
        let uri = answer.find_text("uri")?;
        if !self.algorithms.contains(&algorithm) || qop == Some(None) || !same(uri, signed.uri) {
            return None;
        }
        let once = Once {
            nonce: answer.find("nonce")?,
            nonce_count: answer.find("nc").unwrap_or_default(),
            cnonce: answer.find("cnonce").unwrap_or_default(),
        };
        let ha1 = ha1(username, algorithm.hash)?;
        // The client hashed the URI as it wrote it in the answer (RFC 7616 §3.4.3).
        let signed = Signed { uri, ..signed };
        let expected = algorithm::response(algorithm, &ha1, qop.flatten(), once, signed);
        let given = answer.find("response")?.to_ascii_lowercase();
        Some(expected.as_bytes().ct_eq(&given).into())
    }

    fn nonce(&self, made: u64, random: u64) -> String {
        let stamp = format!("{made:016x}{random:016x}");
        let mac = self.mac(&stamp);
        stamp + &mac
    }

    /// When the nonce was made, if it is one of ours.
    fn made(&self, nonce: &str) -> Result<u64, Denial> {
        let (stamp, mac) = nonce.split_at_checked(STAMP).ok_or(Denial::Wrong)?;
        if !bool::from(self.mac(stamp).as_bytes().ct_eq(mac.as_bytes())) {
            // Ours from before a restart, perhaps: RFC 7616 §3.3 has `stale` say whether the
            // password is right, which is not known here, and a client that is refused a nonce
            // it did not just get tries again either way.
            return Err(Denial::Wrong);
        }
        u64::from_str_radix(&stamp[..STAMP / 2], 16).map_err(|_| Denial::Wrong)
    }

    fn mac(&self, stamp: &str) -> String {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes keys of any length (RFC 2104 §2)"
        )]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(stamp.as_bytes());
        let code = mac.finalize().into_bytes();
        code.iter()
            .take(MAC / 2)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Without the key.
impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("realm", &self.realm)
            .field("algorithms", &self.algorithms)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// RFC 3261 §22.4: the URI of the answer and of the request line are to be equivalent.
fn same(answered: &str, requested: &str) -> bool {
    answered == requested
        || match (Uri::parse(answered), Uri::parse(requested)) {
            (Ok(answered), Ok(requested)) => answered.is_equivalent(&requested),
            _ => false,
        }
}
