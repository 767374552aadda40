//! Which of several challenges is answered (RFC 8760 §2.4).

use super::authenticator::Refusal;
use super::authenticator::Scope;
use super::challenge;
use super::challenge::Asked;
use super::challenge::Challenge;
use super::credentials::Credentials;

/// The strongest challenge of each realm that can be answered.
#[derive(Default)]
pub(super) struct Choice {
    best: Vec<(Scope, Challenge)>,
    unsupported: bool,
    foreign: bool,
}

impl Choice {
    /// Takes the challenges of a header value into account.
    pub(super) fn consider(&mut self, credentials: &Credentials, scope: &Scope, value: &[u8]) {
        for asked in challenge::parse(value) {
            let Asked::Digest(challenge) = asked else {
                self.unsupported = true;
                continue;
            };
            let answerable = credentials.is_for(&challenge.realm)
                && credentials.can_hash(challenge.algorithm.hash);
            if !answerable {
                self.foreign = true;
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

    /// What is to be answered.
    pub(super) fn finish(self) -> Result<Vec<(Scope, Challenge)>, Refusal> {
        match (self.best.is_empty(), self.foreign, self.unsupported) {
            (false, _, _) => Ok(self.best),
            (true, true, _) => Err(Refusal::ForeignRealm),
            (true, false, true) => Err(Refusal::Unsupported),
            (true, false, false) => Err(Refusal::NoChallenge),
        }
    }
}
