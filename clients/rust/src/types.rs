// Made from openapi.yaml by clients/make-types. Do not edit.

//! The types of the contract. A member or a word that this version does not know is no error: a
//! member is left out, a word is `Unknown`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(untagged)]
pub enum NewMessageExtraHeadersMapValue {
    /// One line without control characters.
    HeaderValue(Box<HeaderValue>),
    /// A list.
    List(Vec<HeaderValue>),
    /// What this version does not know.
    Unknown(serde_json::Value),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(untagged)]
pub enum NewMessageExtraHeaders {
    /// `"Name: value"` each.
    List(Vec<HeaderLine>),
    /// Names, each with its value or values.
    Map(BTreeMap<String, NewMessageExtraHeadersMapValue>),
    /// What this version does not know.
    Unknown(serde_json::Value),
}

/// What to send. Only `target` and `body` are required; with `inReplyTo` only `body`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewMessage {
    /// A user name (`bob`), an address (`bob@example.com`), a phone number, or a `sip:`, `sips:` or
    /// `tel:` URI. What has no domain takes that of `from`, else that of the first account.
    /// `request.uri` of the event `sending` shows what it became.
    ///
    /// Separators (`-`, `.`, parentheses), and blanks, dashes and invisible characters of every
    /// kind are left out of phone numbers: they come along when a number is copied. A name with a
    /// blank, a control character or an invisible one (Unicode's `White_Space`, `Cc`, `Cf`,
    /// `Default_Ignorable_Code_Point`) is refused; a blank that belongs to it is written `%20`. A
    /// URI has at most 32 parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The text, or any bytes with `bodyEncoding: base64`. It may be empty. The whole SIP message,
    /// headers and all, has at most `max_message` bytes of an account that may send it
    /// (`sip.max_message`: 16 KiB unless the operator says otherwise). What is larger is refused
    /// with 413, which names the setting and says how many bytes are left for the body.
    pub body: String,
    /// How `body` is written. Left out, `utf-8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_encoding: Option<BodyEncoding>,
    /// The media type of the body, sent as it is given. Left out, `text/plain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// More headers of the SIP request, 64 at most, each of at most 8192 bytes, all of their names
    /// and values together of at most 16384 bytes. Those that sipost writes itself are refused by
    /// name, in their compact forms too: Via, From, To, Call-ID, CSeq, Max-Forwards, Contact,
    /// Route, Record-Route, Content-Type, Content-Length, Authorization, Proxy-Authorization,
    /// Allow, Supported, User-Agent, Expires and Date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_headers: Option<NewMessageExtraHeaders>,
    /// The account to send as, one of the configuration. Left out, any may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// For how many seconds the message is tried, from `sendAt` or else from now; the SIP request
    /// says it in `Expires`. Left out, `delivery.ttl` (1 hour unless the operator says otherwise);
    /// at most `delivery.max_ttl` (7 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// Not before this time; at most `delivery.max_schedule` ahead (30 days). A time that has
    /// passed is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// Tries while the outcome is transient: a response 429, 500, 502, 503 or 504, or a connection
    /// that was lost before the request was written. Every other code from 300 on fails at once,
    /// 480 among them. Left out, `delivery.attempts` (3); at most `delivery.max_attempts` (10).
    /// With 1 the first outcome is the last. An attempt that a stop of the gateway cut off does not
    /// count: `attempt` can become greater than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// What to do when the request left and no final response came: `resend` it with the same Call-
    /// ID (at least once), or `fail` (at most once; the event says `ambiguous`). Left out,
    /// `delivery.on_unknown` (`resend`). A message with `resend` is sent while its commit runs. So
    /// it may have been sent although the answer is an error of the store, or there is none; `fail`
    /// or an `Idempotency-Key` rules that out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unknown: Option<OnUnknown>,
    /// An http or https URL that the events of this message are posted to, signed with the
    /// `webhook_secret` of the token or, where it has none, with `webhooks.secret`. One of the two
    /// must be configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Any pairs of strings; they are returned in the message and in each of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// How urgent it is (RFC 3261 §20.26): a higher class begins before those that wait. Where it
    /// is given, the SIP request has it as `Priority`, and `extraHeaders` may not. Left out, the
    /// message counts as `normal` and the request has no such header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The id of a received message that this one answers; the SIP request names its Call-ID in
    /// `In-Reply-To`. `target` may be left out then: it is the sender. Another one may be named,
    /// for a sender whose `From` is no address that can be reached. `from` is the account that
    /// received it, and may be no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// The receipts to ask the recipient for (RFC 5438). The body goes in a `message/cpim` envelope
    /// then, and bare to a recipient that takes no envelope; so the `contentType` may not be
    /// `message/cpim`. Receipts that were not asked for are reported too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<Vec<ReceiptKind>>,
}

/// How a body is written. Base64 stands for its bytes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum BodyEncoding {
    /// `utf-8`.
    #[serde(rename = "utf-8")]
    Utf8,
    /// `base64`.
    #[serde(rename = "base64")]
    Base64,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// What to do when the request left and no final response came.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum OnUnknown {
    /// `resend`.
    #[serde(rename = "resend")]
    Resend,
    /// `fail`.
    #[serde(rename = "fail")]
    Fail,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// A receipt that a sender can ask for (RFC 5438).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum ReceiptKind {
    /// `delivered`.
    #[serde(rename = "delivered")]
    Delivered,
    /// `displayed`.
    #[serde(rename = "displayed")]
    Displayed,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// A header as `Name: value`. The name is a token of RFC 3261 §25.1, the value one line.
pub type HeaderLine = String;

/// One line without control characters.
pub type HeaderValue = String;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(untagged)]
pub enum MessageResult {
    /// A final 2xx came. 200 says that a device of the recipient has it, 202 that a server accepted
    /// it for delivery. If the outcome of the request was unknown and a receipt came, there is no
    /// response. Nothing but receipts follows.
    Succeeded(Box<SucceededEvent>),
    /// It will not be sent any more. Nothing but receipts follows.
    Failed(Box<FailedEvent>),
    /// What this version does not know.
    Unknown(serde_json::Value),
}

