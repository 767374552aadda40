//! Why a challenge is not answered.

/// How many characters of a peer's realm are told.
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
