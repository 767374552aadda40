//! Which realms are answered, and how well at least.
//!
//! | the challenge is to | and its realm                                  | then                            |
//! |---------------------|------------------------------------------------|---------------------------------|
//! | a REGISTER          | any                                            | answered; the realm is known    |
//! | another request     | REGISTER was challenged for it                 | answered                        |
//! | another request     | the account's domain, or configured            | answered                        |
//! | another request     | any other                                      | refused                         |
//! | another request     | known, with a stronger algorithm than this one | refused                         |
//!
//! A REGISTER goes to our own server. Any other request goes on to strangers, and whoever it passes
//! may challenge it, with a realm, an algorithm and a nonce of their choice, to guess at the
//! password with the answer (RFC 3261 §26.1.1, RFC 7616 §5.7 and §5.8). A realm is only a text: one
//! who names a realm that is answered gets an answer, but none that is weaker than that of our own
//! server.

use super::algorithm::Hash;
use super::challenge::Challenge;
use super::credentials::Credentials;
use super::refusal::Refusal;

/// How many realms are known; the one known for longest is forgotten.
const MAX_KNOWN: usize = 32;

/// The realms of one user agent.
#[derive(Debug)]
pub(super) struct Realms {
    /// Of the account; a domain name, in any case.
    domain: String,
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    realm: Vec<u8>,
    /// The algorithm used for it.
    hash: Hash,
    by_registrar: bool,
}

impl Realms {
    pub(super) fn new(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            known: Vec::new(),
        }
    }

    /// Whether a challenge to a request of this method may be answered.
    pub(super) fn check(
        &self,
        credentials: &Credentials,
        method: &str,
        challenge: &Challenge,
    ) -> Result<(), Refusal> {
        let realm = challenge.realm.as_slice();
        if !credentials.is_for(realm) || !credentials.can_hash(challenge.algorithm.hash) {
            return Err(Refusal::ForeignRealm);
        }
        if method == "REGISTER" {
            return Ok(());
        }
        let known = self.find(realm);
        let is_ours = known.is_some_and(|known| known.by_registrar)
            || credentials.names(realm)
            || realm.eq_ignore_ascii_case(self.domain.as_bytes());
        if !is_ours {
            return Err(Refusal::untrusted(realm));
        }
        match known {
            Some(known) if challenge.algorithm.hash < known.hash => Err(Refusal::Weaker),
            Some(_) | None => Ok(()),
        }
    }

    /// A challenge to a request of this method is answered. What the registrar asks for is what its
    /// realm uses from now on; others can only raise it.
    pub(super) fn learn(&mut self, method: &str, challenge: &Challenge) {
        let is_registrar = method == "REGISTER";
        let hash = challenge.algorithm.hash;
        let same = |known: &&mut Known| known.realm == challenge.realm;
        if let Some(known) = self.known.iter_mut().find(same) {
            known.by_registrar |= is_registrar;
            known.hash = match is_registrar {
                true => hash,
                false => known.hash.max(hash),
            };
            return;
        }
        if self.known.len() == MAX_KNOWN {
            self.known.remove(0);
        }
        self.known.push(Known {
            realm: challenge.realm.clone(),
            hash,
            by_registrar: is_registrar,
        });
    }

    fn find(&self, realm: &[u8]) -> Option<&Known> {
        self.known.iter().find(|known| known.realm == realm)
    }
}
