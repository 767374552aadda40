//! The border between our words and SIP's: a message becomes a request here, a response an
//! outcome, and what comes in a message or a receipt. No other file knows both.

mod inbound;

use super::identity::Identity;
use crate::message::{
    Answer, Contents, HeaderMap, Message, MessageId, Outcome, Priority, ReceiptRequest,
    RequestView, ResponseView, Timestamp, Unknown,
};
use crate::sip::cpim::WrappedBody;
use crate::sip::{FallbackBody, Outcome as SipOutcome, OutgoingRequest, Response, cpim};

pub(super) use inbound::{InboundContext, inbound};

/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: &str = "70";

/// Room for the headers of a MESSAGE, in bytes: few have more.
const USUAL_HEAD: usize = 512;

/// CSeq numbers set aside for one attempt: its challenges take the next ones, and the next attempt
/// begins above them all.
const CSEQ_PER_ATTEMPT: u32 = 10;

/// What a request has besides the account's and the message's own words, as long as it can be.
const FIXED: &str = "\
    MESSAGE  SIP/2.0\r\n\
    Via: SIP/2.0/WSS 0123456789ab.invalid;branch=z9hG4bK0123456789abcdef\r\n\
    CSeq: 4294967295 MESSAGE\r\n\
    Max-Forwards: 70\r\n\
    To: <>\r\n\
    From: ;tag=0123456789abcdef\r\n\
    Call-ID: 01234567-89ab-7def-8123-456789abcdef\r\n\
    Date: Sun, 22 Nov 2026 05:00:00 GMT\r\n\
    Expires: 18446744073709551615\r\n\
    Allow: MESSAGE, OPTIONS\r\n\
    Supported: outbound, path\r\n\
    User-Agent: \r\n\
    Content-Length: 18446744073709551615\r\n\r\n";

/// Room for headers that a server adds to a request: the routes of a registration and the
/// credentials of a challenge, without the URI in these.
const CONNECTION_ADDS: usize = 1024;

/// Bytes of each request of an account that do not depend on the message.
pub fn reserved(identity: &Identity) -> usize {
    let lines = identity.extra_headers.iter();
    let headers: usize = lines.map(|(name, value)| line_len(name, value)).sum();
    let own = identity.from.len() + identity.user_agent.len() + headers;
    FIXED.len() + own + CONNECTION_ADDS
}

/// Bytes of a request that the headers of its message take.
pub(super) fn head_len(contents: &Contents) -> usize {
    let lines = contents.extra_headers.iter();
    let extra: usize = lines.map(|h| line_len(&h.name, &h.value)).sum();
    // The first line, To, and the credentials for a server and for a recipient.
    let answered = answered(contents).map_or(0, |call_id| line_len("In-Reply-To", call_id));
    let content_type = line_len("Content-Type", &contents.content_type);
    let priority = contents
        .priority
        .map_or(0, |class| line_len(Priority::HEADER, class.as_str()));
    4 * contents.uri.len() + extra + answered + content_type + priority
}

fn line_len(name: &str, value: &str) -> usize {
    name.len() + ": ".len() + value.len() + "\r\n".len()
}

/// Bytes that an envelope takes, where the message asks for receipts.
pub(super) fn envelope_len(contents: &Contents, from_len: usize) -> usize {
    if contents.receipts.is_empty() {
        return 0;
    }
    let envelope = WrappedBody {
        from: "",
        to: &format!("<{}>", contents.uri),
        date_time: "2026-11-22T05:00:00.123Z",
        message_id: "01234567-89ab-7def-8123-456789abcdef",
        body: b"",
        ..wrapped(contents)
    };
    envelope.write().len() + from_len
}

/// Whether the body of a request that asks for receipts is in an envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyForm {
    /// As the message asks: in one where it asks for receipts.
    Asked,
    /// In none, for a target that understands none.
    Bare,
}

/// Builds the request of an attempt, as events show it and as it is sent.
///
/// Call-ID and From tag are made from the message's id, so they are the same in every attempt,
/// also after a restart that remembers nothing but the message (`onUnknown: resend`).
pub(super) fn prepare(
    identity: &Identity,
    message: &Message,
    attempt: u32,
    now: Timestamp,
    form: BodyForm,
) -> (RequestView, OutgoingRequest) {
    let contents = &message.contents;
    let call_id = call_id(message.id);
    let from_tag = from_tag(message);
    let cseq = 1 + (attempt.saturating_sub(1) % 100_000_000) * CSEQ_PER_ATTEMPT;

    let names = (call_id.as_str(), from_tag.as_str());
    // RFC 3261 §20.15: an empty body has no type.
    let content_type = (!contents.body.is_empty()).then_some(&*contents.content_type);
    let mut headers = headers(identity, message, names, now);
    let bare = FallbackBody {
        head: with_type(lines(&headers), content_type),
        body: contents.body.clone(),
    };
    let is_bare = contents.receipts.is_empty() || form == BodyForm::Bare;
    let (content_type, body, fallback) = if is_bare {
        (content_type, bare, None)
    } else {
        let enveloped = FallbackBody {
            head: with_type(lines(&headers), Some(cpim::MEDIA_TYPE)),
            body: envelope(identity, message, &call_id).into(),
        };
        (Some(cpim::MEDIA_TYPE), enveloped, Some(Box::new(bare)))
    };
    if let Some(content_type) = content_type {
        headers.add("Content-Type", content_type);
    }
    headers.add_parts("CSeq", &[&cseq.to_string(), " MESSAGE"]);
    headers.add("Content-Length", &body.body.len().to_string());

    let outgoing = OutgoingRequest {
        method: "MESSAGE",
        uri: contents.uri.clone(),
        call_id: call_id.clone(),
        from_tag,
        cseq,
        head: body.head,
        body: body.body,
        fallback,
    };
    let view = RequestView {
        method: "MESSAGE",
        uri: contents.uri.clone(),
        call_id,
        cseq,
        headers,
        truncated: false,
    };
    (view, outgoing)
}

