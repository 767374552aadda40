//! Signatures of Standard Webhooks 1.0, and the secrets they are made with.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use sha2::Sha256;

use crate::message::Timestamp;

/// What every secret begins with when it is written out.
const PREFIX: &str = "whsec_";
/// Bytes of a secret that we make.
const LENGTH: usize = 32;

/// What signs: 24 to 64 bytes that the gateway and one receiver know. Shown by no formatter.
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
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The bytes, for the vault.
    pub(super) fn bytes(&self) -> &[u8] {
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

#[cfg(test)]
mod tests {
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
}
