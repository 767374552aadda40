//! A message sipost has taken responsibility for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::header::Header;
use super::id::MessageId;
use super::json;
use super::time::Timestamp;
use super::trace::Trace;

/// Up to sixteen string pairs that come back in every event.
pub type Metadata = BTreeMap<String, String>;

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
    pub webhook: Option<Arc<str>>,
    /// Echoed in every event.
    pub metadata: Metadata,
    /// The trace that it is part of, if any.
    pub trace: Option<Trace>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// After this it is not tried any more.
    pub expires_at: Timestamp,
}

impl Message {
    /// How much it is, for every budget: no less than it takes in memory, and no less than its
    /// texts take as JSON.
    pub fn weight(&self) -> usize {
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
        size_of::<Self>()
            + text(&self.target)
            + self.uri.len()
            + shared(&self.account)
            + body
            + text(&self.content_type)
            + headers.sum::<usize>()
            + shared(&self.webhook)
            + metadata_weight(&self.metadata)
    }

    /// The body as the client wrote it: text, or base64.
    pub fn body_text(&self) -> String {
        match self.body_encoding {
            BodyEncoding::Utf8 => String::from_utf8_lossy(&self.body).into_owned(),
            BodyEncoding::Base64 => BASE64_STANDARD.encode(&self.body),
        }
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
        Message {
            id: "01930000-0000-7000-8000-000000000001".parse().unwrap(),
            target: "bob".to_owned(),
            uri: "sip:bob@example.com".into(),
            account: None,
            body: Bytes::new(),
            body_encoding: BodyEncoding::Utf8,
            content_type: "text/plain".to_owned(),
            extra_headers: Vec::new(),
            ttl: Duration::from_secs(1),
            send_at: None,
            attempts: 1,
            on_unknown: OnUnknown::Resend,
            webhook: None,
            metadata: Metadata::new(),
            trace: None,
            created_at: Timestamp::EPOCH,
            expires_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn every_part_of_a_message_that_a_client_writes_counts() {
        const MUCH: usize = 10_000;
        let text = || "x".repeat(MUCH);
        let header = |name: String, value: String| Header { name, value };
        let large: [fn(&mut Message, String); 9] = [
            |message, text| message.target = text,
            |message, text| message.uri = text.into(),
            |message, text| message.account = Some(text.into()),
            |message, text| message.body = text.into(),
            |message, text| message.content_type = text,
            |message, text| message.webhook = Some(text.into()),
            |message, text| message.metadata = [(text, String::new())].into(),
            |message, text| message.metadata = [(String::new(), text)].into(),
            |message, text| {
                message.body_encoding = BodyEncoding::Base64;
                message.body = text.into();
            },
        ];
        let little = message().weight();
        assert!(little < 1_000, "{little}");
        for (at, enlarge) in large.into_iter().enumerate() {
            let mut message = message();
            enlarge(&mut message, text());
            assert!(message.weight() >= MUCH, "{at}");
        }
        for [name, value] in [[text(), String::new()], [String::new(), text()]] {
            let mut message = message();
            message.extra_headers = vec![header(name, value)];
            assert!(message.weight() >= MUCH);
        }
        let mut message = message();
        message.extra_headers = vec![header(String::new(), String::new()); MUCH];
        assert!(message.weight() >= MUCH * size_of::<Header>());
    }

    #[test]
    fn what_json_makes_longer_weighs_as_much_as_its_json() {
        let mut message = message();
        message.body = "\u{1}".repeat(1_000).into();
        assert!(message.weight() >= 6_000);
        message.body_encoding = BodyEncoding::Base64;
        assert!(message.weight() >= message.body_text().len());
    }
}
