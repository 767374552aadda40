//! Digest authentication: RFC 7616, as RFC 3261 §22 and RFC 8760 apply it to SIP.
//!
//! An [`Authenticator`] remembers what each realm asked for last, so that a request carries its
//! answer before it is asked (RFC 7616 §3.6): no message pays a round trip for it.

mod answer;
mod challenge;
mod hash;

use std::fmt;
use std::io::Write as _;

pub use answer::Answer;
pub use challenge::Challenge;
pub use challenge::Parameters;
pub use challenge::Unanswerable;
use challenge::unescape;
pub use hash::Algorithm;
pub use hash::Function;
pub use hash::Input;
pub use hash::Qop;

/// What challenges are answered with.
#[derive(Clone)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// What proves it. Never logged, never in an error.
    pub secret: Secret,
}

/// What proves a user name.
#[derive(Clone)]
pub enum Secret {
    /// The password.
    Password(String),
    /// H(username:realm:password) for this realm only; its length says with which function.
    Ha1 {
        /// The realm it was made for.
        realm: String,
        /// Hexadecimal digits, lower case.
        ha1: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// There was no challenge in the response.
    #[error("the response has no challenge")]
    NoChallenge,
    /// None of the challenges can be answered.
    #[error(transparent)]
    Unanswerable(Unanswerable),
    /// There is no secret for the realm or the algorithm.
    #[error("there are no credentials for this realm and algorithm")]
    NoCredentials,
    /// The answer was refused, and not for its age.
    #[error("the credentials were refused")]
    WrongCredentials,
    /// The request was challenged too often.
    #[error("challenged too often")]
    TooOften,
}

/// How often one request may be challenged: by two proxies and a server, each with a stale nonce.
const MAX_ROUNDS: u8 = 6;

/// Realms remembered. One account meets one server and perhaps two proxies.
const MAX_REALMS: usize = 8;

/// The challenges one request has answered so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rounds {
    count: u8,
    answered: Vec<(bool, String)>,
}

/// What the servers on the way have asked for, and the answers.
#[derive(Debug)]
pub struct Authenticator {
    credentials: Credentials,
    realms: Vec<Realm>,
}

#[derive(Debug)]
struct Realm {
    /// Asked by a proxy with 407, not by a server with 401.
    proxy: bool,
    challenge: Challenge,
    /// H(username:realm:password), for the challenge's function.
    base_key: String,
    /// H(A1): the base key, or what `-sess` makes of it with `cnonce`.
    key: String,
    /// Chosen at the nonce's first use and kept for its life (RFC 7616 §3.4.2).
    cnonce: String,
    nonce_count: u32,
}

