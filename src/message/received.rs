//! What comes in: a MESSAGE of a peer, and receipts for messages of ours.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::contents::{BodyEncoding, Metadata};
use super::event::{Event, What};
use super::event_kind::EventKind;
use super::id::MessageId;
use super::json;
use super::time::Timestamp;
use super::view::RequestView;

/// A MESSAGE that came in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// Our name for it: a UUIDv7, made when it came in.
    pub id: MessageId,
    /// When it came in.
    pub time: Timestamp,
    /// The address of record of the account that received it.
    pub account: Arc<str>,
    /// The agent that received it.
    pub agent: Arc<str>,
    /// The sender.
    pub from: Sender,
    /// The URI of To.
    pub to: String,
    /// The media type of the body: of the inner part, where an envelope was unwrapped.
    pub content_type: String,
    /// Decoded, and otherwise as it came.
    pub body: Vec<u8>,
    /// The request; its Call-ID and CSeq are part of what makes a repeated request the same one.
    pub request: RequestView,
    /// The tag of From, empty without one: the last part of that key.
    pub from_tag: String,
    /// What In-Reply-To names that can be an id of ours. A store looks at the first
    /// [`Received::MAX_ANSWERS`].
    pub answers: Vec<MessageId>,
    /// The first of `answers` that is a message which this account sent. Set by the store.
    pub in_reply_to: Option<MessageId>,
    /// What a `message/cpim` wrapper said, if there was one.
    pub envelope: Option<Envelope>,
    /// Whether `Date` plus `Expires` of the request is in the past.
    pub expired: bool,
}

/// The sender of a message, as the request names it. Nothing of it is authenticated but `asserted`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sender {
    /// The URI of From.
    pub uri: String,
    /// The display name of From.
    pub display_name: Option<String>,
    /// The identity that the server asserts, where the account trusts it (RFC 3325).
    pub asserted: Option<String>,
}

/// What a `message/cpim` wrapper said (RFC 3862). Addresses are bare URIs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Envelope {
    /// Who wrote the message.
    pub from: Option<String>,
    /// To whom.
    pub to: Option<String>,
    /// When, in the words of the sender.
    pub date_time: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The id that receipts name (RFC 5438 §6.3).
    pub message_id: Option<String>,
    /// The receipts that the sender asks for.
    pub receipts: Vec<ReceiptRequest>,
}

/// A receipt that the sender of a message asks for (RFC 5438 §6.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptRequest {
    /// Whether a device has it.
    Delivered,
    /// Whether it was shown to a person.
    Displayed,
}

impl ReceiptRequest {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Delivered, Self::Displayed];

    /// The word that the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Displayed => "displayed",
        }
    }

    /// The request of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// What a recipient's device says of a message of ours (RFC 5438).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The message of ours.
    pub message_id: MessageId,
    /// When the receipt came.
    pub time: Timestamp,
    /// The address of record of the account at which it arrived.
    pub account: Arc<str>,
    /// The agent that received it.
    pub agent: Arc<str>,
    /// The sender of the receipt: its From URI, normalized and without parameters.
    pub recipient: Arc<str>,
    /// What it says.
    pub disposition: Disposition,
}

/// What a receipt says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// A device of the recipient has the message.
    Delivered,
    /// The message was shown to a person.
    Displayed,
    /// The message did not arrive.
    Undelivered {
        /// How.
        status: UndeliveredStatus,
        /// Why, in the words of the recipient's device.
        reason: Option<String>,
    },
}

/// How a message did not arrive (RFC 5438 §7.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UndeliveredStatus {
    /// It could not be delivered.
    Failed,
    /// The recipient's side refuses to say.
    Forbidden,
    /// Something went wrong on the way.
    Error,
}

impl UndeliveredStatus {
    /// The word that the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Forbidden => "forbidden",
            Self::Error => "error",
        }
    }
}

impl Disposition {
    /// The type of the event that tells of it.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Delivered => EventKind::Delivered,
            Self::Displayed => EventKind::Displayed,
            Self::Undelivered { .. } => EventKind::Undelivered,
        }
    }

    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Delivered | Self::Displayed | Self::Undelivered { reason: None, .. } => 0,
            Self::Undelivered {
                reason: Some(reason),
                ..
            } => json::weight(reason.as_bytes()),
        }
    }

    pub(super) fn write_members(&self, out: &mut Vec<u8>) {
        if let Self::Undelivered { status, reason } = self {
            json::member(out, "status");
            json::string(out, status.as_str());
            json::member(out, "reason");
            json::optional(out, reason.as_deref());
        }
    }
}

