//! Verifies what sipost posts, without a library for it.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use sha2::Sha256;

/// Whether the signature is right, and at most five minutes old.
pub fn verify(secret: &str, headers: &http::HeaderMap, body: &[u8]) -> Option<()> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    if now.abs_diff(timestamp.parse().ok()?) > 300 {
        return None;
    }
    let key = BASE64_STANDARD
        .decode(secret.strip_prefix("whsec_")?)
        .ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let mut signatures = header("webhook-signature")?.split(' ');
    // While a secret is being rotated there are two.
    let matches = |signature: &str| {
        let given = signature.strip_prefix("v1,")?;
        let given = BASE64_STANDARD.decode(given).ok()?;
        mac.clone().verify_slice(&given).ok()
    };
    signatures.find_map(matches)
}