/// A message as it was asked for, and how it stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The id of a message, sent or received. Later messages have later ids.
    pub id: MessageId,
    /// `scheduled` waits for its `sendAt`, `queued` for its turn or its next attempt, `sending` for
    /// an answer; the other two are ends.
    pub status: MessageStatus,
    /// As it was given.
    pub target: String,
    /// As it was given; empty when the operator keeps no bodies of ended messages.
    pub body: String,
    /// The media type of the body.
    pub content_type: String,
    /// `"Name: value"` each, in the order given.
    pub extra_headers: Vec<HeaderLine>,
    /// How a body is written. Base64 stands for its bytes.
    pub body_encoding: BodyEncoding,
    /// The account that was asked for; null when any may be used. `?from=` finds a message by the
    /// account that sent it, which is that of its newest event.
    pub from: Option<String>,
    /// Seconds.
    pub ttl: u64,
    /// Not before this time.
    pub send_at: Option<Timestamp>,
    /// Tries while the outcome is transient.
    pub attempts: u64,
    /// What to do when the request left and no final response came.
    pub on_unknown: OnUnknown,
    /// The class of a message, `normal` where none was given. A higher one begins first.
    pub priority: Priority,
    /// Where its events are posted to.
    pub webhook: Option<String>,
    /// The pairs that came with the message.
    pub metadata: Metadata,
    /// The received message that it answers.
    pub in_reply_to: Option<MessageId>,
    /// The receipts that are asked for.
    pub receipts_asked: Vec<ReceiptKind>,
    /// The receipts that came; null when there is none.
    pub receipts: Option<Receipts>,
    /// How many attempts were begun.
    pub attempt: u64,
    /// RFC 3339, in UTC, with milliseconds.
    pub created_at: Timestamp,
    /// After this time it is not tried again.
    pub expires_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When it is tried again, at the earliest, after an attempt that did not end it.
    pub next_attempt_at: Option<Timestamp>,
    /// What it waits for; null when it does not wait. In answers to `GET` only: of one message, and
    /// of each in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// The event that ended it; null until then.
    pub result: Option<MessageResult>,
}

/// When the first receipt of each kind came, whichever recipient it is from.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Receipts {
    /// `delivered`.
    pub delivered: Option<Timestamp>,
    /// `displayed`.
    pub displayed: Option<Timestamp>,
    /// `undelivered`.
    pub undelivered: Option<Timestamp>,
}

/// Always `schedule`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum WaitingForScheduleKind {
    /// `schedule`.
    #[serde(rename = "schedule")]
    Schedule,
}

/// Its `sendAt`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WaitingForSchedule {
    /// `kind`.
    pub kind: WaitingForScheduleKind,
    /// RFC 3339, in UTC, with milliseconds.
    pub until: Timestamp,
}

/// Always `lane`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum WaitingForLaneKind {
    /// `lane`.
    #[serde(rename = "lane")]
    Lane,
}

/// The messages to the same target that go before it: those with the same `from` that were accepted
/// earlier, and the one that is being sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WaitingForLane {
    /// `kind`.
    pub kind: WaitingForLaneKind,
    /// How many they are.
    pub before: u64,
}

/// Always `agent`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum WaitingForAgentKind {
    /// `agent`.
    #[serde(rename = "agent")]
    Agent,
}

/// An agent that may send it. None is registered.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WaitingForAgent {
    /// `kind`.
    pub kind: WaitingForAgentKind,
    /// The account that must send it; null when any may.
    pub account: Option<String>,
}

/// Always `slot`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum WaitingForSlotKind {
    /// `slot`.
    #[serde(rename = "slot")]
    Slot,
}

/// A free slot. Every agent has as many open requests as `in_flight` allows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WaitingForSlot {
    /// `kind`.
    pub kind: WaitingForSlotKind,
}

/// Always `rate`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum WaitingForRateKind {
    /// `rate`.
    #[serde(rename = "rate")]
    Rate,
}

/// The `rate` of its account is used up.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WaitingForRate {
    /// `kind`.
    pub kind: WaitingForRateKind,
    /// RFC 3339, in UTC, with milliseconds.
    pub until: Timestamp,
}

/// Always `priority`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum WaitingForPriorityKind {
    /// `priority`.
    #[serde(rename = "priority")]
    Priority,
}

/// Messages of a higher class, which go before it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WaitingForPriority {
    /// `kind`.
    pub kind: WaitingForPriorityKind,
    /// The class of a message, `normal` where none was given. A higher one begins first.
    pub class: Priority,
}

/// Always `retry`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum WaitingForRetryKind {
    /// `retry`.
    #[serde(rename = "retry")]
    Retry,
}

/// Its next attempt, after one that did not end it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WaitingForRetry {
    /// `kind`.
    pub kind: WaitingForRetryKind,
    /// RFC 3339, in UTC, with milliseconds.
    pub at: Timestamp,
}

/// Always `store`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum WaitingForStoreKind {
    /// `store`.
    #[serde(rename = "store")]
    Store,
}

/// The store, which takes no events at the moment.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WaitingForStore {
    /// `kind`.
    pub kind: WaitingForStoreKind,
}

/// Always `replica`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum WaitingForReplicaKind {
    /// `replica`.
    #[serde(rename = "replica")]
    Replica,
}

/// The replica that has it to send, and which alone knows more: another than the one that answers,
/// or this one when it has yet to take it up.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WaitingForReplica {
    /// `kind`.
    pub kind: WaitingForReplicaKind,
    /// What it is called.
    pub replica: String,
    /// The end of its lease. It is renewed while the replica is heard from; otherwise another one
    /// takes the message over after it.
    pub until: Timestamp,
}