impl Received {
    /// How many ids of In-Reply-To are looked for.
    pub const MAX_ANSWERS: usize = 8;

    /// The body as events show it, and how that has to be read: bytes that are no text, or have a
    /// NUL in them, are Base64.
    pub fn body_text(&self) -> (Cow<'_, str>, BodyEncoding) {
        match std::str::from_utf8(&self.body) {
            Ok(text) if !self.body.contains(&0) => (text.into(), BodyEncoding::Utf8),
            Ok(_) | Err(_) => {
                let text = BASE64_STANDARD.encode(&self.body);
                (text.into(), BodyEncoding::Base64)
            }
        }
    }

    /// How much it is, for every budget: no less than it takes in memory, and no less than its
    /// JSON.
    pub fn weight(&self) -> usize {
        /// Names of members, times and ids.
        const FRAME: usize = 768;
        let text = |text: &str| json::weight(text.as_bytes());
        let optional = |given: &Option<String>| given.as_deref().map_or(0, text);
        let Sender {
            uri,
            display_name,
            asserted,
        } = &self.from;
        let from = text(uri) + optional(display_name) + optional(asserted);
        // As Base64 it is shorter than as escaped text, or the other way round.
        let body = json::weight(&self.body).max(self.body.len().div_ceil(3) * 4);
        let names = text(&self.account) + text(&self.agent) + text(&self.to);
        FRAME
            + size_of::<Self>()
            + names
            + from
            + text(&self.content_type)
            + body
            + self.request.weight()
            + self.from_tag.len()
            + size_of_val(self.answers.as_slice())
            + self.envelope.as_ref().map_or(0, Envelope::weight)
    }

    /// The event that tells of it.
    pub fn event(self) -> Event {
        Event {
            message_id: self.id,
            time: self.time,
            attempt: 0,
            agent: Some(self.agent.clone()),
            uri: self.from.uri.as_str().into(),
            account: Some(self.account.clone()),
            webhook: None,
            trace: None,
            priority: None,
            metadata: Metadata::new(),
            what: What::Received(Box::new(self)),
        }
    }

    /// Writes the members of its event that follow `id`, as [`Event::write_members`] does.
    /// `in_reply_to` is what the store found.
    pub fn write_members(&self, in_reply_to: Option<MessageId>, out: &mut Vec<u8>) {
        let begin = (self.time, self.id);
        write_begin(out, begin, &self.account);
        json::member(out, "agent");
        json::string(out, &self.agent);
        json::member(out, "originator");
        json::string(out, "remote");
        json::member(out, "from");
        self.from.write_json(out);
        json::member(out, "to");
        json::string(out, &self.to);
        json::member(out, "contentType");
        json::string(out, &self.content_type);
        let (body, encoding) = self.body_text();
        json::member(out, "body");
        json::string(out, &body);
        json::member(out, "bodyEncoding");
        json::string(out, encoding.as_str());
        json::member(out, "request");
        self.request.write_json(out);
        json::member(out, "inReplyTo");
        json::optional(out, in_reply_to.map(|id| id.to_string()).as_deref());
        json::member(out, "envelope");
        match &self.envelope {
            Some(envelope) => envelope.write_json(out),
            None => out.extend_from_slice(b"null"),
        }
        json::member(out, "expired");
        json::boolean(out, self.expired);
        out.push(b'}');
    }

    /// Writes the tombstone of its event.
    pub fn write_erased(time: Timestamp, id: MessageId, account: &str, out: &mut Vec<u8>) {
        write_begin(out, (time, id), account);
        json::member(out, "erased");
        json::boolean(out, true);
        out.push(b'}');
    }
}

/// Type, time, id and account of a received message.
fn write_begin(out: &mut Vec<u8>, (time, id): (Timestamp, MessageId), account: &str) {
    json::member(out, "type");
    json::string(out, "received");
    json::member(out, "time");
    json::string(out, &time.to_string());
    json::member(out, "messageId");
    json::string(out, &id.to_string());
    json::member(out, "account");
    json::string(out, account);
}

