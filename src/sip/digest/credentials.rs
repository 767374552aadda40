//! A user name and its secret.

use std::fmt;

use super::algorithm::{Hash, Hex};

/// A user name and what proves it.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials {
    username: String,
    /// The only realm that is answered, if there is one.
    realm: Option<String>,
    /// Realms that are answered besides those of the registrar and the domain.
    also: Vec<String>,
    proof: Proof,
}

#[derive(Clone, Eq, PartialEq)]
enum Proof {
    Password(String),
    /// Good for one realm and one hash function.
    Ha1(Hash, Hex),
}

/// Why a text is no HA1.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("ha1 is neither 32 (MD5) nor 64 (SHA-256) hexadecimal digits")]
pub struct Ha1Error;

impl Credentials {
    /// With a password, which answers any realm that may be answered.
    pub fn password(username: impl Into<String>, password: impl Into<String>) -> Self {
        let proof = Proof::Password(password.into());
        Self {
            username: username.into(),
            realm: None,
            also: Vec::new(),
            proof,
        }
    }

    /// With `H(username:realm:password)`: 32 hexadecimal digits are MD5's, 64 are SHA-256's.
    pub fn ha1(
        username: impl Into<String>,
        realm: impl Into<String>,
        ha1: &str,
    ) -> Result<Self, Ha1Error> {
        let hex = Hex::parse(ha1).ok_or(Ha1Error)?;
        let hash = match ha1.len() {
            32 => Hash::Md5,
            _ => Hash::Sha256,
        };
        let proof = Proof::Ha1(hash, hex);
        Ok(Self {
            username: username.into(),
            realm: Some(realm.into()),
            also: Vec::new(),
            proof,
        })
    }

    /// Answers this realm only.
    #[must_use]
    pub fn only_for(self, realm: impl Into<String>) -> Self {
        Self {
            realm: Some(realm.into()),
            ..self
        }
    }

    /// Answers these realms too when a request other than REGISTER is challenged for them.
    #[must_use]
    pub fn also_for(self, realms: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            also: realms.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// The user name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Whether this realm may be answered.
    pub(super) fn is_for(&self, realm: &[u8]) -> bool {
        self.realm
            .as_ref()
            .is_none_or(|only| only.as_bytes() == realm)
    }

    /// Whether this realm was configured.
    pub(super) fn names(&self, realm: &[u8]) -> bool {
        let mut named = self.realm.iter().chain(&self.also);
        named.any(|named| named.as_bytes() == realm)
    }

    /// Whether a challenge with this hash function can be answered.
    pub(super) fn can_hash(&self, hash: Hash) -> bool {
        match &self.proof {
            Proof::Password(_) => true,
            Proof::Ha1(theirs, _) => *theirs == hash,
        }
    }

    /// The secret part of A1: `H(username:realm:password)` (RFC 7616 §3.4.2).
    pub(super) fn ha1_of(&self, hash: Hash, realm: &[u8]) -> Hex {
        match &self.proof {
            Proof::Password(password) => {
                hash.of(&[self.username.as_bytes(), realm, password.as_bytes()])
            }
            Proof::Ha1(_, ha1) => *ha1,
        }
    }
}

/// Without the secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = match self.proof {
            Proof::Password(_) => "password",
            Proof::Ha1(..) => "ha1",
        };
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .field(secret, &"***")
            .finish()
    }
}
