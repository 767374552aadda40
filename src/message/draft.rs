//! A message on its way in: as the client wrote it, checked, accepted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::addressing::AddressError;
use super::addressing::Addressing;
use super::header::Header;
use super::header::HeaderError;
use super::header::is_token;
use super::id::MessageId;
use super::time::Timestamp;

/// Up to sixteen string pairs that come back in every event.
pub type Metadata = BTreeMap<String, String>;

/// What a client asks for, before anything is checked.
#[derive(Clone, Debug, Default)]
pub struct NewMessage {
    /// A user name, or a `sip:`, `sips:` or `tel:` URI.
    pub target: String,
    /// The body, as text in `body_encoding`.
    pub body: String,
    /// How `body` is written; `None` for UTF-8.
    pub body_encoding: Option<String>,
    /// A media type; `None` for `text/plain`.
    pub content_type: Option<String>,
    /// `"Name: value"` each, with the JSON pointer of where the client wrote it.
    pub extra_headers: Vec<NewHeader>,
    /// The account to send as; `None` for any.
    pub from: Option<String>,
    /// Seconds; `None` for the default.
    pub ttl: Option<u64>,
    /// RFC 3339; `None` for now.
    pub send_at: Option<String>,
    /// `None` for the default.
    pub attempts: Option<u64>,
    /// `resend` or `fail`; `None` for the default.
    pub on_unknown: Option<String>,
    /// An http or https URL.
    pub webhook: Option<String>,
    /// Echoed in every event.
    pub metadata: Metadata,
}

/// A header as the client wrote it.
#[derive(Clone, Debug)]
pub struct NewHeader {
    /// Where in the document, relative to the message: `/extraHeaders/0`.
    pub pointer: String,
    /// Name and value, or the whole line when the client wrote one.
    pub line: HeaderLine,
}

/// The two ways to write a header.
#[derive(Clone, Debug)]
pub enum HeaderLine {
    /// `"Name: value"`, as in JsSIP.
    Whole(String),
    /// A member of an object.
    Pair(String, String),
}

/// One thing that is wrong with a message.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Violation {
    /// A JSON pointer (RFC 6901) into what the client sent.
    pub pointer: String,
    /// What is wrong and what is taken, in a sentence.
    pub detail: String,
}

/// What the operator allows, and what holds where the client says nothing.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest body, decoded, in bytes.
    pub max_body: usize,
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
    /// What is done about an unknown outcome when the client does not say.
    pub on_unknown: OnUnknown,
    /// Whether the operator configured a secret that signs per-message webhooks.
    pub webhook_secret: bool,
}

/// How a client writes a body in JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyEncoding {
    /// The string itself.
    Utf8,
    /// RFC 4648 §4, for bytes that are not text.
    Base64,
}

impl BodyEncoding {
    /// The word the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Base64 => "base64",
        }
    }
}

/// What to do when it is unknown whether the peer got the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnUnknown {
    /// Send again with the same Call-ID: at least once.
    Resend,
    /// Give up, and say that it is ambiguous: at most once.
    Fail,
}

impl OnUnknown {
    /// The word the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Fail => "fail",
        }
    }
}

/// A message that can be sent. There is no way to one but [`Draft::parse`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    target: String,
    uri: Arc<str>,
    account: Option<Arc<str>>,
    body: Bytes,
    body_encoding: BodyEncoding,
    content_type: String,
    extra_headers: Vec<Header>,
    ttl: Duration,
    send_at: Option<Timestamp>,
    attempts: u32,
    on_unknown: OnUnknown,
    webhook: Option<String>,
    metadata: Metadata,
}

/// A message sipost has taken responsibility for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its name.
    pub id: MessageId,
    /// As the client wrote it.
    pub target: String,
    /// The normalized URI: the request is addressed to it, and its lane is named by it.
    pub uri: Arc<str>,
    /// The account that must send it; `None` when any may.
    pub account: Option<Arc<str>>,
    /// Decoded.
    pub body: Bytes,
    /// How the client wrote the body, and how it is echoed.
    pub body_encoding: BodyEncoding,
    /// A media type.
    pub content_type: String,
    /// In the order given.
    pub extra_headers: Vec<Header>,
    /// From `send_at`, else from `created_at`.
    pub ttl: Duration,
    /// Not before this time.
    pub send_at: Option<Timestamp>,
    /// Tries at a transient outcome; at least one.
    pub attempts: u32,
    /// What to do about an unknown outcome.
    pub on_unknown: OnUnknown,
    /// Where this message's own events are posted.
    pub webhook: Option<String>,
    /// Echoed in every event.
    pub metadata: Metadata,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// After this it is not tried any more.
    pub expires_at: Timestamp,
}

/// The most metadata pairs.
const MAX_METADATA: usize = 16;
/// The longest metadata key, in bytes.
const MAX_METADATA_KEY: usize = 64;
/// The longest metadata value, in bytes.
const MAX_METADATA_VALUE: usize = 512;
/// The most extra headers.
const MAX_HEADERS: usize = 64;
/// The longest media type, webhook URL: bytes.
const MAX_CONTENT_TYPE: usize = 255;
const MAX_WEBHOOK: usize = 2048;

