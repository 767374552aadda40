//! The posts of webhooks, signed as Standard Webhooks 1.0 asks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::error::WebhookError;
use crate::types::Event;

/// Posts that are older, or newer, are refused.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The headers of a post that its signature is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct WebhookHeaders<'a> {
    /// `webhook-id`.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`.
    pub signature: Option<&'a str>,
}

impl<'a> WebhookHeaders<'a> {
    /// Those of a request, whatever library has its headers: `get` returns one by its name in
    /// lower case.
    pub fn from_fn(get: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        Self {
            id: get("webhook-id"),
            timestamp: get("webhook-timestamp"),
            signature: get("webhook-signature"),
        }
    }
}

/// Verifies the post of a webhook and returns its event.
///
/// `body` is the body as it came. `secrets` are `whsec_…`: one, or several while one replaces
/// another.
///
/// # Errors
///
/// For any post that is not signed with one of the secrets, or is too old.
pub fn verify_webhook(
    body: &[u8],
    headers: WebhookHeaders<'_>,
    secrets: &[&str],
) -> Result<Event, WebhookError> {
    verify_webhook_at(body, headers, secrets, SystemTime::now())
}

/// [`verify_webhook`] at another time than now.
///
/// # Errors
///
/// As [`verify_webhook`].
pub fn verify_webhook_at(
    body: &[u8],
    headers: WebhookHeaders<'_>,
    secrets: &[&str],
    now: SystemTime,
) -> Result<Event, WebhookError> {
    let id = headers.id.ok_or(WebhookError::NoHeader("webhook-id"))?;
    let timestamp = headers.timestamp;
    let timestamp = timestamp.ok_or(WebhookError::NoHeader("webhook-timestamp"))?;
    let signatures = headers.signature;
    let signatures = signatures.ok_or(WebhookError::NoHeader("webhook-signature"))?;

    let seconds = timestamp.parse().map_err(|_| WebhookError::Time)?;
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_err(|_| WebhookError::Time)?;
    if now.abs_diff(Duration::from_secs(seconds)) > TOLERANCE {
        return Err(WebhookError::Time);
    }
    for secret in secrets {
        let key = from_base64(secret.strip_prefix("whsec_").unwrap_or(secret))?;
        let mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| WebhookError::Encoding)?;
        let mac = mac
            .chain_update(id)
            .chain_update(".")
            .chain_update(timestamp)
            .chain_update(".")
            .chain_update(body);
        for signature in signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"))
        {
            // It compares in constant time.
            if mac.clone().verify_slice(&from_base64(signature)?).is_ok() {
                return Ok(serde_json::from_slice(body)?);
            }
        }
    }
    Err(WebhookError::Signature)
}

fn from_base64(text: &str) -> Result<Vec<u8>, WebhookError> {
    BASE64_STANDARD
        .decode(text)
        .map_err(|_| WebhookError::Encoding)
}
