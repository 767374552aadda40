//! What each member of a message must be. Every mistake is found, so that a client reads them all.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::accepted::BodyEncoding;
use super::accepted::Metadata;
use super::accepted::OnUnknown;
use super::header::Header;
use super::header::HeaderError;
use super::media_type::is_media_type;
use super::new_message::HeaderLine;
use super::new_message::Limits;
use super::new_message::NewHeader;
use super::new_message::Violation;
use super::time::Timestamp;

/// The most metadata pairs.
const MAX_METADATA: usize = 16;
/// The longest metadata key, in bytes.
const MAX_METADATA_KEY: usize = 64;
/// The longest metadata value, in bytes.
const MAX_METADATA_VALUE: usize = 512;
/// The most extra headers.
const MAX_HEADERS: usize = 64;
/// The longest webhook URL, in bytes.
const MAX_WEBHOOK: usize = 2048;

/// Collects what is wrong, so that a client reads every mistake at once.
#[derive(Default)]
pub(super) struct Findings(Vec<Violation>);

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.0
    }

    pub(super) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Violation {
            pointer: pointer.into(),
            detail: detail.into(),
        });
    }
}

pub(super) fn body(
    text: String,
    encoding: Option<String>,
    findings: &mut Findings,
) -> (Bytes, BodyEncoding) {
    match encoding.as_deref() {
        None | Some("utf-8") => (text.into(), BodyEncoding::Utf8),
        Some("base64") => {
            let bytes = BASE64_STANDARD.decode(&text).unwrap_or_else(|error| {
                findings.add("/body", format!("not base64 (RFC 4648 §4): {error}"));
                Vec::new()
            });
            (bytes.into(), BodyEncoding::Base64)
        }
        Some(_) => {
            findings.add("/bodyEncoding", "\"utf-8\" or \"base64\"");
            (Bytes::new(), BodyEncoding::Utf8)
        }
    }
}

pub(super) fn content_type(given: Option<String>, findings: &mut Findings) -> String {
    let Some(text) = given else {
        return "text/plain".to_owned();
    };
    if !is_media_type(&text) {
        findings.add(
            "/contentType",
            "a media type such as text/plain;charset=utf-8 (RFC 3261 §20.15)",
        );
    }
    text
}

pub(super) fn headers(given: Vec<NewHeader>, findings: &mut Findings) -> Vec<Header> {
    if given.len() > MAX_HEADERS {
        findings.add("/extraHeaders", format!("at most {MAX_HEADERS} headers"));
        return Vec::new();
    }
    let mut headers = Vec::with_capacity(given.len());
    for header in given {
        let parsed: Result<Header, HeaderError> = match &header.line {
            HeaderLine::Whole(line) => Header::parse(line),
            HeaderLine::Pair(name, value) => Header::new(name, value),
        };
        match parsed {
            Ok(parsed) => headers.push(parsed),
            Err(error) => findings.add(header.pointer, error.to_string()),
        }
    }
    headers
}

pub(super) fn ttl(given: Option<u64>, limits: &Limits, findings: &mut Findings) -> Duration {
    let ttl = given.map_or(limits.ttl, Duration::from_secs);
    if given.is_some() && (ttl.is_zero() || ttl > limits.max_ttl) {
        findings.add(
            "/ttl",
            format!("seconds, 1 to {}", limits.max_ttl.as_secs()),
        );
    }
    ttl
}

pub(super) fn send_at(
    given: Option<String>,
    limits: &Limits,
    now: Timestamp,
    findings: &mut Findings,
) -> Option<Timestamp> {
    match given?.parse::<Timestamp>() {
        Ok(time) if time <= now.plus(limits.max_schedule) => Some(time),
        Ok(_) => {
            let days = limits.max_schedule.as_secs() / 86_400;
            findings.add("/sendAt", format!("at most {days} days ahead"));
            None
        }
        Err(error) => {
            findings.add("/sendAt", error.to_string());
            None
        }
    }
}

pub(super) fn attempts(given: Option<u64>, limits: &Limits, findings: &mut Findings) -> u32 {
    let Some(given) = given else {
        return limits.attempts;
    };
    match u32::try_from(given) {
        Ok(attempts) if (1..=limits.max_attempts).contains(&attempts) => attempts,
        _ => {
            findings.add("/attempts", format!("1 to {}", limits.max_attempts));
            1
        }
    }
}

pub(super) fn on_unknown(
    given: Option<String>,
    limits: &Limits,
    findings: &mut Findings,
) -> OnUnknown {
    match given.as_deref() {
        None => limits.on_unknown,
        Some("resend") => OnUnknown::Resend,
        Some("fail") => OnUnknown::Fail,
        Some(_) => {
            findings.add("/onUnknown", "\"resend\" or \"fail\"");
            OnUnknown::Fail
        }
    }
}

pub(super) fn webhook(
    given: Option<String>,
    limits: &Limits,
    findings: &mut Findings,
) -> Option<Arc<str>> {
    let text = given?;
    let parsed = url::Url::parse(&text);
    let fits = text.len() <= MAX_WEBHOOK
        && parsed.is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
        });
    if !fits {
        findings.add(
            "/webhook",
            format!("an http or https URL without user name, at most {MAX_WEBHOOK} bytes"),
        );
    } else if !limits.webhook_secret {
        findings.add(
            "/webhook",
            "webhooks.secret (or webhooks.secret_file) is not configured, and nothing is posted unsigned",
        );
    }
    Some(text.into())
}

pub(super) fn check_metadata(metadata: &Metadata, findings: &mut Findings) {
    if metadata.len() > MAX_METADATA {
        findings.add("/metadata", format!("at most {MAX_METADATA} pairs"));
        return;
    }
    for (key, value) in metadata {
        if key.is_empty() || key.len() > MAX_METADATA_KEY || value.len() > MAX_METADATA_VALUE {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            findings.add(
                format!("/metadata/{escaped}"),
                format!(
                    "a key has 1 to {MAX_METADATA_KEY} bytes, a value at most {MAX_METADATA_VALUE}"
                ),
            );
        }
    }
}