impl Sender {
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"uri\":");
        json::string(out, &self.uri);
        for (name, given) in [
            ("displayName", &self.display_name),
            ("asserted", &self.asserted),
        ] {
            if let Some(given) = given {
                json::member(out, name);
                json::string(out, given);
            }
        }
        out.push(b'}');
    }
}

impl Envelope {
    fn members(&self) -> [(&'static str, &Option<String>); 5] {
        [
            ("from", &self.from),
            ("to", &self.to),
            ("dateTime", &self.date_time),
            ("subject", &self.subject),
            ("messageId", &self.message_id),
        ]
    }

    fn weight(&self) -> usize {
        let texts = self.members().into_iter();
        let texts = texts.filter_map(|(_, text)| text.as_deref());
        size_of::<Self>()
            + texts
                .map(|text| json::weight(text.as_bytes()))
                .sum::<usize>()
            + self.receipts.len() * "\"delivered\",".len()
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (name, text) in self.members() {
            json::string(out, name);
            out.push(b':');
            json::optional(out, text.as_deref());
            out.push(b',');
        }
        out.extend_from_slice(b"\"receipts\":");
        json::list(out, *b"[]", &self.receipts, |out, receipt| {
            json::string(out, receipt.as_str());
        });
        out.push(b'}');
    }
}

/// Whether the sender of a receipt is the user whom a message was addressed to: the same user at
/// the same host, whatever the scheme, the port and the parameters of either URI.
pub fn is_user_of(recipient: &str, target: &str) -> bool {
    let (recipient, target) = (user_and_host(recipient), user_and_host(target));
    recipient.0 == target.0 && recipient.1.eq_ignore_ascii_case(target.1)
}

/// The user part of a URI, and its host without a port. The number of a `tel` URI is a user.
fn user_and_host(uri: &str) -> (&str, &str) {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let (user, host) = match rest.split_once('@') {
        Some(parts) => parts,
        None => (rest, ""),
    };
    // A user may have any of these in it, so only a number is cut there.
    let user = if host.is_empty() {
        user.split([';', '?']).next()
    } else {
        Some(user)
    };
    let host = host.split([';', '?']).next().unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    (user.unwrap_or_default(), host)
}

impl Receipt {
    /// How much it is, for every budget. The event has what its message has besides.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + self.account.len()
            + self.agent.len()
            + json::weight(self.recipient.as_bytes())
            + self.disposition.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::super::header_map::HeaderMap;
    use super::*;

    fn received() -> Received {
        let mut headers = HeaderMap::default();
        headers.add("User-Agent", "Linphone");
        Received {
            id: "01930000-0000-7000-8000-000000000001".parse().unwrap(),
            time: "2026-11-22T05:00:00.123Z".parse().unwrap(),
            account: "sip:alice@example.com".into(),
            agent: "alice-1".into(),
            from: Sender {
                uri: "sip:bob@example.com".to_owned(),
                display_name: Some("Bob".to_owned()),
                asserted: None,
            },
            to: "sip:alice@example.com".to_owned(),
            content_type: "text/plain;charset=utf-8".to_owned(),
            body: b"Yes, at noon.".to_vec(),
            request: RequestView {
                method: "MESSAGE",
                uri: "sip:alice@192.0.2.1".into(),
                call_id: "a84b4c76".to_owned(),
                cseq: 1,
                headers,
                truncated: false,
            },
            from_tag: "1928301774".to_owned(),
            answers: Vec::new(),
            in_reply_to: None,
            envelope: None,
            expired: false,
        }
    }

