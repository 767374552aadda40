//! A message as a client wrote it, and what may be wrong with it.

use std::time::Duration;

use super::accepted::{Metadata, OnUnknown};
use super::header::HeaderList;

/// What a client asks for, as far as it could be read; what could not is `None`, and was told.
#[derive(Clone, Debug, Default)]
pub struct NewMessage {
    /// A user name, or a `sip:`, `sips:` or `tel:` URI.
    pub target: Option<String>,
    /// The body, as text in `body_encoding`.
    pub body: Option<String>,
    /// How `body` is written; `None` for UTF-8.
    pub body_encoding: Option<String>,
    /// A media type; `None` for `text/plain`.
    pub content_type: Option<String>,
    /// Checked one by one while they were read.
    pub extra_headers: HeaderList,
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
    /// What is done about an unknown outcome when the client does not say.
    pub on_unknown: OnUnknown,
    /// Whether the operator configured a secret that signs per-message webhooks.
    pub webhook_secret: bool,
}
