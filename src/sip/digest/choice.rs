//! Which of several challenges is answered (RFC 8760 §2.4).

use super::authenticator::Scope;
use super::challenge;
use super::challenge::{Asked, Challenge};
use super::refusal::Refusal;

/// How many challenges of a response are looked at.
const MAX_CHALLENGES: usize = 16;

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
        for asked in challenge::parse(value) {
            self.considered += 1;
            if self.considered > MAX_CHALLENGES {
                return;
            }
            let challenge = match asked {
                Asked::Digest(challenge) => challenge,
                Asked::Unknown => {
                    self.refuse(Refusal::Unsupported);
                    continue;
                }
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

    /// What is to be answered.
    pub(super) fn finish(self) -> Result<Vec<(Scope, Challenge)>, Refusal> {
        match self.best.is_empty() {
            false => Ok(self.best),
            true => Err(self.refusal.unwrap_or(Refusal::NoChallenge)),
        }
    }
}
