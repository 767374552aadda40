//! A message sipost has taken responsibility for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::header::Header;
use super::id::MessageId;
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
    /// The body as the client wrote it: text, or base64.
    pub fn body_text(&self) -> String {
        match self.body_encoding {
            BodyEncoding::Utf8 => String::from_utf8_lossy(&self.body).into_owned(),
            BodyEncoding::Base64 => BASE64_STANDARD.encode(&self.body),
        }
    }
}
