//! What one request has been through.

/// How many times one request may be challenged: two proxies and a server, each with one stale
/// nonce.
const MAX_ROUNDS: u8 = 6;

/// How many realms one request is signed for.
const MAX_SIGNATURES: usize = 4;

/// What one request has been through. It belongs to the request: to all its attempts at being
/// let in, and to nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rounds {
    challenged: u8,
    signatures: [Option<Signature>; MAX_SIGNATURES],
}

/// That a request was signed for a protection space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature {
    /// The id of the space.
    pub space: u32,
    /// Which of the nonces of the space it was signed with last.
    pub nonce: u32,
    /// Whether the server asked for it, or it was signed ahead.
    pub asked: bool,
}

impl Rounds {
    /// Takes note of another challenge; `false` if it is one too many.
    pub(super) fn begin(&mut self) -> bool {
        self.challenged = self.challenged.saturating_add(1);
        self.challenged <= MAX_ROUNDS
    }

    /// What counts for the same request with another body: how often it was challenged. A server
    /// may want it signed anew.
    pub(in crate::sip) fn of_new_body(self) -> Self {
        Self {
            challenged: self.challenged,
            ..Self::default()
        }
    }

    /// Whether the request is signed at all.
    pub(in crate::sip) fn has_signatures(&self) -> bool {
        self.signatures.iter().any(Option::is_some)
    }

    pub(super) fn signature(&self, space: u32) -> Option<Signature> {
        self.signatures
            .iter()
            .flatten()
            .find(|signature| signature.space == space)
            .copied()
    }

    /// Takes note that the request is signed for this space, with this one of its nonces; `false`
    /// if it is signed for too many.
    pub(super) fn sign(&mut self, space: u32, nonce: u32) -> bool {
        let same = |signature: &Option<Signature>| signature.is_some_and(|s| s.space == space);
        let known = self.signatures.iter().position(same);
        let Some(index) = known.or_else(|| self.signatures.iter().position(Option::is_none)) else {
            return false;
        };
        let asked = self.signatures[index].is_some_and(|signature| signature.asked);
        self.signatures[index] = Some(Signature {
            space,
            nonce,
            asked,
        });
        true
    }

    /// Takes note that the server asked for this space. A signature that no server asked for makes
    /// room.
    pub(super) fn asked(&mut self, space: u32, nonce: u32) {
        let same = |signature: &Option<Signature>| signature.is_some_and(|s| s.space == space);
        let unasked = |signature: &Option<Signature>| signature.is_none_or(|s| !s.asked);
        let index = self.signatures.iter().position(same);
        if let Some(index) = index.or_else(|| self.signatures.iter().position(unasked)) {
            self.signatures[index] = Some(Signature {
                space,
                nonce,
                asked: true,
            });
        }
    }
}
