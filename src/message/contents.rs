//! What a client asks us to send, checked; and the message that it becomes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::header::Header;
use super::id::MessageId;
use super::json;
use super::priority::Priority;
use super::received::ReceiptRequest;
use super::status::Status;
use super::time::Timestamp;
use super::trace::Trace;

/// Up to sixteen string pairs that come back in every event.
pub type Metadata = BTreeMap<String, String>;

/// How a client writes a body in JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum BodyEncoding {
    /// The string itself.
    #[serde(rename = "utf-8")]
    Utf8,
    /// RFC 4648 §4, for bytes that are not text.
    #[serde(rename = "base64")]
    Base64,
}

impl BodyEncoding {
    /// The word that clients use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Base64 => "base64",
        }
    }

    /// The encoding of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Utf8, Self::Base64]
            .into_iter()
            .find(|encoding| encoding.as_str() == word)
    }

    /// The bytes of a body that is written like this.
    pub fn decode(self, text: String) -> Result<Bytes, base64::DecodeError> {
        match self {
            Self::Utf8 => Ok(text.into()),
            Self::Base64 => BASE64_STANDARD.decode(&text).map(Bytes::from),
        }
    }
}

/// What to do when it is unknown whether the peer got the message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnUnknown {
    /// Send again with the same Call-ID: at least once.
    #[default]
    Resend,
    /// Give up, and say that it is ambiguous: at most once.
    Fail,
}

impl OnUnknown {
    /// The word that clients use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Fail => "fail",
        }
    }

    /// The rule of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Resend, Self::Fail]
            .into_iter()
            .find(|rule| rule.as_str() == word)
    }
}

/// What a client asks us to send. Its members were checked when they were read.
///
/// As JSON, with what has no column of its own: a member that is not there has its default.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Contents {
    /// As the client wrote it.
    pub target: String,
    /// The normalized URI: the request is addressed to it, and its lane is named by it.
    #[serde(skip)]
    pub uri: Arc<str>,
    /// The account that must send it; `None` when any may.
    #[serde(skip)]
    pub account: Option<Arc<str>>,
    /// Decoded.
    #[serde(skip)]
    pub body: Bytes,
    /// How the client wrote the body, and how it is echoed.
    #[serde(skip_serializing_if = "is_text")]
    pub body_encoding: BodyEncoding,
    /// A media type.
    #[serde(skip_serializing_if = "is_plain_text")]
    pub content_type: Cow<'static, str>,
    /// In the order given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_headers: Vec<Header>,
    /// From `send_at`, else from the acceptance.
    #[serde(with = "millis")]
    pub ttl: Duration,
    /// Not before this time.
    #[serde(skip)]
    pub send_at: Option<Timestamp>,
    /// Tries at a transient outcome; at least one.
    #[serde(skip)]
    pub attempts: u32,
    /// What to do about an unknown outcome.
    #[serde(skip)]
    pub on_unknown: OnUnknown,
    /// How urgent it is; `None` when the client did not say.
    #[serde(skip)]
    pub priority: Option<Priority>,
    /// The received message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<InReplyTo>,
    /// The receipts that are asked for; each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<ReceiptRequest>,
    /// Where this message's own events are posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Arc<str>>,
    /// Echoed in every event.
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// A received message that another one answers.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InReplyTo {
    /// Our name for it.
    pub id: MessageId,
    /// Its Call-ID, which In-Reply-To names (RFC 3261 §20.21).
    pub call_id: String,
}

/// A message sipost has taken responsibility for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its name.
    pub id: MessageId,
    /// The contents to send.
    pub contents: Contents,
    /// The trace that it is part of, if any.
    pub trace: Option<Trace>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// After this it is not tried any more.
    pub expires_at: Timestamp,
    /// See [`Message::weight`].
    weight: usize,
}

const PLAIN_TEXT: &str = "text/plain";

fn is_plain_text(content_type: &str) -> bool {
    content_type == PLAIN_TEXT
}

fn is_text(encoding: &BodyEncoding) -> bool {
    *encoding == BodyEncoding::Utf8
}

/// A duration as a number.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

impl Default for Contents {
    /// An empty text without a target, with the defaults that `config/default.toml` has.
    fn default() -> Self {
        Self {
            target: String::new(),
            uri: Arc::default(),
            account: None,
            body: Bytes::new(),
            body_encoding: BodyEncoding::Utf8,
            content_type: Cow::Borrowed(PLAIN_TEXT),
            extra_headers: Vec::new(),
            ttl: Duration::from_secs(3_600),
            send_at: None,
            attempts: 3,
            on_unknown: OnUnknown::Resend,
            priority: None,
            in_reply_to: None,
            receipts: Vec::new(),
            webhook: None,
            metadata: Metadata::new(),
        }
    }
}

impl Contents {
    /// Makes a message of them, accepted at `now`.
    pub fn accept(self, id: MessageId, now: Timestamp, trace: Option<Trace>) -> Message {
        let expires_at = self.send_at.unwrap_or(now).max(now).plus(self.ttl);
        Message::new(id, self, trace, now, expires_at)
    }