/// What a message waits for before its next attempt.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(untagged)]
pub enum WaitingFor {
    /// Its `sendAt`.
    Schedule(WaitingForSchedule),
    /// The messages to the same target that go before it: those with the same `from` that were
    /// accepted earlier, and the one that is being sent.
    Lane(WaitingForLane),
    /// An agent that may send it. None is registered.
    Agent(WaitingForAgent),
    /// A free slot. Every agent has as many open requests as `in_flight` allows.
    Slot(WaitingForSlot),
    /// The `rate` of its account is used up.
    Rate(WaitingForRate),
    /// Messages of a higher class, which go before it.
    Priority(WaitingForPriority),
    /// Its next attempt, after one that did not end it.
    Retry(WaitingForRetry),
    /// The store, which takes no events at the moment.
    Store(WaitingForStore),
    /// The replica that has it to send, and which alone knows more: another than the one that
    /// answers, or this one when it has yet to take it up.
    Replica(WaitingForReplica),
    /// What this version does not know.
    Unknown(serde_json::Value),
}

/// The id of a message, sent or received. Later messages have later ids.
pub type MessageId = String;

/// The class of a message, `normal` where none was given. A higher one begins first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Priority {
    /// `non-urgent`.
    #[serde(rename = "non-urgent")]
    NonUrgent,
    /// `normal`.
    #[serde(rename = "normal")]
    Normal,
    /// `urgent`.
    #[serde(rename = "urgent")]
    Urgent,
    /// `emergency`.
    #[serde(rename = "emergency")]
    Emergency,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// `scheduled` waits for its `sendAt`, `queued` for its turn or its next attempt, `sending` for an
/// answer; the other two are ends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum MessageStatus {
    /// `scheduled`.
    #[serde(rename = "scheduled")]
    Scheduled,
    /// `queued`.
    #[serde(rename = "queued")]
    Queued,
    /// `sending`.
    #[serde(rename = "sending")]
    Sending,
    /// `succeeded`.
    #[serde(rename = "succeeded")]
    Succeeded,
    /// `failed`.
    #[serde(rename = "failed")]
    Failed,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// The pairs that came with the message.
pub type Metadata = BTreeMap<String, String>;

/// RFC 3339, in UTC, with milliseconds.
pub type Timestamp = String;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    /// Newest first.
    pub data: Vec<Message>,
    /// `cursor` of the page after; null on the last one.
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewBatch {
    /// `messages`.
    pub messages: Vec<NewMessage>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The messages, in the order given.
    pub data: Vec<Message>,
}

/// Something that happened to a message. In a message's life the order is `sending`, then as often
/// as it is tried again `deferred` and `sending`, then `succeeded` or `failed`. Receipts
/// (`delivered`, `displayed`, `undelivered`) come in between or after that. A message that came in
/// has one event, `received`. `type` tells them apart, and `erased` the two that are `received`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(untagged)]
pub enum Event {
    /// An attempt begins. The request is built, and not written yet.
    Sending(Box<SendingEvent>),
    /// An attempt ended with a transient or unknown outcome, and another will follow.
    Deferred(Box<DeferredEvent>),
    /// A final 2xx came. 200 says that a device of the recipient has it, 202 that a server accepted
    /// it for delivery. If the outcome of the request was unknown and a receipt came, there is no
    /// response. Nothing but receipts follows.
    Succeeded(Box<SucceededEvent>),
    /// It will not be sent any more. Nothing but receipts follows.
    Failed(Box<FailedEvent>),
    /// A message came in.
    Received(Box<ReceivedEvent>),
    /// A received message that was erased.
    Erased(Box<ErasedEvent>),
    /// A device of the recipient has the message (`delivered`), or has shown it (`displayed`). Each
    /// comes at most once for a recipient. It can come before `succeeded`, and after it.
    Receipt(Box<ReceiptEvent>),
    /// The recipient's side reports that the message was not delivered. It comes at most once for a
    /// recipient, and does not change the message's status.
    Undelivered(Box<UndeliveredEvent>),
    /// An agent is registered. Events of agents are in the same log, and reach only streams, pages
    /// and webhooks that name their types.
    AgentUp(Box<AgentUpEvent>),
    /// An agent is no longer registered. There is none when the gateway is killed: the next event
    /// of its agents is `agentUp` then.
    AgentDown(Box<AgentDownEvent>),
    /// What this version does not know.
    Unknown(serde_json::Value),
}

/// Always `sending`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum SendingEventType {
    /// `sending`.
    #[serde(rename = "sending")]
    Sending,
}

/// Always `local`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum SendingEventOriginator {
    /// `local`.
    #[serde(rename = "local")]
    Local,
}

/// An attempt begins. The request is built, and not written yet.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct SendingEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: SendingEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of a message, sent or received. Later messages have later ids.
    pub message_id: MessageId,
    /// Which attempt, from 1.
    pub attempt: u64,
    /// The id of the agent that made the attempt; null when none was begun.
    pub agent: EventAgent,
    /// `originator`.
    pub originator: SendingEventOriginator,
    /// The SIP request as it is built, without what the connection adds. It never has credentials.
    pub request: SipRequest,
    /// The class of the message; missing when the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The pairs that came with the message.
    pub metadata: Metadata,
}

/// Always `deferred`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum DeferredEventType {
    /// `deferred`.
    #[serde(rename = "deferred")]
    Deferred,
}

