//! Signing secrets: the signatures of Standard Webhooks 1.0, and how secrets lie in the store.
//!
//! A signing secret must be had back to sign with, so it cannot be hashed. With
//! `webhooks.encryption_key` it is encrypted with AES-256-GCM, bound to its endpoint; without,
//! everyone who can read the store can read it, as they can read every message.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

use crate::message::{EndpointId, Timestamp};

/// What every secret begins with when it is written out.
const PREFIX: &str = "whsec_";
/// Bytes of a secret that we make.
const LENGTH: usize = 32;

/// A signing secret: 24 to 64 bytes that the gateway and one receiver know. No formatter shows it.
#[derive(Clone, Eq, PartialEq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// A new one, from the operating system's randomness by way of a cipher.
    pub fn random() -> Self {
        let bytes: [u8; LENGTH] = rand::rng().random();
        Self(bytes.to_vec())
    }

    /// Reads `whsec_` and base64; `None` when it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The secret of these bytes.
    fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that a receiver is given: `whsec_` and base64.
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", BASE64_STANDARD.encode(&self.0))
    }

    /// `v1,` and the base64 of an HMAC-SHA256 over `id.timestamp.body`.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            // HMAC takes keys of any length (RFC 2104 §2).
            return String::new();
        };
        mac.update(id.as_bytes());
        mac.update(format!(".{}.", seconds(at)).as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The time as `webhook-timestamp` says it: whole seconds since 1970.
pub(super) fn seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1_000)
}

/// The first byte of what lies in the store.
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// Encrypts secrets for the store, and decrypts them.
pub struct Vault {
    key: Option<LessSafeKey>,
}

/// Why a stored secret cannot be read.
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

    #[test]
    fn the_example_of_the_specification_has_its_signature() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp::from_millis(1_614_265_330_000),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_read_as_they_are_written_and_shown_by_no_formatter() {
        let secret = SigningSecret::random();
        let text = secret.expose();
        assert!(text.starts_with("whsec_"), "{text}");
        assert_eq!(SigningSecret::parse(&text), Some(secret.clone()));
        assert_ne!(SigningSecret::random(), secret);
        assert_eq!(format!("{secret:?}"), "***");
    }

    #[test]
    fn what_is_no_secret_is_not_taken() {
        let base64 = |length| BASE64_STANDARD.encode(vec![7; length]);
        assert!(SigningSecret::parse(&format!("whsec_{}", base64(24))).is_some());
        assert!(SigningSecret::parse(&format!("whsec_{}", base64(64))).is_some());
        for text in [
            String::new(),
            base64(24),
            format!("whsec_{}", base64(23)),
            format!("whsec_{}", base64(65)),
            "whsec_!".to_owned(),
        ] {
            assert_eq!(SigningSecret::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_public_verifier_takes_what_is_signed_here() {
        let secret = SigningSecret::random();
        let verifier = standardwebhooks::Webhook::new(&secret.expose()).unwrap();
        let now = crate::clock::Clock::system().now();
        let body = "{\"id\":\"1-0000000000000042\",\"Grüße\":true}";
        let signature = secret.sign("1-0000000000000042", now, body.as_bytes());
        let headers = |signature: &str| {
            let pairs = [
                ("webhook-id", "1-0000000000000042".to_owned()),
                ("webhook-timestamp", seconds(now).to_string()),
                ("webhook-signature", signature.to_owned()),
            ];
            let mut headers = http::HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(name, value.parse().unwrap());
            }
            headers
        };
        let verify = |body: &str, signature: &str| {
            verifier
                .verify(body.as_bytes(), &headers(signature))
                .is_ok()
        };
        assert!(verify(body, &signature));
        assert!(!verify("{}", &signature));
        // During a rotation a receiver finds its own among two.
        let other = SigningSecret::random().sign("1-0000000000000042", now, body.as_bytes());
        assert!(verify(body, &format!("{other} {signature}")));
        assert!(!verify(body, &other));
    }

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