    /// The body as the client wrote it: text, or base64.
    pub fn body_text(&self) -> Cow<'_, str> {
        match self.body_encoding {
            BodyEncoding::Utf8 => String::from_utf8_lossy(&self.body),
            BodyEncoding::Base64 => BASE64_STANDARD.encode(&self.body).into(),
        }
    }

    /// The class in which it is sent.
    pub fn class(&self) -> Priority {
        self.priority.unwrap_or_default()
    }

    fn weight(&self) -> usize {
        let text = |text: &str| json::weight(text.as_bytes());
        let shared = |text: &Option<Arc<str>>| text.as_deref().map_or(0, str::len);
        let body = match self.body_encoding {
            BodyEncoding::Utf8 => json::weight(&self.body),
            BodyEncoding::Base64 => self.body.len().div_ceil(3) * 4,
        };
        let headers = self
            .extra_headers
            .iter()
            .map(|header| size_of::<Header>() + text(&header.name) + text(&header.value));
        /// `"delivered",`
        const RECEIPT_WORD: usize = 12;
        let answered = self.in_reply_to.as_ref();
        text(&self.target)
            + self.uri.len()
            + shared(&self.account)
            + body
            + text(&self.content_type)
            + headers.sum::<usize>()
            + answered.map_or(0, |answered| text(&answered.call_id))
            + self.receipts.len() * RECEIPT_WORD
            + shared(&self.webhook)
            + metadata_weight(&self.metadata)
    }
}

impl Message {
    /// A message with these members.
    pub fn new(
        id: MessageId,
        contents: Contents,
        trace: Option<Trace>,
        created_at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        // Counted once, because every queue that a message passes asks for it.
        let weight = size_of::<Self>() + contents.weight();
        Self {
            id,
            contents,
            trace,
            created_at,
            expires_at,
            weight,
        }
    }

    /// How much it is, for every budget: no less than it takes in memory, and no less than its
    /// texts take as JSON.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Where it stood when it was accepted.
    pub fn first_status(&self) -> Status {
        match self.contents.send_at {
            Some(time) if time > self.created_at => Status::Scheduled,
            _ => Status::Queued,
        }
    }
}

#[cfg(test)]
impl Message {
    /// The same message with other contents.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Contents)) -> Self {
        change(&mut self.contents);
        self.weight = size_of::<Self>() + self.contents.weight();
        self
    }
}

/// See [`Message::weight`].
pub(super) fn metadata_weight(metadata: &Metadata) -> usize {
    let text = |text: &str| size_of::<String>() + json::weight(text.as_bytes());
    metadata
        .iter()
        .map(|(key, value)| text(key) + text(value))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let id = "01930000-0000-7000-8000-000000000001".parse().unwrap();
        Contents::default().accept(id, Timestamp::EPOCH, None)
    }

    #[test]
    fn every_part_of_a_message_that_a_client_writes_counts() {
        const MUCH: usize = 10_000;
        let text = || "x".repeat(MUCH);
        let header = |name: String, value: String| Header { name, value };
        let large: [fn(&mut Contents, String); 10] = [
            |contents, call_id| {
                let id = message().id;
                contents.in_reply_to = Some(InReplyTo { id, call_id });
            },
            |contents, text| contents.target = text,
            |contents, text| contents.uri = text.into(),
            |contents, text| contents.account = Some(text.into()),
            |contents, text| contents.body = text.into(),
            |contents, text| contents.content_type = text.into(),
            |contents, text| contents.webhook = Some(text.into()),
            |contents, text| contents.metadata = [(text, String::new())].into(),
            |contents, text| contents.metadata = [(String::new(), text)].into(),
            |contents, text| {
                contents.body_encoding = BodyEncoding::Base64;
                contents.body = text.into();
            },
        ];
        let little = message().weight();
        assert!(little < 1_000, "{little}");
        for (at, enlarge) in large.into_iter().enumerate() {
            let message = message().with(|contents| enlarge(contents, text()));
            assert!(message.weight() >= MUCH, "{at}");
        }
        for [name, value] in [[text(), String::new()], [String::new(), text()]] {
            let message = message();
            let message =
                message.with(|contents| contents.extra_headers = vec![header(name, value)]);
            assert!(message.weight() >= MUCH);
        }
        let empty = vec![header(String::new(), String::new()); MUCH];
        let message = message().with(|contents| contents.extra_headers = empty);
        assert!(message.weight() >= MUCH * size_of::<Header>());
    }

    #[test]
    fn what_json_makes_longer_weighs_as_much_as_its_json() {
        let message = message().with(|contents| contents.body = "\u{1}".repeat(1_000).into());
        assert!(message.weight() >= 6_000);
        let message = message.with(|contents| contents.body_encoding = BodyEncoding::Base64);
        assert!(message.weight() >= message.contents.body_text().len());
    }
}