/// An attempt ended with a transient or unknown outcome, and another will follow.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct DeferredEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: DeferredEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of a message, sent or received. Later messages have later ids.
    pub message_id: MessageId,
    /// Which attempt, from 1.
    pub attempt: u64,
    /// The id of the agent that made the attempt; null when none was begun.
    pub agent: EventAgent,
    /// What caused it: `remote`, a SIP peer with a response; `system`, time or a connection;
    /// `local`, the client, or sipost on its behalf.
    pub originator: Originator,
    /// Why, in the words of JsSIP. By SIP status: 300, 301, 302, 305 and 380 `Redirected`; 401 and
    /// 407 `Authentication Error`; 403 and 603 `Rejected`; 404 and 604 `Not Found`; 408 `Request
    /// Timeout`; 410, 430 and 480 `Unavailable`; 424 and 484 `Address Incomplete`; 486 and 600
    /// `Busy`; 488 and 606 `Incompatible SDP`; every other one `SIP Failure Code`. Without a
    /// response: `Request Timeout` when none came in time, `Connection Error` when a connection was
    /// lost or no agent was registered, `Expires` when the time to live was over, `Canceled` when a
    /// client canceled it, `Internal Error` when sipost itself failed.
    pub cause: Cause,
    /// The response that ended the attempt; null when none did.
    pub response: SipResponseOrNull,
    /// When the next attempt begins, at the earliest.
    pub next_attempt_at: Timestamp,
    /// The class of the message; missing when the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The pairs that came with the message.
    pub metadata: Metadata,
}

/// Always `succeeded`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum SucceededEventType {
    /// `succeeded`.
    #[serde(rename = "succeeded")]
    Succeeded,
}

/// Always `remote`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum SucceededEventOriginator {
    /// `remote`.
    #[serde(rename = "remote")]
    Remote,
}

/// A final 2xx came. 200 says that a device of the recipient has it, 202 that a server accepted it
/// for delivery. If the outcome of the request was unknown and a receipt came, there is no
/// response. Nothing but receipts follows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct SucceededEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: SucceededEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of a message, sent or received. Later messages have later ids.
    pub message_id: MessageId,
    /// Which attempt, from 1.
    pub attempt: u64,
    /// The id of the agent that made the attempt; null when none was begun.
    pub agent: EventAgent,
    /// `originator`.
    pub originator: SucceededEventOriginator,
    /// The response; null when a receipt said so instead.
    pub response: Option<SipResponse>,
    /// The event of that receipt; missing when there is a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<EventId>,
    /// The class of the message; missing when the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The pairs that came with the message.
    pub metadata: Metadata,
}

/// Always `failed`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum FailedEventType {
    /// `failed`.
    #[serde(rename = "failed")]
    Failed,
}

/// It will not be sent any more. Nothing but receipts follows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct FailedEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: FailedEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of a message, sent or received. Later messages have later ids.
    pub message_id: MessageId,
    /// The last attempt; 0 when none was begun.
    pub attempt: u64,
    /// The id of the agent that made the attempt; null when none was begun.
    pub agent: EventAgent,
    /// What caused it: `remote`, a SIP peer with a response; `system`, time or a connection;
    /// `local`, the client, or sipost on its behalf.
    pub originator: Originator,
    /// Why, in the words of JsSIP. By SIP status: 300, 301, 302, 305 and 380 `Redirected`; 401 and
    /// 407 `Authentication Error`; 403 and 603 `Rejected`; 404 and 604 `Not Found`; 408 `Request
    /// Timeout`; 410, 430 and 480 `Unavailable`; 424 and 484 `Address Incomplete`; 486 and 600
    /// `Busy`; 488 and 606 `Incompatible SDP`; every other one `SIP Failure Code`. Without a
    /// response: `Request Timeout` when none came in time, `Connection Error` when a connection was
    /// lost or no agent was registered, `Expires` when the time to live was over, `Canceled` when a
    /// client canceled it, `Internal Error` when sipost itself failed.
    pub cause: Cause,
    /// The response that ended the attempt; null when none did.
    pub response: SipResponseOrNull,
    /// Whether the recipient may have got the message all the same.
    pub ambiguous: bool,
    /// The class of the message; missing when the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The pairs that came with the message.
    pub metadata: Metadata,
}

/// Always `received`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum ReceivedEventType {
    /// `received`.
    #[serde(rename = "received")]
    Received,
}

/// Always `remote`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum ReceivedEventOriginator {
    /// `remote`.
    #[serde(rename = "remote")]
    Remote,
}

/// A message came in.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct ReceivedEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: ReceivedEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of the received message.
    pub message_id: MessageId,
    /// The account that received it.
    pub account: String,
    /// The id of the agent that received it.
    pub agent: String,
    /// `originator`.
    pub originator: ReceivedEventOriginator,
    /// The sender of a received message, as the request names it.
    pub from: Sender,
    /// The URI of To.
    pub to: String,
    /// The media type of the body; of the inner part, where an envelope was unwrapped. `text/plain`
    /// where the request has none.
    pub content_type: String,
    /// The body, its bytes as they came.
    pub body: String,
    /// How `body` is written. Base64 when it is not UTF-8, or has a NUL in it.
    pub body_encoding: BodyEncoding,
    /// The SIP request as it came in.
    pub request: ReceivedRequest,
    /// The message of the same account that the request's `In-Reply-To` names, if there is one.
    pub in_reply_to: Option<MessageId>,
    /// What a `message/cpim` envelope (RFC 3862) said; null without one.
    pub envelope: Option<Envelope>,
    /// Whether `Date` plus `Expires` of the request is in the past.
    pub expired: bool,
}

/// Always `received`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum ErasedEventType {
    /// `received`.
    #[serde(rename = "received")]
    Received,
}

/// A received message that was erased.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct ErasedEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: ErasedEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of a message, sent or received. Later messages have later ids.
    pub message_id: MessageId,
    /// The account that received it.
    pub account: String,
    /// `erased`.
    pub erased: bool,
}

/// The sender of a received message, as the request names it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Sender {
    /// The URI of From. It is not authenticated.
    pub uri: String,
    /// The display name of From.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The identity that the server asserts, where the operator trusts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asserted: Option<String>,
}

/// Always `MESSAGE`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum ReceivedRequestMethod {
    /// `MESSAGE`.
    #[serde(rename = "MESSAGE")]
    MESSAGE,
}

