//! What the operator allows, and what each member of a message must be.

use std::time::Duration;

use super::contents::{Contents, Metadata, OnUnknown};
use super::time::Timestamp;
use super::violations::{Place, Violations};

/// The most metadata pairs.
pub const MAX_METADATA: usize = 16;
/// The longest metadata key, in bytes.
const MAX_METADATA_KEY: usize = 64;
/// The longest metadata value, in bytes.
const MAX_METADATA_VALUE: usize = 512;

/// What the operator allows, and what holds where the client says nothing.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a message may take when the client does not say.
    pub ttl: Duration,
    /// The longest time to live a client may ask for.
    pub max_ttl: Duration,
    /// How far ahead `sendAt` may lie.
    pub max_schedule: Duration,
    /// Tries when the client does not say.
    pub attempts: u32,
    /// The most tries a client may ask for.
    pub max_attempts: u32,
    /// The default for an unknown outcome.
    pub on_unknown: OnUnknown,
    /// Whether the operator configured a secret that signs per-message webhooks.
    pub webhook_secret: bool,
}

impl Limits {
    /// Contents of which the client has said nothing yet.
    pub fn defaults(&self) -> Contents {
        Contents {
            ttl: self.ttl,
            attempts: self.attempts,
            on_unknown: self.on_unknown,
            ..Contents::default()
        }
    }

    /// Checks a time to live in seconds.
    pub fn ttl(&self, seconds: u64) -> Result<Duration, String> {
        let ttl = Duration::from_secs(seconds);
        if !ttl.is_zero() && ttl <= self.max_ttl {
            Ok(ttl)
        } else {
            Err(format!("seconds, 1 to {}", self.max_ttl.as_secs()))
        }
    }

    /// Checks a time to send at, in RFC 3339.
    pub fn send_at(&self, text: &str, now: Timestamp) -> Result<Timestamp, String> {
        let time: Timestamp = text.parse().map_err(|error| format!("{error}"))?;
        if time > now.plus(self.max_schedule) {
            let days = self.max_schedule.as_secs() / 86_400;
            return Err(format!("at most {days} days ahead"));
        }
        Ok(time)
    }

    /// Checks a number of tries.
    pub fn attempts(&self, given: u64) -> Result<u32, String> {
        let attempts = u32::try_from(given).ok();
        attempts
            .filter(|attempts| (1..=self.max_attempts).contains(attempts))
            .ok_or_else(|| format!("1 to {}", self.max_attempts))
    }
}

/// Checks metadata that stands at this place.
pub fn check_metadata(metadata: &Metadata, place: Place<'_>, violations: &mut Violations) {
    if metadata.len() > MAX_METADATA {
        violations.add(place, format_args!("at most {MAX_METADATA} pairs"));
    }
    for (key, value) in metadata {
        let place = place.member(key);
        if key.is_empty() || key.len() > MAX_METADATA_KEY || value.len() > MAX_METADATA_VALUE {
            let detail = format_args!(
                "a key has 1 to {MAX_METADATA_KEY} bytes, a value at most {MAX_METADATA_VALUE}"
            );
            violations.add(place, detail);
        } else if key.chars().any(char::is_control) {
            violations.add(place, "a key may not contain control characters");
        }
    }
}
