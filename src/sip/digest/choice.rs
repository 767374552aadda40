//! Which challenges are answered: of the realms that may be, the strongest one each.
//!
//! | the challenge is to | and its realm                                  | then                            |
//! |---------------------|------------------------------------------------|---------------------------------|
//! | a REGISTER          | any                                            | answered; the realm is known    |
//! | another request     | REGISTER was challenged for it                 | answered                        |
//! | another request     | the account's domain, or configured            | answered                        |
//! | another request     | any other                                      | refused                         |
//! | another request     | known, with a stronger algorithm than this one | refused                         |
//!
//! A REGISTER goes to our own server. Any other request goes on to strangers, and each server on
//! its way may challenge it, with a realm, an algorithm and a nonce of its choice, to guess the
//! password from the answer (RFC 3261 §26.1.1, RFC 7616 §5.7 and §5.8). A realm is only a text: a
//! stranger that names an answered realm gets an answer, but none weaker than that of our own
//! server.

use super::algorithm::Hash;
use super::challenge::{self, Challenge};
use super::credentials::Credentials;

/// How many realms are known; the one known for longest is forgotten.
const MAX_KNOWN: usize = 32;

/// The realms of one user agent.
#[derive(Debug)]
pub(super) struct Realms {
    /// Of the account; a domain name, in any case.
    domain: String,
    known: Vec<KnownRealm>,
}

#[derive(Debug)]
struct KnownRealm {
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

    /// Whether requests are signed ahead for this realm: the registrar or the configuration named
    /// it. The domain alone is not enough, because every recipient knows it.
    pub(super) fn may_sign_ahead(&self, credentials: &Credentials, realm: &[u8]) -> bool {
        let known = self.find(realm);
        known.is_some_and(|known| known.by_registrar) || credentials.names(realm)
    }

    /// A challenge to a request of this method is answered. What the registrar asks for is what its
    /// realm uses from now on. Others can raise the algorithm of a realm that the registrar has not
    /// named, and no other: a recipient would lock out the proxy of that realm.
    pub(super) fn learn(&mut self, method: &str, challenge: &Challenge) {
        let is_registrar = method == "REGISTER";
        let hash = challenge.algorithm.hash;
        let same = |known: &&mut KnownRealm| known.realm == challenge.realm;
        if let Some(known) = self.known.iter_mut().find(same) {
            if is_registrar {
                known.hash = hash;
            } else if !known.by_registrar {
                known.hash = known.hash.max(hash);
            }
            known.by_registrar |= is_registrar;
            return;
        }
        if self.known.len() == MAX_KNOWN {
            self.known.remove(0);
        }
        self.known.push(KnownRealm {
            realm: challenge.realm.clone(),
            hash,
            by_registrar: is_registrar,
        });
    }

    fn find(&self, realm: &[u8]) -> Option<&KnownRealm> {
        self.known.iter().find(|known| known.realm == realm)
    }
}

/// How many challenges of a response are looked at.
const MAX_CHALLENGES: usize = 16;

/// Where credentials are valid (RFC 3261 §22.1: a realm, and who asks).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    /// `Proxy-Authenticate`: everything passes there.
    Proxy,
    /// `WWW-Authenticate` on a REGISTER.
    Registrar,
    /// `WWW-Authenticate` on anything else: the host of the Request-URI.
    Host(String),
}

/// The strongest challenge of each realm that can be answered.
#[derive(Default)]
pub(super) struct Choice {
    best: Vec<(Scope, Challenge)>,
    considered: usize,
    /// Why the others are not answered; of several reasons the one that says most.
    refusal: Option<Refusal>,
}

impl Choice {
    /// Takes the challenges of a header value into account; `check` says which may be answered.
    pub(super) fn consider(
        &mut self,
        scope: &Scope,
        value: &[u8],
        check: impl Fn(&Challenge) -> Result<(), Refusal>,
    ) {
        for challenge in challenge::parse(value) {
            self.considered += 1;
            if self.considered > MAX_CHALLENGES {
                return;
            }
            let Some(challenge) = challenge else {
                self.refuse(Refusal::Unsupported);
                continue;
            };
            if let Err(refusal) = check(&challenge) {
                self.refuse(refusal);
                continue;
            }
            let same = self
                .best
                .iter_mut()
                .find(|(best_scope, best)| best_scope == scope && best.realm == challenge.realm);
            match same {
                None => self.best.push((scope.clone(), challenge)),
                Some((_, best)) if best.algorithm.hash < challenge.algorithm.hash => {
                    *best = challenge;
                }
                // Of equals the first: a server lists them as it prefers them (RFC 8760 §2.3).
                Some(_) => {}
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        if matches!(self.refusal, None | Some(Refusal::Unsupported)) {
            self.refusal = Some(refusal);
        }
    }

    /// The challenges to answer.
    pub(super) fn finish(self) -> Result<Vec<(Scope, Challenge)>, Refusal> {
        if self.best.is_empty() {
            return Err(self.refusal.unwrap_or(Refusal::NoChallenge));
        }
        Ok(self.best)
    }
}

/// The longest part of a peer's realm that is shown, in characters.
const MAX_SHOWN: usize = 64;

/// Why a challenge is not answered: the request has failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The user agent has no credentials.
    #[error("the server asks for credentials, and the account has none")]
    NoCredentials,
    /// The response has no challenge at all.
    #[error("the server asks for credentials without a challenge")]
    NoChallenge,
    /// None of the schemes, algorithms and protections on offer is known.
    #[error("the server asks for no digest that is known")]
    Unsupported,
    /// The credentials are for another realm or another hash function.
    #[error("the server asks for credentials of another realm or algorithm")]
    ForeignRealm,
    /// Neither the registrar nor the configuration has named the realm.
    #[error(
        "the realm \"{realm}\" asks for credentials: it is neither the registrar's nor the \
         account's domain, nor in the account's realms"
    )]
    UntrustedRealm {
        /// Its beginning.
        realm: String,
    },
    /// The realm has used a stronger one before.
    #[error("the realm asks for a weaker algorithm than it has used before")]
    Weaker,
    /// They were sent and did not convince.
    #[error("the credentials were shown and refused: the password or the user name is wrong")]
    Rejected,
    /// Challenged over and over.
    #[error("the server never stops asking for credentials")]
    TooManyRounds,
}

impl Refusal {
    pub(super) fn untrusted(realm: &[u8]) -> Self {
        let realm = String::from_utf8_lossy(realm);
        let shown = realm.chars().filter(|char| !char.is_control());
        Self::UntrustedRealm {
            realm: shown.take(MAX_SHOWN).collect(),
        }
    }
}
