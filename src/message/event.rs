//! A line in the log that tells the world what became of a message, or which one came in.

use std::io::Write as _;
use std::sync::Arc;

use super::cause::{Cause, Originator};
use super::contents::{Metadata, metadata_weight};
use super::event_id::EventId;
use super::event_kind::EventKind;
use super::id::MessageId;
use super::json;
use super::priority::Priority;
use super::received::{Disposition, Received};
use super::time::Timestamp;
use super::trace::Trace;
use super::view::{RequestView, ResponseView};

/// Something that happened to a message, or one that came in, as SSE, webhooks and pages show it.
///
/// The log adds the id when it takes the event; everything else is fixed before, so the JSON is
/// written once, by [`Event::write_members`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Whose event it is.
    pub message_id: MessageId,
    /// When it happened.
    pub time: Timestamp,
    /// The attempt it belongs to, from 1; 0 when it belongs to none.
    pub attempt: u32,
    /// The agent that made the attempt, or that received the message or receipt; `None` when no
    /// attempt was made.
    pub agent: Option<Arc<str>>,
    /// The normalized URI of the message, or the sender of a received one, for filters; not a
    /// member of the JSON.
    pub uri: Arc<str>,
    /// The account that sent or must send it, or received it, for filters; a member of the JSON of
    /// received messages alone.
    pub account: Option<Arc<str>>,
    /// Where the message's own events are posted; not a member of the JSON.
    pub webhook: Option<Arc<str>>,
    /// The trace of the message; not a member of the JSON.
    pub trace: Option<Trace>,
    /// The class of the message; `None` when its client gave none.
    pub priority: Option<Priority>,
    /// The client's own pairs.
    pub metadata: Metadata,
    /// What happened.
    pub what: What,
}

/// What happened to a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// An attempt begins: the request is built and not yet written.
    Sending {
        /// What will be written, as far as it is known before a connection adds its part.
        request: RequestView,
    },
    /// An attempt ended, and another will follow.
    Deferred {
        /// Who ended it.
        originator: Originator,
        /// Why.
        cause: Cause,
        /// The response that ended it, if one did.
        response: Option<ResponseView>,
        /// When the next attempt begins, at the earliest.
        next_attempt_at: Timestamp,
    },
    /// A final 2xx came, or a receipt while the outcome was unknown. Terminal.
    Succeeded {
        /// The response, if one came.
        response: Option<ResponseView>,
        /// The receipt that said so instead.
        receipt: Option<EventId>,
    },
    /// It will not be sent any more. Terminal.
    Failed {
        /// Who ended it.
        originator: Originator,
        /// Why.
        cause: Cause,
        /// The response that ended it, if one did.
        response: Option<ResponseView>,
        /// Whether the peer may have got the message all the same.
        ambiguous: bool,
    },
    /// A message came in. `messageId` is the name that we gave it.
    Received(Box<Received>),
    /// A recipient's device says what became of the message. It can come before the terminal event
    /// and after it.
    Receipt {
        /// The sender of the receipt.
        recipient: Arc<str>,
        /// What it says.
        disposition: Disposition,
    },
    /// An agent is registered.
    AgentUp {
        /// The WebSocket URL it is connected to.
        server: Arc<str>,
    },
    /// An agent is no longer registered.
    AgentDown {
        /// The WebSocket URL it was connected to.
        server: Arc<str>,
        /// Why, in a sentence.
        reason: String,
    },
}

impl Event {
    /// How much it is, for every budget: no less than it takes in memory, and no less than its
    /// JSON.
    pub fn weight(&self) -> usize {
        let shared = |text: &Option<Arc<str>>| text.as_deref().map_or(0, str::len);
        let what = match &self.what {
            What::Sending { request } => request.weight(),
            What::Succeeded { response, .. }
            | What::Deferred { response, .. }
            | What::Failed { response, .. } => response.as_ref().map_or(0, ResponseView::weight),
            What::Received(received) => received.weight(),
            What::Receipt {
                recipient,
                disposition,
            } => json::weight(recipient.as_bytes()) + disposition.weight(),
            What::AgentUp { server } => json::weight(server.as_bytes()),
            What::AgentDown { server, reason } => {
                json::weight(server.as_bytes()) + json::weight(reason.as_bytes())
            }
        };
        size_of::<Self>()
            + shared(&self.agent)
            + self.uri.len()
            + shared(&self.account)
            + shared(&self.webhook)
            + metadata_weight(&self.metadata)
            + what
    }

