//! A message that was checked, and can be accepted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::accepted::BodyEncoding;
use super::accepted::Message;
use super::accepted::Metadata;
use super::accepted::OnUnknown;
use super::addressing::AddressError;
use super::addressing::Addressing;
use super::header::Header;
use super::id::MessageId;
use super::members;
use super::members::Findings;
use super::new_message::Limits;
use super::new_message::NewMessage;
use super::new_message::Violation;
use super::time::Timestamp;

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
        let mut findings = Findings::default();
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
        let (body, body_encoding) = members::body(new.body, new.body_encoding, &mut findings);
        let content_type = members::content_type(new.content_type, &mut findings);
        let extra_headers = members::headers(new.extra_headers, &mut findings);
        let ttl = members::ttl(new.ttl, limits, &mut findings);
        let send_at = members::send_at(new.send_at, limits, now, &mut findings);
        let attempts = members::attempts(new.attempts, limits, &mut findings);
        let on_unknown = members::on_unknown(new.on_unknown, limits, &mut findings);
        let webhook = members::webhook(new.webhook, limits, &mut findings);
        members::check_metadata(&new.metadata, &mut findings);

        match recipient {
            Some(recipient) if findings.is_empty() => Ok(Self {
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
            _ => Err(findings.into_violations()),
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