/// The SIP request as it came in.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct ReceivedRequest {
    /// `method`.
    pub method: ReceivedRequestMethod,
    /// The Request-URI.
    pub uri: String,
    /// Of this, together with account, From tag and CSeq, there is one message.
    pub call_id: String,
    /// The CSeq number.
    pub cseq: u64,
    /// Names, each with every value, in the order of the wire.
    pub headers: SipHeaders,
    /// The peer wrote more than is here: headers beyond 8 KiB of JSON are left out whole. Missing
    /// when all of it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
}

/// What a `message/cpim` envelope said. Addresses are bare URIs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Who wrote the message.
    pub from: Option<String>,
    /// To whom.
    pub to: Option<String>,
    /// When, in the words of the sender.
    pub date_time: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The id that receipts name.
    pub message_id: Option<String>,
    /// The receipts that the sender asks for. sipost sends none by itself.
    pub receipts: Vec<ReceiptKind>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum ReceiptEventType {
    /// `delivered`.
    #[serde(rename = "delivered")]
    Delivered,
    /// `displayed`.
    #[serde(rename = "displayed")]
    Displayed,
}

/// A device of the recipient has the message (`delivered`), or has shown it (`displayed`). Each
/// comes at most once for a recipient. It can come before `succeeded`, and after it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct ReceiptEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: ReceiptEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of a message, sent or received. Later messages have later ids.
    pub message_id: MessageId,
    /// The sender of the receipt.
    pub recipient: String,
    /// The class of the message; missing when the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The pairs that came with the message.
    pub metadata: Metadata,
}

/// Always `undelivered`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum UndeliveredEventType {
    /// `undelivered`.
    #[serde(rename = "undelivered")]
    Undelivered,
}

/// How (RFC 5438 §7.2.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum UndeliveredEventStatus {
    /// `failed`.
    #[serde(rename = "failed")]
    Failed,
    /// `forbidden`.
    #[serde(rename = "forbidden")]
    Forbidden,
    /// `error`.
    #[serde(rename = "error")]
    Error,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// The recipient's side reports that the message was not delivered. It comes at most once for a
/// recipient, and does not change the message's status.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct UndeliveredEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: UndeliveredEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of a message, sent or received. Later messages have later ids.
    pub message_id: MessageId,
    /// The sender of the receipt.
    pub recipient: String,
    /// How (RFC 5438 §7.2.1).
    pub status: UndeliveredEventStatus,
    /// Why, in the words of the recipient's side.
    pub reason: Option<String>,
    /// The class of the message; missing when the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The pairs that came with the message.
    pub metadata: Metadata,
}

/// Always `agentUp`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum AgentUpEventType {
    /// `agentUp`.
    #[serde(rename = "agentUp")]
    AgentUp,
}

/// An agent is registered. Events of agents are in the same log, and reach only streams, pages and
/// webhooks that name their types.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct AgentUpEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: AgentUpEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of the agent.
    pub agent: String,
    /// The account that it sends as.
    pub account: String,
    /// The URL of the SIP server it is registered with.
    pub server: String,
}

/// Always `agentDown`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum AgentDownEventType {
    /// `agentDown`.
    #[serde(rename = "agentDown")]
    AgentDown,
}

/// An agent is no longer registered. There is none when the gateway is killed: the next event of
/// its agents is `agentUp` then.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct AgentDownEvent {
    /// The id of an event: the number of the log, and the place in it. A new store has a new
    /// number. Within one log, ids sort as text.
    pub id: EventId,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: AgentDownEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// The id of the agent.
    pub agent: String,
    /// The account that it sends as.
    pub account: String,
    /// The URL of the SIP server it was registered with.
    pub server: String,
    /// Why, in a sentence.
    pub reason: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct ReceivedPage {
    /// Newest first.
    pub data: Vec<ReceivedEvent>,
    /// `cursor` of the page after; null on the last one.
    pub next_cursor: Option<String>,
}

/// The id of an event: the number of the log, and the place in it. A new store has a new number.
/// Within one log, ids sort as text.
pub type EventId = String;

/// The id of the agent that made the attempt; null when none was begun.
pub type EventAgent = Option<String>;

/// What caused it: `remote`, a SIP peer with a response; `system`, time or a connection; `local`,
/// the client, or sipost on its behalf.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Originator {
    /// `local`.
    #[serde(rename = "local")]
    Local,
    /// `remote`.
    #[serde(rename = "remote")]
    Remote,
    /// `system`.
    #[serde(rename = "system")]
    System,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// Why, in the words of JsSIP. By SIP status: 300, 301, 302, 305 and 380 `Redirected`; 401 and 407
/// `Authentication Error`; 403 and 603 `Rejected`; 404 and 604 `Not Found`; 408 `Request Timeout`;
/// 410, 430 and 480 `Unavailable`; 424 and 484 `Address Incomplete`; 486 and 600 `Busy`; 488 and
/// 606 `Incompatible SDP`; every other one `SIP Failure Code`. Without a response: `Request
/// Timeout` when none came in time, `Connection Error` when a connection was lost or no agent was
/// registered, `Expires` when the time to live was over, `Canceled` when a client canceled it,
/// `Internal Error` when sipost itself failed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Cause {
    /// `Address Incomplete`.
    #[serde(rename = "Address Incomplete")]
    AddressIncomplete,
    /// `Authentication Error`.
    #[serde(rename = "Authentication Error")]
    AuthenticationError,
    /// `Busy`.
    #[serde(rename = "Busy")]
    Busy,
    /// `Canceled`.
    #[serde(rename = "Canceled")]
    Canceled,
    /// `Connection Error`.
    #[serde(rename = "Connection Error")]
    ConnectionError,
    /// `Expires`.
    #[serde(rename = "Expires")]
    Expires,
    /// `Incompatible SDP`.
    #[serde(rename = "Incompatible SDP")]
    IncompatibleSDP,
    /// `Internal Error`.
    #[serde(rename = "Internal Error")]
    InternalError,
    /// `Not Found`.
    #[serde(rename = "Not Found")]
    NotFound,
    /// `Redirected`.
    #[serde(rename = "Redirected")]
    Redirected,
    /// `Rejected`.
    #[serde(rename = "Rejected")]
    Rejected,
    /// `Request Timeout`.
    #[serde(rename = "Request Timeout")]
    RequestTimeout,
    /// `SIP Failure Code`.
    #[serde(rename = "SIP Failure Code")]
    SIPFailureCode,
    /// `Unavailable`.
    #[serde(rename = "Unavailable")]
    Unavailable,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// Always `MESSAGE`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum SipRequestMethod {
    /// `MESSAGE`.
    #[serde(rename = "MESSAGE")]
    MESSAGE,
}