    /// The type of the event.
    pub fn kind(&self) -> EventKind {
        match &self.what {
            What::Sending { .. } => EventKind::Sending,
            What::Deferred { .. } => EventKind::Deferred,
            What::Succeeded { .. } => EventKind::Succeeded,
            What::Failed { .. } => EventKind::Failed,
            What::Received(_) => EventKind::Received,
            What::Receipt { disposition, .. } => disposition.kind(),
            What::AgentUp { .. } => EventKind::AgentUp,
            What::AgentDown { .. } => EventKind::AgentDown,
        }
    }

    /// Writes the members that follow `id`, comma first: `,"type":"sending",…}`.
    ///
    /// With [`Event::write_id`] before it, this is the whole object.
    pub fn write_members(&self, out: &mut Vec<u8>) {
        if let What::Received(received) = &self.what {
            return received.write_members(received.in_reply_to, out);
        }
        json::member(out, "type");
        json::string(out, self.kind().as_str());
        json::member(out, "time");
        json::string(out, &self.time.to_string());
        if self.kind().is_of_agent() {
            return self.write_agent(out);
        }
        json::member(out, "messageId");
        json::string(out, &self.message_id.to_string());
        if let What::Receipt {
            recipient,
            disposition,
        } = &self.what
        {
            json::member(out, "recipient");
            json::string(out, recipient);
            disposition.write_members(out);
        } else {
            json::member(out, "attempt");
            json::number(out, self.attempt);
            json::member(out, "agent");
            json::optional(out, self.agent.as_deref());
            self.what.write_members(out);
        }
        if let Some(class) = self.priority {
            json::member(out, "priority");
            json::string(out, class.as_str());
        }
        json::member(out, "metadata");
        json::list(out, *b"{}", &self.metadata, |out, (key, value)| {
            json::string(out, key);
            out.push(b':');
            json::string(out, value);
        });
        out.push(b'}');
    }

    fn write_agent(&self, out: &mut Vec<u8>) {
        json::member(out, "agent");
        json::optional(out, self.agent.as_deref());
        json::member(out, "account");
        json::optional(out, self.account.as_deref());
        self.what.write_members(out);
        out.push(b'}');
    }

