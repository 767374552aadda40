//! A line in the log that tells the world what became of a message.

use std::io::Write as _;
use std::sync::Arc;

use serde::ser::SerializeMap as _;

use super::accepted::Metadata;
use super::cause::Cause;
use super::cause::Originator;
use super::id::MessageId;
use super::time::Timestamp;

/// Something that happened to a message, as SSE, webhooks and pages show it.
///
/// The log adds the id when it takes the event; everything else is fixed before, so the JSON is
/// written once, by [`Event::write_members`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Whose event it is.
    pub message_id: MessageId,
    /// When it happened.
    pub time: Timestamp,
    /// The attempt it belongs to, from 1; 0 when no attempt was begun.
    pub attempt: u32,
    /// The agent that made the attempt; `None` when none was made.
    pub agent: Option<Arc<str>>,
    /// The normalized URI of the message, for filters; not a member of the JSON.
    pub uri: Arc<str>,
    /// The account that sent or must send it, for filters; not a member of the JSON.
    pub account: Option<Arc<str>>,
    /// Where the message's own events are posted; not a member of the JSON.
    pub webhook: Option<Arc<str>>,
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
    /// A final 2xx came. Terminal.
    Succeeded {
        /// The response.
        response: ResponseView,
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
}

/// The type of an event.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EventKind {
    /// See [`What::Sending`].
    Sending,
    /// See [`What::Deferred`].
    Deferred,
    /// See [`What::Succeeded`].
    Succeeded,
    /// See [`What::Failed`].
    Failed,
}

impl EventKind {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Sending, Self::Deferred, Self::Succeeded, Self::Failed];

    /// The word the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Deferred => "deferred",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// The type of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether no event of the message follows.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Sending | Self::Deferred => false,
            Self::Succeeded | Self::Failed => true,
        }
    }
}

/// Headers of a request or response: name, then every value, in the order of the wire.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderMap(pub Vec<(String, Vec<String>)>);

impl HeaderMap {
    /// Adds a value to the header of this name, compared without regard to case.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        let entry = self
            .0
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        match entry {
            Some((_, values)) => values.push(value.into()),
            None => self.0.push((name.to_owned(), vec![value.into()])),
        }
    }

    /// The first value of this header.
    pub fn first(&self, name: &str) -> Option<&str> {
        let (_, values) = self
            .0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        values.first().map(String::as_str)
    }
}

impl serde::Serialize for HeaderMap {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, values)| (name, values)))
    }
}

/// The SIP request of an attempt, as the outside sees it. Credentials are never in it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestView {
    /// `MESSAGE`.
    pub method: &'static str,
    /// The Request-URI.
    pub uri: Arc<str>,
    /// The same in every attempt of a message.
    pub call_id: String,
    /// The CSeq number the attempt begins with.
    pub cseq: u32,
    /// What the request says, without what the connection adds.
    pub headers: HeaderMap,
}

/// A SIP response, as the outside sees it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseView {
    /// 200 to 699.
    pub status_code: u16,
    /// As the peer wrote it; bytes that are not UTF-8 are replaced.
    pub reason_phrase: String,
    /// As the peer wrote them.
    pub headers: HeaderMap,
}

impl Event {
    /// The type of the event.
    pub fn kind(&self) -> EventKind {
        match self.what {
            What::Sending { .. } => EventKind::Sending,
            What::Deferred { .. } => EventKind::Deferred,
            What::Succeeded { .. } => EventKind::Succeeded,
            What::Failed { .. } => EventKind::Failed,
        }
    }

    /// Writes the members that follow `id`, comma first: `,"type":"sending",…}`.
    ///
    /// With [`Event::write_id`] before it, this is the whole object.
    pub fn write_members(&self, out: &mut Vec<u8>) {
        out.push(b',');
        let start = out.len();
        // Writing to memory cannot fail, and nothing in an event refuses to be JSON.
        if serde_json::to_writer(&mut *out, &Members(self)).is_ok() {
            out.remove(start);
        }
    }

    /// Writes `{"id":"<epoch>-<seq>"`.
    pub fn write_id(epoch: u64, seq: u64, out: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _ = write!(out, "{{\"id\":\"{epoch}-{seq:016}\"");
    }
}

/// Everything but the id.
struct Members<'a>(&'a Event);

impl serde::Serialize for Members<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", event.kind().as_str())?;
        map.serialize_entry("time", &event.time)?;
        map.serialize_entry("messageId", &event.message_id)?;
        map.serialize_entry("attempt", &event.attempt)?;
        map.serialize_entry("agent", &event.agent.as_deref())?;
        match &event.what {
            What::Sending { request } => {
                map.serialize_entry("originator", &Originator::Local)?;
                map.serialize_entry("request", request)?;
            }
            What::Deferred {
                originator,
                cause,
                response,
                next_attempt_at,
            } => {
                map.serialize_entry("originator", originator)?;
                map.serialize_entry("cause", cause)?;
                map.serialize_entry("response", response)?;
                map.serialize_entry("nextAttemptAt", next_attempt_at)?;
            }
            What::Succeeded { response } => {
                map.serialize_entry("originator", &Originator::Remote)?;
                map.serialize_entry("response", response)?;
            }
            What::Failed {
                originator,
                cause,
                response,
                ambiguous,
            } => {
                map.serialize_entry("originator", originator)?;
                map.serialize_entry("cause", cause)?;
                map.serialize_entry("response", response)?;
                map.serialize_entry("ambiguous", ambiguous)?;
            }
        }
        map.serialize_entry("metadata", &event.metadata)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
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
            metadata: Metadata::from([("order".to_owned(), "42".to_owned())]),
            what,
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
        };
        assert_eq!(
            json(&event(What::Succeeded { response })),
            concat!(
                r#"{"id":"1-0000000000000042","type":"succeeded","time":"2026-11-22T05:00:00.123Z","#,
                r#""messageId":"01930000-0000-7000-8000-000000000001","attempt":1,"agent":"alice-1","#,
                r#""originator":"remote","response":{"statusCode":200,"reasonPhrase":"OK","#,
                r#""headers":{"Server":["kamailio"]}},"metadata":{"order":"42"}}"#
            )
        );
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

    #[test]
    fn header_values_of_one_name_stand_together() {
        let mut headers = HeaderMap::default();
        headers.add("X-A", "1");
        headers.add("X-B", "2");
        headers.add("x-a", "3");
        assert_eq!(
            serde_json::to_string(&headers).unwrap(),
            r#"{"X-A":["1","3"],"X-B":["2"]}"#
        );
    }
}
