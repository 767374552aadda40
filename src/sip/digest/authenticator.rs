//! The client side: answers challenges, and signs the requests after them without being asked.
//!
//! One [`Authenticator`] serves a user agent; each request has a [`Rounds`], which remembers what
//! it has answered. A challenge is about one realm, asked by a server or a proxy:
//!
//! | this request, for that realm     | stale | the nonce is | then                              |
//! |----------------------------------|-------|--------------|-----------------------------------|
//! | was not signed                   | any   | any          | sign with the new nonce           |
//! | was signed ahead                 | yes   | any          | sign with the new nonce           |
//! | was signed ahead                 | no    | another      | sign with the new nonce           |
//! | was signed ahead                 | no    | the same     | the credentials are wrong         |
//! | was signed when asked            | yes   | any          | sign with the new nonce           |
//! | was signed when asked            | no    | any          | the credentials are wrong         |
//!
//! The nonce is the same if it is the one that this very request was signed with: of many requests
//! in flight when a nonce expires, all are challenged with the next one, and only the first finds
//! it new.
//!
//! A request signed ahead gets its second chance without `stale`, because many servers forget
//! their nonces without a word. Whatever a server says, a request is signed a bounded number of
//! times.
//!
//! Which realms are answered at all is decided in `choice`: nothing is remembered of the others,
//! and so nothing is signed ahead for them.
//!
//! Nothing is signed ahead for a realm that neither the registrar nor the configuration named, nor
//! with a challenge to another request than REGISTER that takes more than [`MAX_AHEAD`]: a
//! recipient may have made it, and every message after it would carry it. A REGISTER carries only
//! what the way to the registrar asked for.
//!
//! Signed ahead is what falls into the same protection space. For a proxy that is every request
//! (RFC 3261 §22.3), for a server those to the same host, and registrations on their own:
//! registrars are seldom the same server as the one that takes messages, and their answers are
//! nothing to show to recipients.

use super::algorithm::{self, Hash, Hex, Once, Signed};
use super::challenge::{self, Challenge, push_quoted};
use super::choice::{Choice, Realms, Refusal, Scope};
use super::credentials::Credentials;
use super::rounds::{Rounds, Signature};

/// How many protection spaces are remembered; the one unused for longest is forgotten.
const MAX_SPACES: usize = 16;

/// How many HA1 are remembered.
const MAX_HA1: usize = 16;

/// Bytes of the nonce and the opaque value of a challenge, as they are written, up to which other
/// requests are signed ahead with it. Servers use less than 200.
const MAX_AHEAD: usize = 1024;

/// Signs the requests of one user agent.
#[derive(Debug)]
pub struct Authenticator {
    credentials: Option<Credentials>,
    realms: Realms,
    /// The one used last is the last.
    spaces: Vec<Space>,
    ha1: Vec<(Hash, Vec<u8>, Hex)>,
    /// The next id of a space.
    next_id: u32,
}

/// What a server or proxy wants for a realm.
#[derive(Debug)]
struct Space {
    /// Never given twice, so that a request that signed for a forgotten space knows.
    id: u32,
    scope: Scope,
    challenge: Challenge,
    /// Whether other requests than the challenged ones are signed for it.
    is_ahead: bool,
    /// Whether a REGISTER was challenged for it.
    is_of_register: bool,
    /// Which of its nonces this is: how many there were before.
    nonce: u32,
    /// How many requests were signed with this nonce.
    nonce_count: u32,
    /// With `-sess` the first one stays for as long as the nonce: servers differ in whether the
    /// session has one cnonce or each request its own, and like this both agree.
    session_cnonce: Option<String>,
}

impl Authenticator {
    /// A user agent of this domain with these credentials, or with none.
    pub fn new(credentials: Option<Credentials>, domain: &str) -> Self {
        Self {
            credentials,
            realms: Realms::new(domain),
            spaces: Vec::new(),
            ha1: Vec::new(),
            next_id: 0,
        }
    }

    /// Takes the challenges of a 401 or 407 to this request: the values of `WWW-Authenticate` and
    /// of `Proxy-Authenticate`. Both may be there, when a proxy forked (RFC 3261 §22.3).
    ///
    /// If it returns `Ok`, the request is to be sent again, signed by
    /// [`authorize`](Self::authorize).
    pub fn handle_challenge<'a>(
        &mut self,
        rounds: &mut Rounds,
        signed: Signed<'_>,
        server: impl IntoIterator<Item = &'a [u8]>,
        proxy: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Refusal> {
        let Some(credentials) = &self.credentials else {
            return Err(Refusal::NoCredentials);
        };
        if !rounds.begin() {
            return Err(Refusal::TooManyRounds);
        }
        let check =
            |challenge: &Challenge| self.realms.check(credentials, signed.method, challenge);
        let mut choice = Choice::default();
        for value in server {
            choice.consider(&scope_of_server(signed), value, check);
        }
        for value in proxy {
            choice.consider(&Scope::Proxy, value, check);
        }
        let chosen = choice.finish()?;
        let is_register = signed.method == "REGISTER";
        for (scope, challenge) in chosen {
            self.realms.learn(signed.method, &challenge);
            if is_register {
                self.forget_weaker(&challenge);
            }
            let may_sign_ahead = self.credentials.as_ref().is_some_and(|credentials| {
                self.realms.may_sign_ahead(credentials, &challenge.realm)
            });
            let is_ahead = may_sign_ahead && (is_register || written(&challenge) <= MAX_AHEAD);
            self.answer(rounds, Space::new(scope, challenge, is_ahead, is_register))?;
        }
        Ok(())
    }