/// The SIP request as it is built, without what the connection adds. It never has credentials.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct SipRequest {
    /// `method`.
    pub method: SipRequestMethod,
    /// The Request-URI.
    pub uri: String,
    /// The same in every attempt of a message.
    pub call_id: String,
    /// The CSeq number that the attempt begins with. After a challenge (401, 407) the request comes
    /// again with credentials and the next number, so the response can have a higher one.
    pub cseq: u64,
    /// Names, each with every value, in the order of the wire.
    pub headers: SipHeaders,
}

/// A final SIP response.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct SipResponse {
    /// `statusCode`.
    pub status_code: u64,
    /// As the peer wrote it, up to 1 KiB of JSON.
    pub reason_phrase: String,
    /// Names, each with every value, in the order of the wire.
    pub headers: SipHeaders,
    /// The peer wrote more than is here: headers beyond 8 KiB of JSON are left out whole, and the
    /// reason phrase is cut. Missing when all of it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
}

/// The response that ended the attempt; null when none did.
pub type SipResponseOrNull = Option<SipResponse>;

/// Names, each with every value, in the order of the wire.
pub type SipHeaders = BTreeMap<String, Vec<String>>;

/// From the agent to its server, or from the server to the agent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum SipFrameDirection {
    /// `sent`.
    #[serde(rename = "sent")]
    Sent,
    /// `received`.
    #[serde(rename = "received")]
    Received,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// There when the SIP message is not UTF-8, and so is in Base64.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum SipFrameFrameEncoding {
    /// `base64`.
    #[serde(rename = "base64")]
    Base64,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// A SIP message as it passed over the connection of an agent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct SipFrame {
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
    /// From the agent to its server, or from the server to the agent.
    pub direction: SipFrameDirection,
    /// The id of the agent.
    pub agent: String,
    /// The address and port of this end of the connection.
    pub local: String,
    /// Those of the other end, the server or a proxy before it.
    pub remote: String,
    /// The whole SIP message, as long as it was. Each byte of credentials, and of a body that is
    /// not shown, is `*`.
    pub frame: String,
    /// There when the SIP message is not UTF-8, and so is in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_encoding: Option<SipFrameFrameEncoding>,
}

/// SIP messages in the order in which they passed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct SipFrames {
    /// `data`.
    pub data: Vec<SipFrame>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct MessageEvents {
    /// Oldest first.
    pub data: Vec<Event>,
    /// `after` of the next page; null when no event of the message follows.
    pub next_cursor: Option<EventId>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct EventPage {
    /// Oldest first; with `before`, newest first.
    pub data: Vec<Event>,
    /// `after` of the page after; ask again with it to go on. With `before`, the `before` of the
    /// page with older events; its number is 0 when there are none.
    pub next_cursor: EventId,
    /// The log does not have the requested id. Events between it and `resumedFrom` are lost to the
    /// reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
}

/// The log does not have the requested id. Events between it and `resumedFrom` are lost to the
/// reader.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// What was asked for, its first 64 characters.
    pub requested: String,
    /// The log goes on after this.
    pub resumed_from: EventId,
    /// Why, in a sentence.
    pub reason: String,
}

/// One registered user agent, with a connection of its own.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Safe in a path, and the same after a restart.
    pub id: String,
    /// The address of record it sends as.
    pub account: String,
    /// The server it is connected or connecting to.
    pub server: String,
    /// `connecting` opens its connection, `registering` waits for the registrar, `registered` takes
    /// messages, `backoff` waits before it connects or registers again, `draining` takes no new
    /// messages and waits for the open ones, `stopped` has ended or was told to stay away.
    pub state: AgentState,
    /// Since when it has been in this state.
    pub since: Timestamp,
    /// When its registration ends unless refreshed; null when it is not registered.
    pub registered_until: Option<Timestamp>,
    /// When it connects or registers again; null unless the state is `backoff`.
    pub next_attempt_at: Option<Timestamp>,
    /// Requests written and not answered yet.
    pub in_flight: u64,
    /// Attempts handed to it since the start.
    pub sent: u64,
    /// Attempts answered with 2xx since the start.
    pub succeeded: u64,
    /// Attempts that ended otherwise since the start.
    pub failed: u64,
    /// What went wrong last, also why a challenge was not answered: no credentials are configured,
    /// they were shown and refused, or the realm is not one that is answered.
    pub last_error: Option<String>,
    /// Which of several replicas it is at. Absent where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
}

/// `connecting` opens its connection, `registering` waits for the registrar, `registered` takes
/// messages, `backoff` waits before it connects or registers again, `draining` takes no new
/// messages and waits for the open ones, `stopped` has ended or was told to stay away.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum AgentState {
    /// `connecting`.
    #[serde(rename = "connecting")]
    Connecting,
    /// `registering`.
    #[serde(rename = "registering")]
    Registering,
    /// `registered`.
    #[serde(rename = "registered")]
    Registered,
    /// `backoff`.
    #[serde(rename = "backoff")]
    Backoff,
    /// `draining`.
    #[serde(rename = "draining")]
    Draining,
    /// `stopped`.
    #[serde(rename = "stopped")]
    Stopped,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct AgentList {
    /// `data`.
    pub data: Vec<Agent>,
}