/// Collects what is wrong, so that a client reads every mistake at once.
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Violation {
            pointer: pointer.into(),
            detail: detail.into(),
        });
    }
}

impl Draft {
    /// Checks everything about a message, or lists everything that is wrong with it.
    ///
    /// Whether the body fits is not told here but by [`Draft::body_len`], because it has a status
    /// of its own (413); `now` is what `sendAt` is measured against.
    pub fn parse(
        new: NewMessage,
        addressing: &dyn Addressing,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Self, Vec<Violation>> {
        let mut findings = Findings(Vec::new());
        let recipient = match addressing.resolve(&new.target, new.from.as_deref()) {
            Ok(recipient) => Some(recipient),
            Err(AddressError::Target(detail)) => {
                findings.add("/target", detail);
                None
            }
            Err(AddressError::From(detail)) => {
                findings.add("/from", detail);
                None
            }
        };
        let (body, body_encoding) = body(new.body, new.body_encoding, &mut findings);
        let content_type = content_type(new.content_type, &mut findings);
        let extra_headers = headers(new.extra_headers, &mut findings);
        let ttl = ttl(new.ttl, limits, &mut findings);
        let send_at = send_at(new.send_at, limits, now, &mut findings);
        let attempts = attempts(new.attempts, limits, &mut findings);
        let on_unknown = on_unknown(new.on_unknown, limits, &mut findings);
        let webhook = webhook(new.webhook, limits, &mut findings);
        check_metadata(&new.metadata, &mut findings);

        match recipient {
            Some(recipient) if findings.0.is_empty() => Ok(Self {
                target: new.target,
                uri: recipient.uri,
                account: recipient.account,
                body,
                body_encoding,
                content_type,
                extra_headers,
                ttl,
                send_at,
                attempts,
                on_unknown,
                webhook,
                metadata: new.metadata,
            }),
            _ => Err(findings.0),
        }
    }

    /// The size of the body, decoded, in bytes.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// The account that must send it; `None` when any may.
    pub fn account(&self) -> Option<&Arc<str>> {
        self.account.as_ref()
    }

    /// Makes the draft a message: `id` and `now` come from outside.
    pub fn accept(self, id: MessageId, now: Timestamp) -> Message {
        Message {
            id,
            target: self.target,
            uri: self.uri,
            account: self.account,
            body: self.body,
            body_encoding: self.body_encoding,
            content_type: self.content_type,
            extra_headers: self.extra_headers,
            ttl: self.ttl,
            send_at: self.send_at,
            attempts: self.attempts,
            on_unknown: self.on_unknown,
            webhook: self.webhook,
            metadata: self.metadata,
            created_at: now,
            expires_at: self.send_at.unwrap_or(now).max(now).plus(self.ttl),
        }
    }
}

impl Message {
    /// The body as the client wrote it: text, or base64.
    pub fn body_text(&self) -> String {
        match self.body_encoding {
            BodyEncoding::Utf8 => String::from_utf8_lossy(&self.body).into_owned(),
            BodyEncoding::Base64 => BASE64_STANDARD.encode(&self.body),
        }
    }
}

fn body(text: String, encoding: Option<String>, findings: &mut Findings) -> (Bytes, BodyEncoding) {
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

fn content_type(given: Option<String>, findings: &mut Findings) -> String {
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

/// RFC 3261 §25.1, `media-type`: `type "/" subtype *(";" token "=" (token | quoted-string))`, with
/// blanks allowed around the separators as its `SLASH`, `SEMI` and `EQUAL` have them.
fn is_media_type(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_token);
    if text.len() > MAX_CONTENT_TYPE || text.chars().any(char::is_control) {
        return false;
    }
    let mut parts = split_outside_quotes(text).into_iter();
    let essence = parts.next().unwrap_or_default();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return false;
    };
    is_word(kind.trim())
        && is_word(subtype.trim())
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) => {
                let value = value.trim();
                is_word(name.trim()) && (is_word(value) || is_quoted(value))
            }
            None => false,
        })
}

/// RFC 3261 §25.1, `quoted-string`.
fn is_quoted(text: &str) -> bool {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return false;
    };
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return false,
            _ => {}
        }
    }
    !escaped && text.len() >= 2
}

/// The pieces between the semicolons that stand outside quoted strings.
fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&text[start..]);
    pieces
}

fn headers(given: Vec<NewHeader>, findings: &mut Findings) -> Vec<Header> {
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

fn ttl(given: Option<u64>, limits: &Limits, findings: &mut Findings) -> Duration {
    let ttl = given.map_or(limits.ttl, Duration::from_secs);
    if given.is_some() && (ttl.is_zero() || ttl > limits.max_ttl) {
        findings.add(
            "/ttl",
            format!("seconds, 1 to {}", limits.max_ttl.as_secs()),
        );
    }
    ttl
}

fn send_at(
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

fn attempts(given: Option<u64>, limits: &Limits, findings: &mut Findings) -> u32 {
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

fn on_unknown(given: Option<String>, limits: &Limits, findings: &mut Findings) -> OnUnknown {
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

fn webhook(given: Option<String>, limits: &Limits, findings: &mut Findings) -> Option<String> {
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
    Some(text)
}

fn check_metadata(metadata: &Metadata, findings: &mut Findings) {
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