    /// Takes the values of `Authentication-Info` and `Proxy-Authentication-Info` of a 2xx to this
    /// request: the server may name the next nonce (RFC 7616 §3.5, RFC 7615).
    pub fn handle_info<'a>(
        &mut self,
        rounds: &Rounds,
        server: impl IntoIterator<Item = &'a [u8]>,
        proxy: impl IntoIterator<Item = &'a [u8]>,
    ) {
        // Most requests go to peers that do not challenge: there is nothing to look for.
        if !rounds.has_signatures() {
            return;
        }
        for value in server {
            self.take_next_nonce(rounds, value, |scope| *scope != Scope::Proxy);
        }
        for value in proxy {
            self.take_next_nonce(rounds, value, |scope| *scope == Scope::Proxy);
        }
    }

    /// Appends the complete lines of `Authorization` and `Proxy-Authorization` that this request
    /// needs as far as is known. `cnonce` is fresh, random, and free of `"` and `\`.
    pub fn authorize(
        &mut self,
        rounds: &mut Rounds,
        signed: Signed<'_>,
        cnonce: &str,
        out: &mut Vec<u8>,
    ) {
        let Some(credentials) = &self.credentials else {
            return;
        };
        let scope = scope_of_server(signed);
        let is_register = signed.method == "REGISTER";
        for space in self.spaces.iter_mut().rev() {
            let is_asked = rounds.signature(space.id).is_some();
            let may_be_ahead = space.is_ahead && (space.is_of_register || !is_register);
            let applies = space.scope == Scope::Proxy || space.scope == scope;
            if applies && (is_asked || may_be_ahead) && rounds.sign(space.id, space.nonce) {
                let challenge = &space.challenge;
                let ha1 = cached(&mut self.ha1, credentials, challenge);
                space.write(credentials, &ha1, signed, cnonce, out);
            }
        }
    }

    /// Forgets spaces of this realm with a weaker algorithm, so that nothing is signed ahead with
    /// it.
    fn forget_weaker(&mut self, challenge: &Challenge) {
        self.spaces.retain(|space| {
            space.challenge.realm != challenge.realm
                || space.challenge.algorithm.hash >= challenge.algorithm.hash
        });
    }

    fn answer(&mut self, rounds: &mut Rounds, asked: Space) -> Result<(), Refusal> {
        let known = self.spaces.iter().position(|space| {
            space.scope == asked.scope
                && space.challenge.realm == asked.challenge.realm
                && space.is_ahead == asked.is_ahead
        });
        let Some(index) = known else {
            self.remember(rounds, asked);
            return Ok(());
        };
        let challenge = asked.challenge;
        let space = &self.spaces[index];
        let same_nonce = space.challenge.nonce == challenge.nonce;
        let refused = match rounds.signature(space.id) {
            None => false,
            Some(Signature { asked: true, .. }) => !challenge.stale,
            // Others may have had this challenge before: what counts is the nonce that this request
            // was signed with.
            Some(Signature { nonce, .. }) => !challenge.stale && same_nonce && nonce == space.nonce,
        };
        let mut space = self.spaces.remove(index);
        if refused {
            return Err(Refusal::Rejected);
        }
        // Where the server keeps its nonce, its count goes on.
        if same_nonce {
            space.challenge = challenge;
        } else {
            space.renew(challenge);
        }
        space.is_of_register |= asked.is_of_register;
        rounds.asked(space.id, space.nonce);
        self.spaces.push(space);
        Ok(())
    }

    fn remember(&mut self, rounds: &mut Rounds, space: Space) {
        if self.spaces.len() == MAX_SPACES {
            // What recipients ask for takes no space from what servers ask for.
            let oldest = self.spaces.iter().position(|space| !space.is_ahead);
            self.spaces.remove(oldest.unwrap_or_default());
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        rounds.asked(id, 0);
        self.spaces.push(Space { id, ..space });
    }

    fn take_next_nonce(&mut self, rounds: &Rounds, value: &[u8], wanted: fn(&Scope) -> bool) {
        let params = challenge::parse_params(value);
        let Some(nonce) = params.iter().find_map(|params| params.find("nextnonce")) else {
            return;
        };
        // The header names no realm: it speaks of the one this request was signed for.
        let mut spaces = self.spaces.iter_mut().filter(|space| wanted(&space.scope));
        let space = spaces.find(|space| rounds.signature(space.id).is_some());
        if let Some(space) = space
            && !nonce.is_empty()
            && space.challenge.nonce != nonce
            // A recipient may have named it, as it may have made a challenge.
            && quoted_len(nonce) <= MAX_AHEAD
        {
            space.renew(Challenge {
                nonce: nonce.to_vec(),
                ..space.challenge.clone()
            });
        }
    }
}