/// The URL, and which events. Only `url` is required.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewWebhook {
    /// An http or https URL that can be posted to: without user name and fragment, and with a host
    /// that is an address or a name of DNS.
    pub url: WebhookUrl,
    /// Only events of these types. Without any, those of messages that there are when the webhook
    /// is made, or changed so: types that come with a later version are not posted to it, and
    /// neither are those of agents (`agentUp`, `agentDown`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<WebhookTypes>,
    /// Only events of messages that these accounts sent, must send or received; all when there are
    /// none. For a token with accounts of its own these, when it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<WebhookFrom>,
    /// Any text of at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<WebhookDescription>,
    /// Whether events are posted to it. Left out, yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// The members to change. `null` removes a filter or the description.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookChange {
    /// An http or https URL that can be posted to: without user name and fragment, and with a host
    /// that is an address or a name of DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<WebhookUrl>,
    /// Only events of these types. Without any, those of messages that there are when the webhook
    /// is made, or changed so: types that come with a later version are not posted to it, and
    /// neither are those of agents (`agentUp`, `agentDown`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<WebhookTypes>,
    /// Only events of messages that these accounts sent, must send or received; all when there are
    /// none. For a token with accounts of its own these, when it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<WebhookFrom>,
    /// Any text of at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<WebhookDescription>,
    /// Whether events are posted to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// An http or https URL that can be posted to: without user name and fragment, and with a host that
/// is an address or a name of DNS.
pub type WebhookUrl = String;

/// Only events of these types. Without any, those of messages that there are when the webhook is
/// made, or changed so: types that come with a later version are not posted to it, and neither are
/// those of agents (`agentUp`, `agentDown`).
pub type WebhookTypes = Option<Vec<EventType>>;

/// Only events of messages that these accounts sent, must send or received; all when there are
/// none. For a token with accounts of its own these, when it names none.
pub type WebhookFrom = Option<Vec<String>>;

/// Any text of at most 512 bytes.
pub type WebhookDescription = Option<String>;

/// The type of an event.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum EventType {
    /// `sending`.
    #[serde(rename = "sending")]
    Sending,
    /// `deferred`.
    #[serde(rename = "deferred")]
    Deferred,
    /// `succeeded`.
    #[serde(rename = "succeeded")]
    Succeeded,
    /// `failed`.
    #[serde(rename = "failed")]
    Failed,
    /// `received`.
    #[serde(rename = "received")]
    Received,
    /// `delivered`.
    #[serde(rename = "delivered")]
    Delivered,
    /// `displayed`.
    #[serde(rename = "displayed")]
    Displayed,
    /// `undelivered`.
    #[serde(rename = "undelivered")]
    Undelivered,
    /// `agentUp`.
    #[serde(rename = "agentUp")]
    AgentUp,
    /// `agentDown`.
    #[serde(rename = "agentDown")]
    AgentDown,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// A webhook as it stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The id of a webhook.
    pub id: WebhookId,
    /// Where events are posted to.
    pub url: String,
    /// Only these types.
    pub types: Vec<EventType>,
    /// Only these accounts; empty for all.
    pub from: Vec<String>,
    /// Words of yours.
    pub description: Option<String>,
    /// Whether events are posted to it.
    pub enabled: bool,
    /// Why it is disabled, and since when; null while it is enabled.
    pub disabled: Option<WebhookDisabled>,
    /// Since when every attempt failed; null while the last one succeeded. After
    /// `webhooks.disable_after` of that (5 days) the webhook is disabled.
    pub failing_since: Option<Timestamp>,
    /// What is being sent again.
    pub recovery: Option<WebhookRecovery>,
    /// RFC 3339, in UTC, with milliseconds.
    pub created_at: Timestamp,
    /// RFC 3339, in UTC, with milliseconds.
    pub updated_at: Timestamp,
    /// Until when posts are signed with the old secret, too.
    pub previous_secret_until: Option<Timestamp>,
}

/// A webhook whose secret is new.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WebhookWithSecret {
    /// The id of a webhook.
    pub id: WebhookId,
    /// Where events are posted to.
    pub url: String,
    /// Only these types.
    pub types: Vec<EventType>,
    /// Only these accounts; empty for all.
    pub from: Vec<String>,
    /// Words of yours.
    pub description: Option<String>,
    /// Whether events are posted to it.
    pub enabled: bool,
    /// Why it is disabled, and since when; null while it is enabled.
    pub disabled: Option<WebhookDisabled>,
    /// Since when every attempt failed; null while the last one succeeded. After
    /// `webhooks.disable_after` of that (5 days) the webhook is disabled.
    pub failing_since: Option<Timestamp>,
    /// What is being sent again.
    pub recovery: Option<WebhookRecovery>,
    /// RFC 3339, in UTC, with milliseconds.
    pub created_at: Timestamp,
    /// RFC 3339, in UTC, with milliseconds.
    pub updated_at: Timestamp,
    /// Until when posts are signed with the old secret, too.
    pub previous_secret_until: Option<Timestamp>,
    /// The secret that signs posts. It is shown only once.
    pub secret: String,
}

/// The id of a webhook.
pub type WebhookId = String;

/// `request`: a client asked for it. `gone`: it answered 410. `failing`: it only failed for longer
/// than `webhooks.disable_after`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum WebhookDisabledReason {
    /// `request`.
    #[serde(rename = "request")]
    Request,
    /// `gone`.
    #[serde(rename = "gone")]
    Gone,
    /// `failing`.
    #[serde(rename = "failing")]
    Failing,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WebhookDisabled {
    /// `request`: a client asked for it. `gone`: it answered 410. `failing`: it only failed for
    /// longer than `webhooks.disable_after`.
    pub reason: WebhookDisabledReason,
    /// The same, in words.
    pub detail: String,
    /// RFC 3339, in UTC, with milliseconds.
    pub at: Timestamp,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WebhookRecovery {
    /// RFC 3339, in UTC, with milliseconds.
    pub since: Timestamp,
    /// RFC 3339, in UTC, with milliseconds.
    pub until: Timestamp,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WebhookList {
    /// Oldest first.
    pub data: Vec<Webhook>,
    /// Where the next page begins; null when there is none.
    pub next_cursor: Option<String>,
}

/// The time whose events are sent again.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recover {
    /// Events of this time and later.
    pub since: String,
    /// Events before this time. Left out, until now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum WebhookTestEventType {
    /// `test`.
    #[serde(rename = "test")]
    Test,
}

/// What was posted.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WebhookTestEvent {
    /// `id`.
    pub id: String,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: WebhookTestEventType,
    /// RFC 3339, in UTC, with milliseconds.
    pub time: Timestamp,
}