    /// The attempt and the time of an event, from its JSON as [`Event::write_members`] writes it;
    /// nothing else of it is looked at. `None` when it was written in another order.
    pub fn read_facts(json: &[u8]) -> Option<(u32, Timestamp)> {
        // `{"id":"…","type":"…","time":"…","messageId":"…","attempt":1,`: what stands before each
        // of these has a length that is known or no quote in it.
        let text = std::str::from_utf8(json.get(..json.len().min(256))?).ok()?;
        let (_, rest) = text.split_once(r#"","time":""#)?;
        let (time, rest) = rest.split_at_checked("2026-11-22T05:00:00.123Z".len())?;
        let rest = rest.strip_prefix(r#"","messageId":""#)?;
        let rest = rest.get("01930000-0000-7000-8000-000000000001".len()..)?;
        // Received messages and receipts belong to no attempt.
        let attempt = match rest.strip_prefix(r#"","attempt":"#) {
            Some(rest) => rest.split_once(',')?.0.parse().ok()?,
            None => 0,
        };
        Some((attempt, time.parse().ok()?))
    }

    /// Writes `{"id":"<epoch>-<seq>"`.
    pub fn write_id(epoch: u64, seq: u64, out: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _ = write!(out, "{{\"id\":\"{epoch}-{seq:016}\"");
    }
}

impl What {
    fn write_members(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sending { request } => {
                write_originator(out, Originator::Local);
                json::member(out, "request");
                request.write_json(out);
            }
            Self::Deferred {
                originator,
                cause,
                response,
                next_attempt_at,
            } => {
                write_end(out, *originator, *cause, response.as_ref());
                write_text(out, "nextAttemptAt", &next_attempt_at.to_string());
            }
            Self::Succeeded { response, receipt } => {
                write_originator(out, Originator::Remote);
                write_response(out, response.as_ref());
                if let Some(receipt) = receipt {
                    write_text(out, "receipt", &receipt.to_string());
                }
            }
            Self::Failed {
                originator,
                cause,
                response,
                ambiguous,
            } => {
                write_end(out, *originator, *cause, response.as_ref());
                json::member(out, "ambiguous");
                json::boolean(out, *ambiguous);
            }
            // Written by `Event::write_members`: these have members of their own.
            Self::Received(_) | Self::Receipt { .. } => {}
            Self::AgentUp { server } => write_text(out, "server", server),
            Self::AgentDown { server, reason } => {
                write_text(out, "server", server);
                write_text(out, "reason", reason);
            }
        }
    }
}

fn write_text(out: &mut Vec<u8>, name: &str, value: &str) {
    json::member(out, name);
    json::string(out, value);
}

fn write_originator(out: &mut Vec<u8>, originator: Originator) {
    write_text(out, "originator", originator.as_str());
}

fn write_end(
    out: &mut Vec<u8>,
    originator: Originator,
    cause: Cause,
    response: Option<&ResponseView>,
) {
    write_originator(out, originator);
    json::member(out, "cause");
    json::string(out, cause.as_str());
    write_response(out, response);
}

fn write_response(out: &mut Vec<u8>, response: Option<&ResponseView>) {
    json::member(out, "response");
    match response {
        Some(response) => response.write_json(out),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::agent::AgentChange;
    use super::super::header_map::HeaderMap;
    use super::super::received::UndeliveredStatus;
    use super::*;

    fn event(what: What) -> Event {
        Event {
            message_id: "01930000-0000-7000-8000-000000000001".parse().unwrap(),
            time: "2026-11-22T05:00:00.123Z".parse().unwrap(),
            attempt: 1,
            agent: Some("alice-1".into()),
            uri: "sip:bob@example.com".into(),
            account: None,
            webhook: None,
            trace: None,
            priority: None,
            metadata: Metadata::from([("order".to_owned(), "42".to_owned())]),
            what,
        }
    }

    fn succeeded(response: ResponseView) -> What {
        What::Succeeded {
            response: Some(response),
            receipt: None,
        }
    }

    fn json(event: &Event) -> String {
        let mut out = Vec::new();
        Event::write_id(1, 42, &mut out);
        event.write_members(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_success_is_written_as_the_contract_shows_it() {
        let mut headers = HeaderMap::default();
        headers.add("Server", "kamailio");
        let response = ResponseView {
            status_code: 200,
            reason_phrase: "OK".to_owned(),
            headers,
            truncated: false,
        };
        assert_eq!(
            json(&event(succeeded(response))),
            concat!(
                r#"{"id":"1-0000000000000042","type":"succeeded","time":"2026-11-22T05:00:00.123Z","#,
                r#""messageId":"01930000-0000-7000-8000-000000000001","attempt":1,"agent":"alice-1","#,
                r#""originator":"remote","response":{"statusCode":200,"reasonPhrase":"OK","#,
                r#""headers":{"Server":["kamailio"]}},"metadata":{"order":"42"}}"#
            )
        );
    }

    #[test]
    fn an_event_of_an_agent_names_no_message() {
        let change = |down| AgentChange {
            agent: "alice-1".into(),
            account: "sip:alice@example.com".into(),
            server: "wss://sip.example.com".into(),
            time: "2026-11-22T05:00:00.123Z".parse().unwrap(),
            down,
        };
        let common = concat!(
            r#""time":"2026-11-22T05:00:00.123Z","agent":"alice-1","#,
            r#""account":"sip:alice@example.com","server":"wss://sip.example.com""#
        );
        let (up, down) = (
            change(None).event(),
            change(Some("lost".to_owned())).event(),
        );
        let id = r#""id":"1-0000000000000042""#;
        assert_eq!(json(&up), format!(r#"{{{id},"type":"agentUp",{common}}}"#));
        let told = format!(r#"{{{id},"type":"agentDown",{common},"reason":"lost"}}"#);
        assert_eq!(json(&down), told);
        assert_eq!(up.message_id, down.message_id);
        assert!(up.weight() >= json(&up).len() && down.weight() >= told.len());
    }

    #[test]
    fn an_event_names_the_priority_that_was_given() {
        let what = || What::Failed {
            originator: Originator::Local,
            cause: Cause::Canceled,
            response: None,
            ambiguous: false,
        };
        let plain = json(&event(what()));
        let urgent = json(&Event {
            priority: Some(Priority::Urgent),
            ..event(what())
        });
        let named = plain.replace(r#","metadata""#, r#","priority":"urgent","metadata""#);
        assert_eq!(urgent, named);
        assert_ne!(urgent, plain);
    }

    #[test]
    fn a_receipt_is_written_as_the_contract_shows_it() {
        let of = |disposition| {
            json(&event(What::Receipt {
                recipient: "sip:bob@example.com".into(),
                disposition,
            }))
        };
        let begin = |kind: &str| {
            format!(
                r#"{{"id":"1-0000000000000042","type":"{kind}","time":"2026-11-22T05:00:00.123Z","messageId":"01930000-0000-7000-8000-000000000001","recipient":"sip:bob@example.com","#
            )
        };
        let end = r#""metadata":{"order":"42"}}"#;
        let delivered = of(Disposition::Delivered);
        assert_eq!(delivered, format!("{}{end}", begin("delivered")));
        let undelivered = Disposition::Undelivered {
            status: UndeliveredStatus::Error,
            reason: None,
        };
        let members = r#""status":"error","reason":null,"#;
        let expected = format!("{}{members}{end}", begin("undelivered"));
        assert_eq!(of(undelivered), expected);
        let (attempt, _) = Event::read_facts(delivered.as_bytes()).unwrap();
        assert_eq!(attempt, 0);
    }

    #[test]
    fn a_success_that_a_receipt_told_of_names_it() {
        let text = json(&event(What::Succeeded {
            response: None,
            receipt: Some(EventId { epoch: 1, seq: 41 }),
        }));
        let members = r#""originator":"remote","response":null,"receipt":"1-0000000000000041","#;
        assert!(text.contains(members), "{text}");
    }

    #[test]
    fn attempt_and_time_are_read_from_what_was_written() {
        let what = What::Deferred {
            originator: Originator::Remote,
            cause: Cause::Busy,
            response: None,
            next_attempt_at: Timestamp::EPOCH,
        };
        let event = event(what);
        assert_eq!(
            Event::read_facts(json(&event).as_bytes()),
            Some((1, event.time))
        );
        assert_eq!(Event::read_facts(b"{}"), None);
        assert_eq!(Event::read_facts("é".repeat(200).as_bytes()), None);
    }

    #[test]
    fn of_a_response_8_kib_of_json_are_kept_and_the_event_says_so() {
        let control = "\u{1}".repeat(60_000);
        let many: Vec<(String, String)> = (0..5_000)
            .map(|number| (format!("X-{number}"), "\u{1}\"".to_owned()))
            .collect();
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let few = [
            header("X-First", "1"),
            header("X-Much", &control),
            header("X-Last", "2"),
        ];
        let of = |response| json(&event(succeeded(response)));
        let least = of(ResponseView::cut(200, String::new(), &[])).len();

        let small = of(ResponseView::cut(
            486,
            "Busy".to_owned(),
            &[header("A", "b")],
        ));
        assert!(small.contains(r#""headers":{"A":["b"]}},"#), "{small}");

        let large = of(ResponseView::cut(486, control, &few));
        assert!(large.len() <= least + 9 * 1024, "{}", large.len());
        let headers = r#""headers":{"X-First":["1"],"X-Last":["2"]},"truncated":true}"#;
        assert!(large.contains(headers), "{large}");

        let numerous = of(ResponseView::cut(486, String::new(), &many));
        let kept = least + 8 * 1024;
        assert!(
            (kept - 64..=kept + 32).contains(&numerous.len()),
            "{}",
            numerous.len()
        );
        assert!(numerous.contains(r#""truncated":true"#));
    }

    #[test]
    fn an_event_weighs_at_least_as_much_as_its_json() {
        let control = "\u{1}\"".repeat(500);
        let mut headers = HeaderMap::default();
        for _ in 0..100 {
            headers.add("", &control);
            headers.add("", "");
        }
        let response = ResponseView {
            status_code: 200,
            reason_phrase: control.clone(),
            headers: headers.clone(),
            truncated: false,
        };
        let request = RequestView {
            method: "MESSAGE",
            uri: "sip:bob@example.com".into(),
            call_id: "c".repeat(36),
            cseq: 1,
            headers,
            truncated: false,
        };
        for what in [
            What::Sending { request },
            succeeded(response.clone()),
            What::Receipt {
                recipient: control.as_str().into(),
                disposition: Disposition::Undelivered {
                    status: UndeliveredStatus::Failed,
                    reason: Some(control.clone()),
                },
            },
            What::Deferred {
                originator: Originator::Remote,
                cause: Cause::SipFailureCode,
                response: Some(response),
                next_attempt_at: Timestamp::EPOCH,
            },
        ] {
            let mut event = event(what);
            event.metadata = Metadata::from([(control.clone(), control.clone())]);
            let (weight, len) = (event.weight(), json(&event).len());
            assert!(weight >= len, "{weight} {len}");
        }
    }

    #[test]
    fn a_failure_without_a_response_says_null() {
        let what = What::Failed {
            originator: Originator::System,
            cause: Cause::ConnectionError,
            response: None,
            ambiguous: true,
        };
        let text = json(&event(what));
        assert!(text.contains(r#""originator":"system","cause":"Connection Error","response":null,"ambiguous":true"#), "{text}");
    }
}