    fn json(event: &Event) -> String {
        let mut out = Vec::new();
        Event::write_id(1, 43, &mut out);
        event.write_members(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn parsed(received: Received) -> serde_json::Value {
        serde_json::from_str(&json(&received.event())).unwrap()
    }

    #[test]
    fn a_received_message_is_written_as_the_contract_shows_it() {
        assert_eq!(
            json(&received().event()),
            concat!(
                r#"{"id":"1-0000000000000043","type":"received","time":"2026-11-22T05:00:00.123Z","#,
                r#""messageId":"01930000-0000-7000-8000-000000000001","account":"sip:alice@example.com","#,
                r#""agent":"alice-1","originator":"remote","#,
                r#""from":{"uri":"sip:bob@example.com","displayName":"Bob"},"to":"sip:alice@example.com","#,
                r#""contentType":"text/plain;charset=utf-8","body":"Yes, at noon.","bodyEncoding":"utf-8","#,
                r#""request":{"method":"MESSAGE","uri":"sip:alice@192.0.2.1","callId":"a84b4c76","cseq":1,"#,
                r#""headers":{"User-Agent":["Linphone"]}},"inReplyTo":null,"envelope":null,"expired":false}"#
            )
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        for (body, text, encoding) in [
            (b"".as_slice(), "", "utf-8"),
            ("é \u{1}".as_bytes(), "é \u{1}", "utf-8"),
            (b"a\0b", "YQBi", "base64"),
            (b"\xff", "/w==", "base64"),
        ] {
            let event = parsed(Received {
                body: body.to_vec(),
                ..received()
            });
            assert_eq!(event["body"], text);
            assert_eq!(event["bodyEncoding"], encoding);
        }
    }

    #[test]
    fn an_envelope_has_every_member() {
        let envelope = Envelope {
            from: Some("sip:bob@example.com".to_owned()),
            receipts: ReceiptRequest::ALL.to_vec(),
            ..Envelope::default()
        };
        let event = parsed(Received {
            envelope: Some(envelope),
            in_reply_to: "01930000-0000-7000-8000-000000000002".parse().ok(),
            ..received()
        });
        let expected = serde_json::json!({
            "from": "sip:bob@example.com", "to": null, "dateTime": null, "subject": null,
            "messageId": null, "receipts": ["delivered", "displayed"],
        });
        assert_eq!(event["envelope"], expected);
        assert_eq!(event["inReplyTo"], "01930000-0000-7000-8000-000000000002");
    }

    #[test]
    fn what_is_left_of_an_erased_message_names_nobody_but_the_account() {
        let Received {
            time, id, account, ..
        } = received();
        let mut out = Vec::new();
        Event::write_id(1, 43, &mut out);
        Received::write_erased(time, id, &account, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"id":"1-0000000000000043","type":"received","time":"2026-11-22T05:00:00.123Z","#,
                r#""messageId":"01930000-0000-7000-8000-000000000001","account":"sip:alice@example.com","#,
                r#""erased":true}"#
            )
        );
    }

    #[test]
    fn a_received_message_weighs_at_least_as_much_as_its_json() {
        let much = "\u{1}\"".repeat(500);
        let mut headers = HeaderMap::default();
        headers.add("", &much);
        let large = Received {
            from: Sender {
                uri: much.clone(),
                display_name: Some(much.clone()),
                asserted: Some(much.clone()),
            },
            to: much.clone(),
            content_type: much.clone(),
            body: much.clone().into(),
            request: RequestView {
                call_id: much.clone(),
                headers,
                ..received().request
            },
            envelope: Some(Envelope {
                from: Some(much.clone()),
                to: Some(much.clone()),
                date_time: Some(much.clone()),
                subject: Some(much.clone()),
                message_id: Some(much),
                receipts: ReceiptRequest::ALL.to_vec(),
            }),
            ..received()
        };
        for message in [large, received()] {
            let weight = message.weight();
            let event = message.event();
            assert!(weight >= json(&event).len());
            assert!(event.weight() >= json(&event).len());
        }
    }

    #[test]
    fn a_receipt_is_of_the_target_when_user_and_host_are_the_same() {
        let is_same = |target| is_user_of("sip:bob@example.com", target);
        for same in [
            "sip:bob@example.com",
            "sips:bob@EXAMPLE.com:5061;transport=ws",
            "sip:bob@example.com?subject=x",
        ] {
            assert!(is_same(same), "{same}");
        }
        for other in [
            "sip:Bob@example.com",
            "sip:bob@example.org",
            "sip:example.com",
            "",
        ] {
            assert!(!is_same(other), "{other}");
        }
        assert!(is_user_of(
            "sip:b@[2001:db8::1]",
            "sip:b@[2001:db8::1]:5060"
        ));
        assert!(!is_user_of("sip:b@[2001:db8::1]", "sip:b@[2001:db8::2]"));
        assert!(is_user_of("tel:+49301234", "tel:+49301234;isub=1"));
    }

    #[test]
    fn facts_are_read_from_events_without_attempts() {
        let event = received().event();
        let facts = Event::read_facts(json(&event).as_bytes());
        assert_eq!(facts, Some((0, event.time)));
    }
}