impl Authenticator {
    /// Knows no realm yet.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            realms: Vec::new(),
        }
    }

    /// Learns what a 401 or a 407 asks for, from all its challenges: for each realm the strongest
    /// that can be answered (RFC 8760 §2.4). `Ok` when it is worth sending the request again.
    pub fn challenged(
        &mut self,
        status: u16,
        values: &[&str],
        rounds: &mut Rounds,
    ) -> Result<(), Refusal> {
        if rounds.count >= MAX_ROUNDS {
            return Err(Refusal::TooOften);
        }
        rounds.count += 1;
        let proxy = status == 407;
        let mut answered = false;
        for challenge in self.strongest(values)? {
            let known = (proxy, challenge.realm.clone());
            if rounds.answered.contains(&known) && !challenge.stale {
                return Err(Refusal::WrongCredentials);
            }
            if !rounds.answered.contains(&known) {
                rounds.answered.push(known);
            }
            self.remember(proxy, challenge);
            answered = true;
        }
        answered.then_some(()).ok_or(Refusal::NoChallenge)
    }

    /// For each realm the strongest challenge there are credentials for.
    fn strongest(&self, values: &[&str]) -> Result<Vec<Challenge>, Refusal> {
        let mut best: Vec<Challenge> = Vec::new();
        let mut refusal = Refusal::NoChallenge;
        for parameters in values.iter().flat_map(|value| Parameters::list(value)) {
            let challenge = match Challenge::read(&parameters) {
                Ok(challenge) => challenge,
                Err(why) => {
                    refusal = Refusal::Unanswerable(why);
                    continue;
                }
            };
            if self.base_key(&challenge).is_none() {
                refusal = Refusal::NoCredentials;
                continue;
            }
            let strength = challenge.algorithm.function;
            match best.iter().position(|known| known.realm == challenge.realm) {
                Some(at) if best[at].algorithm.function < strength => best[at] = challenge,
                None if best.len() < MAX_REALMS => best.push(challenge),
                Some(_) | None => {}
            }
        }
        if best.is_empty() {
            Err(refusal)
        } else {
            Ok(best)
        }
    }

    fn base_key(&self, challenge: &Challenge) -> Option<String> {
        let function = challenge.algorithm.function;
        let realm = unescape(&challenge.realm);
        match &self.credentials.secret {
            Secret::Password(password) => {
                let username = self.credentials.username.as_bytes();
                Some(function.hex(&[username, realm.as_bytes(), password.as_bytes()]))
            }
            // Of the two functions with 64 digits, the one RFC 8760 puts first.
            Secret::Ha1 { realm: known, ha1 } => {
                let fits = *known == *realm
                    && ha1.len() == function.digits()
                    && function != Function::Sha512_256;
                fits.then(|| ha1.clone())
            }
        }
    }

    fn remember(&mut self, proxy: bool, challenge: Challenge) {
        let Some(base_key) = self.base_key(&challenge) else {
            return;
        };
        let same = |realm: &Realm| realm.proxy == proxy && realm.challenge.realm == challenge.realm;
        let at = self.realms.iter().position(same);
        if let Some(at) = at {
            if self.realms[at].challenge.nonce == challenge.nonce {
                // Another request learned of this nonce first; its count goes on.
                return;
            }
            self.realms.remove(at);
        }
        if self.realms.len() >= MAX_REALMS {
            self.realms.remove(0);
        }
        let key = base_key.clone();
        let cnonce = String::new();
        self.realms.push(Realm {
            proxy,
            challenge,
            base_key,
            key,
            cnonce,
            nonce_count: 0,
        });
    }

    /// Takes the nonce a server wants used from now on (RFC 7616 §3.5).
    pub fn learn(&mut self, authentication_info: &str) {
        let scheme_added = format!("Digest {authentication_info}");
        let parameters = Parameters::list(&scheme_added);
        let next = parameters
            .first()
            .and_then(|parameters| parameters.get("nextnonce"));
        let Some(next) = next.filter(|next| !next.is_empty()) else {
            return;
        };
        let mut servers = self.realms.iter_mut().filter(|realm| !realm.proxy);
        // With several realms it would be a guess whose nonce it is.
        if let (Some(realm), None) = (servers.next(), servers.next()) {
            next.clone_into(&mut realm.challenge.nonce);
            realm.cnonce.clear();
            realm.nonce_count = 0;
        }
    }

    /// Writes a header line for every realm that has asked so far. `cnonce` is used for nonces
    /// that are used for the first time.
    pub fn authorize(
        &mut self,
        method: &str,
        uri: &str,
        body: &[u8],
        cnonce: &str,
        out: &mut Vec<u8>,
    ) {
        for realm in &mut self.realms {
            realm.write(&self.credentials.username, method, uri, body, cnonce, out);
        }
    }
}

impl Realm {
    fn write(
        &mut self,
        username: &str,
        method: &str,
        uri: &str,
        body: &[u8],
        cnonce: &str,
        out: &mut Vec<u8>,
    ) {
        let challenge = &self.challenge;
        let function = challenge.algorithm.function;
        if self.cnonce.is_empty() {
            cnonce.clone_into(&mut self.cnonce);
            let nonce = unescape(&challenge.nonce);
            self.key = match challenge.algorithm.session {
                true => {
                    let base = self.base_key.as_bytes();
                    function.hex(&[base, nonce.as_bytes(), cnonce.as_bytes()])
                }
                false => self.base_key.clone(),
            };
        }
        self.nonce_count = self.nonce_count.saturating_add(1);
        let input = Input {
            function,
            key: &self.key,
            nonce: &unescape(&challenge.nonce),
            nonce_count: self.nonce_count,
            cnonce: &self.cnonce,
            qop: challenge.qop,
            method,
            uri,
            body,
        };
        let response = input.response();
        let name = if self.proxy {
            "Proxy-Authorization"
        } else {
            "Authorization"
        };
        let username = super::headers::name_addr::quote(username);
        // Writing to memory cannot fail.
        let _ = write!(
            out,
            "{name}: Digest username={username}, realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", \
             response=\"{response}\"",
            challenge.realm, challenge.nonce
        );
        if challenge.names_algorithm {
            let _ = write!(out, ", algorithm={}", challenge.algorithm);
        }
        if let Some(opaque) = &challenge.opaque {
            let _ = write!(out, ", opaque=\"{opaque}\"");
        }
        if let Some(qop) = challenge.qop {
            let (qop, count, cnonce) = (qop.as_str(), self.nonce_count, &self.cnonce);
            let _ = write!(out, ", qop={qop}, nc={count:08x}, cnonce=\"{cnonce}\"");
        } else if challenge.algorithm.session {
            // RFC 7616 §3.4: a session's key cannot be checked without it.
            let _ = write!(out, ", cnonce=\"{}\"", self.cnonce);
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.function {
            Function::Md5 => "MD5",
            Function::Sha256 => "SHA-256",
            Function::Sha512_256 => "SHA-512-256",
        })?;
        f.write_str(if self.session { "-sess" } else { "" })
    }
}

#[cfg(test)]
mod tests;
