//! How secrets lie in the store: encrypted when there is a key, else as they are.
//!
//! A signing secret must be had back to sign with, so it cannot be hashed. With
//! `webhooks.encryption_key` it is encrypted with AES-256-GCM, bound to the endpoint it belongs to;
//! without, whoever can read the store can read it, as they can read every message.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use rand::RngExt as _;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::sign::SigningSecret;
use crate::message::EndpointId;

/// The first byte of what lies in the store.
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// Puts secrets away and takes them out again.
pub struct Vault {
    key: Option<LessSafeKey>,
}

/// Why a secret cannot be taken out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VaultError {
    /// It is encrypted, and there is no key.
    #[error("its secret is encrypted, and webhooks.encryption_key is not set")]
    NoKey,
    /// It was encrypted with another key, or is damaged.
    #[error("webhooks.encryption_key does not open its secret")]
    OtherKey,
}

/// The text is not the base64 of 32 bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the key of the vault is not the base64 of 32 bytes")]
pub struct KeyError;

impl Vault {
    /// One that keeps secrets as they are.
    pub fn plain() -> Self {
        Self { key: None }
    }

    /// One that encrypts with this key: the base64 of 32 bytes.
    pub fn with_key(key: &str) -> Result<Self, KeyError> {
        let bytes = BASE64_STANDARD.decode(key).map_err(|_| KeyError)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| KeyError)?;
        Ok(Self {
            key: Some(LessSafeKey::new(key)),
        })
    }

    /// The form in which the secret of this endpoint is stored.
    pub(super) fn seal(&self, id: EndpointId, secret: &SigningSecret) -> Bytes {
        let Some(key) = &self.key else {
            return [&[PLAIN], secret.bytes()].concat().into();
        };
        // Random nonces may meet after some 2^32 secrets of one key; a gateway makes a few.
        let nonce: [u8; NONCE_LEN] = rand::rng().random();
        let mut sealed = secret.bytes().to_vec();
        let nonce_once = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(*id.as_bytes());
        match key.seal_in_place_append_tag(nonce_once, aad, &mut sealed) {
            Ok(()) => [&[SEALED], &nonce[..], &sealed].concat().into(),
            // Only texts of more than 64 GiB are refused.
            Err(_) => Bytes::new(),
        }
    }

    /// The secret of this endpoint.
    pub(super) fn open(&self, id: EndpointId, stored: &[u8]) -> Result<SigningSecret, VaultError> {
        let (nonce, sealed) = match stored.split_first() {
            Some((&PLAIN, secret)) => return Ok(SigningSecret::from_bytes(secret)),
            Some((&SEALED, sealed)) => sealed
                .split_first_chunk::<NONCE_LEN>()
                .ok_or(VaultError::OtherKey)?,
            Some(_) | None => return Err(VaultError::OtherKey),
        };
        let key = self.key.as_ref().ok_or(VaultError::NoKey)?;
        let mut text = sealed.to_vec();
        let aad = Aad::from(*id.as_bytes());
        let secret = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text)
            .map_err(|_| VaultError::OtherKey)?;
        Ok(SigningSecret::from_bytes(secret))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> EndpointId {
        EndpointId::new(Uuid::from_u128(number))
    }

    fn vault(byte: u8) -> Vault {
        Vault::with_key(&BASE64_STANDARD.encode([byte; 32])).unwrap()
    }

    #[test]
    fn a_secret_comes_back_with_its_key_for_its_endpoint_only() {
        let secret = SigningSecret::random();
        let stored = vault(1).seal(id(1), &secret);
        assert_eq!(vault(1).open(id(1), &stored), Ok(secret.clone()));
        assert_eq!(vault(2).open(id(1), &stored), Err(VaultError::OtherKey));
        assert_eq!(vault(1).open(id(2), &stored), Err(VaultError::OtherKey));
        assert_eq!(Vault::plain().open(id(1), &stored), Err(VaultError::NoKey));
        let visible = stored
            .windows(8)
            .any(|some| secret.bytes().starts_with(some));
        assert!(!visible);
        for damaged in [&[][..], &[1], &[1; 9], &[1; 40], &[2; 40]] {
            assert_eq!(vault(1).open(id(1), damaged), Err(VaultError::OtherKey));
        }
    }

    #[test]
    fn what_was_put_away_without_a_key_is_read_with_one_too() {
        let secret = SigningSecret::random();
        let stored = Vault::plain().seal(id(1), &secret);
        assert_eq!(Vault::plain().open(id(1), &stored), Ok(secret.clone()));
        assert_eq!(vault(1).open(id(1), &stored), Ok(secret));
    }

    #[test]
    fn a_key_has_32_bytes() {
        for key in ["", "!", &BASE64_STANDARD.encode([1; 31])] {
            assert!(Vault::with_key(key).is_err(), "{key}");
        }
    }
}
