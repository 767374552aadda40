//! Messages and agents as JSON.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::waiting::{Waiting, WaitingView};
use crate::message::{
    Header, Message, MessageId, Metadata, Priority, ReceiptRequest, Status, Timestamp, webhook,
};
use crate::store::{Logged, ReceiptTimes, Stored};

/// What an answer takes, as a rule: a message with its result.
const USUAL: usize = 2048;

/// How the JSON of a message without a result ends.
const NO_RESULT: &str = "null}";

/// A message as every answer shows it. `result` is its last member.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageView<'a> {
    id: MessageId,
    status: Status,
    target: &'a str,
    body: Cow<'a, str>,
    content_type: &'a str,
    #[serde(serialize_with = "header_lines")]
    extra_headers: &'a [Header],
    body_encoding: &'static str,
    from: Option<&'a str>,
    ttl: u64,
    send_at: Option<Timestamp>,
    attempts: u32,
    on_unknown: &'static str,
    priority: Priority,
    webhook: Option<&'a str>,
    metadata: &'a Metadata,
    in_reply_to: Option<MessageId>,
    receipts_asked: &'a [ReceiptRequest],
    receipts: Option<ReceiptsView>,
    attempt: u32,
    created_at: Timestamp,
    expires_at: Timestamp,
    completed_at: Option<Timestamp>,
    next_attempt_at: Option<Timestamp>,
    /// Only where messages are looked at: `Some(None)` says that it does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<Option<WaitingView<'a>>>,
    result: Option<&'a RawValue>,
}

/// When the first receipt of each kind came.
#[derive(Serialize)]
struct ReceiptsView {
    delivered: Option<Timestamp>,
    displayed: Option<Timestamp>,
    undelivered: Option<Timestamp>,
}

impl ReceiptsView {
    /// `None` when there is none.
    fn of(times: ReceiptTimes) -> Option<Self> {
        let ReceiptTimes {
            delivered,
            displayed,
            undelivered,
        } = times;
        let view = Self {
            delivered,
            displayed,
            undelivered,
        };
        (!times.is_empty()).then_some(view)
    }
}

impl<'a> MessageView<'a> {
    /// A message as it was accepted.
    pub(super) fn accepted(message: &'a Message) -> Self {
        Self::of(message, message.first_status())
    }

    /// A message as it stands at `now`.
    pub(super) fn stored(stored: &'a Stored, now: Timestamp) -> Self {
        Self {
            result: stored.result.as_ref().and_then(raw),
            ..Self::at(stored, now)
        }
    }

    /// A message as it stands at `now`, and what it waits for.
    pub(super) fn explained(
        stored: &'a Stored,
        now: Timestamp,
        waiting: Option<&'a Waiting>,
    ) -> Self {
        Self {
            waiting_for: Some(waiting.map(WaitingView::from)),
            ..Self::stored(stored, now)
        }
    }

    /// A message as it stands at `now`, without its result.
    fn at(stored: &'a Stored, now: Timestamp) -> Self {
        let message = &*stored.message;
        let is_due = message.contents.send_at.is_none_or(|at| at <= now);
        let status = match stored.status {
            Status::Scheduled if is_due => Status::Queued,
            status => status,
        };
        let waits = status == Status::Queued && stored.attempt > 0;
        Self {
            attempt: stored.attempt,
            completed_at: stored.completed_at,
            next_attempt_at: stored.not_before.filter(|_| waits),
            receipts: ReceiptsView::of(stored.receipts),
            ..Self::of(message, status)
        }
    }

    /// A message as it stands at `now`, as JSON.
    pub(super) fn stored_json(stored: &'a Stored, now: Timestamp) -> serde_json::Result<Vec<u8>> {
        Self::at(stored, now).json(stored)
    }

    /// A message as it stands at `now`, and what it waits for, as JSON.
    pub(super) fn explained_json(
        stored: &'a Stored,
        now: Timestamp,
        waiting: Option<&'a Waiting>,
    ) -> serde_json::Result<Vec<u8>> {
        let view = Self {
            waiting_for: Some(waiting.map(WaitingView::from)),
            ..Self::at(stored, now)
        };
        view.json(stored)
    }

    /// Its result was written when it was recorded: it is copied and not read once more.
    fn json(&self, stored: &Stored) -> serde_json::Result<Vec<u8>> {
        let mut json = Vec::with_capacity(USUAL);
        serde_json::to_writer(&mut json, self)?;
        if let Some(result) = &stored.result {
            json.truncate(json.len() - NO_RESULT.len());
            json.extend_from_slice(&result.json);
            json.push(b'}');
        }
        Ok(json)
    }

    fn of(message: &'a Message, status: Status) -> Self {
        let contents = &message.contents;
        Self {
            id: message.id,
            status,
            target: &contents.target,
            body: contents.body_text(),
            content_type: &contents.content_type,
            extra_headers: &contents.extra_headers,
            body_encoding: contents.body_encoding.as_str(),
            from: contents.account.as_deref(),
            ttl: contents.ttl.as_secs(),
            send_at: contents.send_at,
            attempts: contents.attempts,
            on_unknown: contents.on_unknown.as_str(),
            priority: contents.class(),
            webhook: contents.webhook.as_deref().map(webhook::url),
            metadata: &contents.metadata,
            in_reply_to: contents.in_reply_to.as_ref().map(|answered| answered.id),
            receipts_asked: &contents.receipts,
            receipts: None,
            attempt: 0,
            created_at: message.created_at,
            expires_at: message.expires_at,
            completed_at: None,
            next_attempt_at: None,
            result: None,
            waiting_for: None,
        }
    }
}

/// An event, whose JSON is written already.
pub(super) fn raw(event: &Logged) -> Option<&RawValue> {
    serde_json::from_slice(&event.json).ok()
}

fn header_lines<S: Serializer>(headers: &&[Header], serializer: S) -> Result<S::Ok, S::Error> {
    struct Line<'a>(&'a Header);

    impl fmt::Display for Line<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}: {}", self.0.name, self.0.value)
        }
    }

    impl Serialize for Line<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    serializer.collect_seq(headers.iter().map(Line))
}