/// The body in an envelope that asks for receipts. Its time is that of the message, so that it is
/// the same in every attempt.
fn envelope(identity: &Identity, message: &Message, call_id: &str) -> Vec<u8> {
    let envelope = WrappedBody {
        from: &identity.from,
        to: &format!("<{}>", message.contents.uri),
        date_time: &message.created_at.to_string(),
        message_id: call_id,
        ..wrapped(&message.contents)
    };
    envelope.write()
}

fn wrapped(contents: &Contents) -> WrappedBody<'_> {
    WrappedBody {
        from: "",
        to: "",
        date_time: "",
        message_id: "",
        wants_delivered: contents.receipts.contains(&ReceiptRequest::Delivered),
        wants_displayed: contents.receipts.contains(&ReceiptRequest::Displayed),
        content_type: &contents.content_type,
        body: &contents.body,
    }
}

/// The Call-ID of every attempt at a message.
pub fn call_id(message: MessageId) -> String {
    message.to_string()
}

/// The headers of a MESSAGE in their order, without Content-Type, CSeq and Content-Length.
fn headers(
    identity: &Identity,
    message: &Message,
    (call_id, from_tag): (&str, &str),
    now: Timestamp,
) -> HeaderMap {
    let count = 14 + identity.extra_headers.len() + message.contents.extra_headers.len();
    let mut headers = HeaderMap::with_capacity(count, USUAL_HEAD);
    headers.add("Max-Forwards", MAX_FORWARDS);
    headers.add_parts("To", &["<", &message.contents.uri, ">"]);
    headers.add_parts("From", &[&identity.from, ";tag=", from_tag]);
    headers.add("Call-ID", call_id);
    if let Some(answered) = answered(&message.contents) {
        headers.add("In-Reply-To", answered);
    }
    headers.add("Date", &now.to_sip_date());
    headers.add("Expires", &remaining_seconds(message, now).to_string());
    let priority = message.contents.priority;
    if let Some(class) = priority {
        headers.add(Priority::HEADER, class.as_str());
    }
    let allow = if identity.receives {
        "MESSAGE, OPTIONS"
    } else {
        "OPTIONS"
    };
    headers.add("Allow", allow);
    headers.add("Supported", "outbound, path");
    headers.add("User-Agent", &identity.user_agent);
    for (name, value) in &identity.extra_headers {
        // What the message says of itself is said once.
        if priority.is_none() || !name.eq_ignore_ascii_case(Priority::HEADER) {
            headers.add(name, value);
        }
    }
    for header in &message.contents.extra_headers {
        headers.add(&header.name, &header.value);
    }
    headers
}

/// The Call-ID of the message that this one answers. A peer chose it: one that cannot stand in a
/// line is left out.
fn answered(contents: &Contents) -> Option<&str> {
    let call_id = contents.in_reply_to.as_ref()?.call_id.as_str();
    let fits = !call_id.is_empty() && !call_id.contains(char::is_control);
    fits.then_some(call_id)
}

fn with_type(mut head: Vec<u8>, content_type: Option<&str>) -> Vec<u8> {
    if let Some(content_type) = content_type {
        for part in ["Content-Type: ", content_type, "\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
    }
    head
}

/// The last 62 bits of the id, which are random (RFC 9562 §5.7).
fn from_tag(message: &Message) -> String {
    let bytes = message.id.as_bytes();
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 0xF)]);
    bytes[8..]
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

/// The rest of the message's time, rounded up: RFC 3428 §4.
fn remaining_seconds(message: &Message, now: Timestamp) -> u64 {
    message
        .expires_at
        .since(now)
        .as_millis()
        .div_ceil(1_000)
        .try_into()
        .unwrap_or(u64::MAX)
}

fn lines(headers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::with_capacity(USUAL_HEAD);
    for (name, value) in headers.iter() {
        for part in [name, ": ", value, "\r\n"] {
            lines.extend_from_slice(part.as_bytes());
        }
    }
    lines
}

/// What an agent's outcome means for the message. A challenge that could not be answered is an
/// answer like any other: its code says what it is.
pub(super) fn outcome(outcome: SipOutcome) -> Outcome {
    match outcome {
        SipOutcome::Answered(response) => {
            let retry_after = response.retry_after();
            let is_bare = response.is_to_fallback;
            Outcome::Answered(Answer {
                response: view(response),
                retry_after,
                is_bare,
            })
        }
        SipOutcome::Silent => Outcome::Unknown(Unknown::Silent),
        SipOutcome::Disconnected => Outcome::Unknown(Unknown::Disconnected),
        SipOutcome::TooLarge => Outcome::TooLarge,
        SipOutcome::NotWritten => Outcome::NotWritten,
    }
}

fn view(response: Response) -> ResponseView {
    let code = response.status.as_u16();
    ResponseView::cut(code, response.reason, &response.headers)
}

#[cfg(test)]
mod tests;