/// A test, and what came back.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct WebhookTest {
    /// What was posted.
    pub event: WebhookTestEvent,
    /// Which attempt it was.
    pub number: u64,
    /// RFC 3339, in UTC, with milliseconds.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The HTTP status; null when there was no answer.
    pub status: Option<u64>,
    /// The first 256 bytes of the answer; what is not UTF-8 is replaced.
    pub answer: String,
    /// Why there was no answer.
    pub error: Option<String>,
}

/// One POST, and what came back.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct DeliveryAttempt {
    /// Which attempt it was.
    pub number: u64,
    /// RFC 3339, in UTC, with milliseconds.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The HTTP status; null when there was no answer.
    pub status: Option<u64>,
    /// The first 256 bytes of the answer; what is not UTF-8 is replaced.
    pub answer: String,
    /// Why there was no answer.
    pub error: Option<String>,
}

/// An event on its way to a webhook, and what became of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The id of the event, which `webhook-id` says too.
    pub id: String,
    /// The type of an event.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The message; for an event of an agent, an id that all events of the agent have here.
    pub message_id: MessageId,
    /// `pending` waits for its first or next attempt, `delivered` was answered with 2xx, `failed`
    /// after every attempt of the schedule.
    pub status: DeliveryStatus,
    /// RFC 3339, in UTC, with milliseconds.
    pub created_at: Timestamp,
    /// When it is tried next; null when it has ended, or waits for an earlier event of its message.
    pub next_attempt_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// The last attempts, oldest first.
    pub attempts: Vec<DeliveryAttempt>,
}

/// `pending` waits for its first or next attempt, `delivered` was answered with 2xx, `failed` after
/// every attempt of the schedule.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum DeliveryStatus {
    /// `pending`.
    #[serde(rename = "pending")]
    Pending,
    /// `delivered`.
    #[serde(rename = "delivered")]
    Delivered,
    /// `failed`.
    #[serde(rename = "failed")]
    Failed,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct DeliveryPage {
    /// The newest event first.
    pub data: Vec<Delivery>,
    /// Where the next page begins; null when there is none.
    pub next_cursor: Option<String>,
}

/// Why a request was refused, or failed (RFC 9457).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The kind of the problem. It can be opened.
    #[serde(rename = "type")]
    pub kind: ProblemUri,
    /// The kind, in a sentence.
    pub title: String,
    /// The HTTP status.
    pub status: u64,
    /// What was wrong with this request, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Every mistake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<Violation>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Where in the request, a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong, and what is accepted.
    pub detail: String,
}

/// The kind of the problem. It can be opened.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum ProblemUri {
    /// `/problems/malformed-body`.
    #[serde(rename = "/problems/malformed-body")]
    MalformedBody,
    /// `/problems/invalid-query`.
    #[serde(rename = "/problems/invalid-query")]
    InvalidQuery,
    /// `/problems/invalid-header`.
    #[serde(rename = "/problems/invalid-header")]
    InvalidHeader,
    /// `/problems/unauthorized`.
    #[serde(rename = "/problems/unauthorized")]
    Unauthorized,
    /// `/problems/forbidden`.
    #[serde(rename = "/problems/forbidden")]
    Forbidden,
    /// `/problems/cross-origin`.
    #[serde(rename = "/problems/cross-origin")]
    CrossOrigin,
    /// `/problems/not-found`.
    #[serde(rename = "/problems/not-found")]
    NotFound,
    /// `/problems/method-not-allowed`.
    #[serde(rename = "/problems/method-not-allowed")]
    MethodNotAllowed,
    /// `/problems/not-acceptable`.
    #[serde(rename = "/problems/not-acceptable")]
    NotAcceptable,
    /// `/problems/request-timeout`.
    #[serde(rename = "/problems/request-timeout")]
    RequestTimeout,
    /// `/problems/too-late`.
    #[serde(rename = "/problems/too-late")]
    TooLate,
    /// `/problems/key-in-progress`.
    #[serde(rename = "/problems/key-in-progress")]
    KeyInProgress,
    /// `/problems/too-many-webhooks`.
    #[serde(rename = "/problems/too-many-webhooks")]
    TooManyWebhooks,
    /// `/problems/too-large`.
    #[serde(rename = "/problems/too-large")]
    TooLarge,
    /// `/problems/unsupported-type`.
    #[serde(rename = "/problems/unsupported-type")]
    UnsupportedType,
    /// `/problems/misdirected`.
    #[serde(rename = "/problems/misdirected")]
    Misdirected,
    /// `/problems/invalid-message`.
    #[serde(rename = "/problems/invalid-message")]
    InvalidMessage,
    /// `/problems/key-reused`.
    #[serde(rename = "/problems/key-reused")]
    KeyReused,
    /// `/problems/rate-limited`.
    #[serde(rename = "/problems/rate-limited")]
    RateLimited,
    /// `/problems/internal`.
    #[serde(rename = "/problems/internal")]
    Internal,
    /// `/problems/overloaded`.
    #[serde(rename = "/problems/overloaded")]
    Overloaded,
    /// `/problems/too-many-streams`.
    #[serde(rename = "/problems/too-many-streams")]
    TooManyStreams,
    /// `/problems/stopping`.
    #[serde(rename = "/problems/stopping")]
    Stopping,
    /// `/problems/unavailable`.
    #[serde(rename = "/problems/unavailable")]
    Unavailable,
    /// A word that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}
