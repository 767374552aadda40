//! The border between our words and SIP's: a message becomes a request here, a response an
//! outcome. No other file knows both.

use std::fmt::Write as _;

use super::handle::Identity;
use super::handle::Job;
use crate::message::Answer;
use crate::message::HeaderMap;
use crate::message::Message;
use crate::message::Outcome;
use crate::message::RequestView;
use crate::message::ResponseView;
use crate::message::Timestamp;
use crate::message::Unknown;
use crate::sip::Outcome as SipOutcome;
use crate::sip::Outgoing;
use crate::sip::Response;

/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: &str = "70";

/// CSeq numbers set aside for one attempt: its challenges take the next ones, and the next attempt
/// begins above them all.
const CSEQ_PER_ATTEMPT: u32 = 10;

/// Builds the request of an attempt, and what the outside is told of it.
///
/// Call-ID and From tag are made from the message's id, so they are the same in every attempt,
/// also after a restart that remembers nothing but the message (`onUnknown: resend`).
pub(super) fn prepare(
    identity: &Identity,
    key: u64,
    message: &Message,
    attempt: u32,
    now: Timestamp,
) -> (RequestView, Job) {
    let call_id = message.id.to_string();
    let from_tag = from_tag(message);
    let cseq = 1 + (attempt.saturating_sub(1) % 100_000_000) * CSEQ_PER_ATTEMPT;

    let mut headers = headers(identity, message, &from_tag, now);
    let head = lines(&headers);
    headers.0.push(one("CSeq", format!("{cseq} MESSAGE")));
    headers
        .0
        .push(one("Content-Length", message.body.len().to_string()));

    let outgoing = Outgoing {
        method: "MESSAGE",
        uri: message.uri.clone(),
        call_id: call_id.clone(),
        from_tag,
        cseq,
        head,
        body: message.body.clone(),
    };
    let view = RequestView {
        method: "MESSAGE",
        uri: message.uri.clone(),
        call_id,
        cseq,
        headers,
    };
    (
        view,
        Job {
            key,
            request: outgoing,
        },
    )
}

/// The headers of a MESSAGE in their order, without those that count: CSeq and Content-Length.
fn headers(identity: &Identity, message: &Message, from_tag: &str, now: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap(Vec::with_capacity(12 + message.extra_headers.len()));
    headers.0.push(one("Max-Forwards", MAX_FORWARDS.to_owned()));
    headers.0.push(one("To", format!("<{}>", message.uri)));
    headers
        .0
        .push(one("From", format!("{};tag={from_tag}", identity.from)));
    headers.0.push(one("Call-ID", message.id.to_string()));
    headers.0.push(one("Date", now.to_sip_date()));
    headers
        .0
        .push(one("Expires", remaining_seconds(message, now).to_string()));
    headers.0.push(one("Allow", "OPTIONS".to_owned()));
    headers
        .0
        .push(one("Supported", "outbound, path".to_owned()));
    headers
        .0
        .push(one("User-Agent", identity.user_agent.clone()));
    for (name, value) in &identity.extra_headers {
        headers.add(name, value.as_str());
    }
    for header in &message.extra_headers {
        headers.add(&header.name, header.value.as_str());
    }
    // RFC 3261 §20.15: an empty body has no type.
    if !message.body.is_empty() {
        headers
            .0
            .push(one("Content-Type", message.content_type.clone()));
    }
    headers
}

fn one(name: &str, value: String) -> (String, Vec<String>) {
    (name.to_owned(), vec![value])
}

/// The last 62 bits of the id, which are random (RFC 9562 §5.7).
fn from_tag(message: &Message) -> String {
    let bytes = message.id.as_bytes();
    bytes[8..]
        .iter()
        .fold(String::with_capacity(16), |mut tag, byte| {
            // Writing to a string cannot fail.
            let _ = write!(tag, "{byte:02x}");
            tag
        })
}

/// What is left of the message's time, rounded up: RFC 3428 §4.
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
    let mut lines = Vec::with_capacity(512);
    for (name, values) in &headers.0 {
        for value in values {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.extend_from_slice(b"\r\n");
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
            Outcome::Answered(Answer {
                response: view(response),
                retry_after,
            })
        }
        SipOutcome::Silent => Outcome::Unknown(Unknown::Silent),
        SipOutcome::Disconnected => Outcome::Unknown(Unknown::Disconnected),
        SipOutcome::NotWritten => Outcome::NotWritten,
    }
}

fn view(response: Response) -> ResponseView {
    let mut headers = HeaderMap(Vec::with_capacity(response.headers.len()));
    for (name, value) in response.headers {
        headers.add(&name, value);
    }
    ResponseView {
        status_code: response.status.as_u16(),
        reason_phrase: response.reason,
        headers,
    }
}
