//! What each member of a message must be. Every mistake is found, so that a client reads them all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::accepted::{BodyEncoding, Metadata, OnUnknown};
use super::media_type::is_media_type;
use super::new_message::Limits;
use super::time::Timestamp;
use super::violations::{Place, Violations};

/// The most metadata pairs.
pub const MAX_METADATA: usize = 16;
/// The longest metadata key, in bytes.
const MAX_METADATA_KEY: usize = 64;
/// The longest metadata value, in bytes.
const MAX_METADATA_VALUE: usize = 512;

/// The message whose members are checked: where it stands in the request, and what is wrong.
pub(super) struct Findings<'a> {
    pub(super) place: Place<'a>,
    pub(super) violations: &'a mut Violations,
}

impl Findings<'_> {
    pub(super) fn add(&mut self, member: &str, detail: impl fmt::Display) {
        self.violations.add(self.place.member(member), detail);
    }
}

pub(super) fn body(
    text: Option<String>,
    encoding: Option<String>,
    findings: &mut Findings<'_>,
) -> (Bytes, BodyEncoding) {
    let text = text.unwrap_or_default();
    match encoding.as_deref() {
        None | Some("utf-8") => (text.into(), BodyEncoding::Utf8),
        Some("base64") => {
            let bytes = BASE64_STANDARD.decode(&text).unwrap_or_else(|error| {
                findings.add("body", format!("not base64 (RFC 4648 §4): {error}"));
                Vec::new()
            });
            (bytes.into(), BodyEncoding::Base64)
        }
        Some(_) => {
            findings.add("bodyEncoding", "\"utf-8\" or \"base64\"");
            (Bytes::new(), BodyEncoding::Utf8)
        }
    }
}

pub(super) fn content_type(given: Option<String>, findings: &mut Findings<'_>) -> String {
    let Some(text) = given else {
        return "text/plain".to_owned();
    };
    if !is_media_type(&text) {
        findings.add(
            "contentType",
            "a media type such as text/plain;charset=utf-8 (RFC 3261 §20.15)",
        );
    }
    text
}

pub(super) fn ttl(given: Option<u64>, limits: &Limits, findings: &mut Findings<'_>) -> Duration {
    let ttl = given.map_or(limits.ttl, Duration::from_secs);
    if given.is_some() && (ttl.is_zero() || ttl > limits.max_ttl) {
        findings.add("ttl", format!("seconds, 1 to {}", limits.max_ttl.as_secs()));
    }
    ttl
}

pub(super) fn send_at(
    given: Option<String>,
    limits: &Limits,
    now: Timestamp,
    findings: &mut Findings<'_>,
) -> Option<Timestamp> {
    match given?.parse::<Timestamp>() {
        Ok(time) if time <= now.plus(limits.max_schedule) => Some(time),
        Ok(_) => {
            let days = limits.max_schedule.as_secs() / 86_400;
            findings.add("sendAt", format!("at most {days} days ahead"));
            None
        }
        Err(error) => {
            findings.add("sendAt", error.to_string());
            None
        }
    }
}

pub(super) fn attempts(given: Option<u64>, limits: &Limits, findings: &mut Findings<'_>) -> u32 {
    let Some(given) = given else {
        return limits.attempts;
    };
    match u32::try_from(given) {
        Ok(attempts) if (1..=limits.max_attempts).contains(&attempts) => attempts,
        _ => {
            findings.add("attempts", format!("1 to {}", limits.max_attempts));
            1
        }
    }
}

pub(super) fn on_unknown(
    given: Option<String>,
    limits: &Limits,
    findings: &mut Findings<'_>,
) -> OnUnknown {
    match given.as_deref() {
        None => limits.on_unknown,
        Some("resend") => OnUnknown::Resend,
        Some("fail") => OnUnknown::Fail,
        Some(_) => {
            findings.add("onUnknown", "\"resend\" or \"fail\"");
            OnUnknown::Fail
        }
    }
}

/// Whether it is a URL that may be posted to is the business of who posts.
pub(super) fn webhook(
    given: Option<String>,
    limits: &Limits,
    findings: &mut Findings<'_>,
) -> Option<Arc<str>> {
    let text = given?;
    if !limits.webhook_secret {
        findings.add(
            "webhook",
            "webhooks.secret (or webhooks.secret_file) is not configured, and nothing is posted unsigned",
        );
    }
    Some(text.into())
}

pub(super) fn check_metadata(metadata: &Metadata, findings: &mut Findings<'_>) {
    let place = findings.place.member("metadata");
    if metadata.len() > MAX_METADATA {
        let detail = format_args!("at most {MAX_METADATA} pairs");
        findings.violations.add(place, detail);
    }
    for (key, value) in metadata {
        let place = place.member(key);
        if key.is_empty() || key.len() > MAX_METADATA_KEY || value.len() > MAX_METADATA_VALUE {
            let detail = format_args!(
                "a key has 1 to {MAX_METADATA_KEY} bytes, a value at most {MAX_METADATA_VALUE}"
            );
            findings.violations.add(place, detail);
        } else if key.chars().any(char::is_control) {
            let detail = "a key may not contain control characters";
            findings.violations.add(place, detail);
        }
    }
}