/// Bytes that the nonce and the opaque value take in a header, escapes counted.
fn written(challenge: &Challenge) -> usize {
    quoted_len(&challenge.nonce) + challenge.opaque.as_deref().map_or(0, quoted_len)
}

/// Bytes of a value between its quotes, escapes counted.
fn quoted_len(value: &[u8]) -> usize {
    let escapes = value.iter().filter(|byte| matches!(byte, b'"' | b'\\'));
    value.len() + escapes.count()
}

impl Space {
    fn new(scope: Scope, challenge: Challenge, is_ahead: bool, is_of_register: bool) -> Self {
        Self {
            id: 0,
            scope,
            challenge,
            is_ahead,
            is_of_register,
            nonce: 0,
            nonce_count: 0,
            session_cnonce: None,
        }
    }

    fn renew(&mut self, challenge: Challenge) {
        self.challenge = challenge;
        self.nonce = self.nonce.wrapping_add(1);
        self.nonce_count = 0;
        self.session_cnonce = None;
    }

    fn write(
        &mut self,
        credentials: &Credentials,
        ha1: &Hex,
        signed: Signed<'_>,
        cnonce: &str,
        out: &mut Vec<u8>,
    ) {
        self.nonce_count = self.nonce_count.saturating_add(1);
        let challenge = &self.challenge;
        let cnonce = if challenge.algorithm.session {
            let session = &mut self.session_cnonce;
            session.get_or_insert_with(|| cnonce.to_owned()).as_str()
        } else {
            cnonce
        };
        let nonce_count = format!("{:08x}", self.nonce_count);
        let once = Once {
            nonce: &challenge.nonce,
            nonce_count: nonce_count.as_bytes(),
            cnonce: cnonce.as_bytes(),
        };
        let response = algorithm::response(challenge.algorithm, ha1, challenge.qop, once, signed);

        out.extend_from_slice(match self.scope {
            Scope::Proxy => b"Proxy-Authorization: Digest username=",
            Scope::Registrar | Scope::Host(_) => b"Authorization: Digest username=",
        });
        push_username(out, credentials.username(), challenge);
        push_quoted(out, ", realm=", &challenge.realm);
        push_quoted(out, ", nonce=", &challenge.nonce);
        push_quoted(out, ", uri=", signed.uri.as_bytes());
        push_quoted(out, ", response=", response.as_bytes());
        if challenge.names_algorithm {
            push_token(out, ", algorithm=", challenge.algorithm.as_str());
        }
        if let Some(opaque) = &challenge.opaque {
            push_quoted(out, ", opaque=", opaque);
        }
        if challenge.qop.is_some() || challenge.algorithm.session {
            push_quoted(out, ", cnonce=", cnonce.as_bytes());
        }
        if let Some(qop) = challenge.qop {
            push_token(out, ", qop=", qop.as_str());
            push_token(out, ", nc=", &nonce_count);
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn cached(
    cache: &mut Vec<(Hash, Vec<u8>, Hex)>,
    credentials: &Credentials,
    challenge: &Challenge,
) -> Hex {
    let (hash, realm) = (challenge.algorithm.hash, &challenge.realm);
    let known = cache
        .iter()
        .find(|(of, theirs, _)| *of == hash && theirs == realm);
    if let Some((_, _, ha1)) = known {
        return *ha1;
    }
    if cache.len() == MAX_HA1 {
        cache.remove(0);
    }
    let ha1 = credentials.ha1_of(hash, realm);
    cache.push((hash, realm.clone(), ha1));
    ha1
}

fn scope_of_server(signed: Signed<'_>) -> Scope {
    if signed.method == "REGISTER" {
        return Scope::Registrar;
    }
    let (_, rest) = signed.uri.split_once(':').unwrap_or_default();
    let hostport = rest.rsplit_once('@').map_or(rest, |(_, hostport)| hostport);
    let host = hostport.split([';', '?']).next().unwrap_or_default();
    Scope::Host(host.to_ascii_lowercase())
}

fn push_username(out: &mut Vec<u8>, username: &str, challenge: &Challenge) {
    if !challenge.userhash {
        return push_quoted(out, "", username.as_bytes());
    }
    let hash = challenge.algorithm.hash;
    let hash = hash.of(&[username.as_bytes(), &challenge.realm]);
    push_quoted(out, "", hash.as_bytes());
    out.extend_from_slice(b", userhash=true");
}

fn push_token(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(value.as_bytes());
}
