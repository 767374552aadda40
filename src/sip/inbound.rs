//! What others ask of a user agent, and what it answers (RFC 3261 §8.2).
//!
//! sipost sends; it takes no messages. So a MESSAGE that arrives is answered 405 with what is
//! allowed, and its sender knows at once that nobody read it. First of these that fits:
//!
//! | request                                               | answer                  | RFC 3261    |
//! |-------------------------------------------------------|-------------------------|-------------|
//! | ACK, or one whose Via or CSeq cannot be read          | none: nobody waits, or nobody to tell | §17, §18.2.2 |
//! | seen before, by branch                                | the same again          | §17.2.2     |
//! | From tag, Call-ID or To missing, wrong CSeq method, body shorter or longer than said | 400 | §8.2, §18.3 |
//! | Request-URI that is not sip or sips                   | 416                     | §8.2.2.1    |
//! | Request-URI for another user                          | 404                     | §8.2.2.1    |
//! | To has a tag, or CANCEL                               | 481                     | §12.2.2, §9.2 |
//! | the same request by another way                       | 482                     | §8.2.2.2    |
//! | Require names anything                                | 420 with Unsupported    | §8.2.2.3    |
//! | OPTIONS                                               | 200 with Allow          | §11.2       |
//! | anything else                                         | 405 with Allow          | §8.2.1      |

use std::collections::VecDeque;
use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::time::Duration;
use std::time::Instant;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::StatusCode;
use super::headers::CSeq;
use super::headers::NameAddr;
use super::headers::Via;
use super::parse;
use super::parse::Message;
use super::user_agent::Settings;

/// What this user agent does when it is asked (RFC 3261 §20.5).
pub(super) const ALLOW: &str = "OPTIONS";

/// How long an answer is kept for a retransmission. Timer J is zero on reliable transports
/// (RFC 3261 §17.2.2), but a proxy on the way may still repeat a request for 64 × T1.
const KEPT: Duration = Duration::from_secs(32);

/// Answers kept at most; older ones make room.
const MAX_KEPT: usize = 64;

/// Requests that were answered lately.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    answered: VecDeque<Answered>,
}

#[derive(Debug)]
struct Answered {
    /// Of branch, sent-by and method: the server transaction (RFC 3261 §17.2.3).
    transaction: u64,
    /// Of From tag, Call-ID and CSeq: the request, whichever way it came (RFC 3261 §8.2.2.2).
    request: u64,
    frame: Vec<u8>,
    until: Instant,
}

impl Inbound {
    /// When [`Self::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.answered.front().map(|answered| answered.until)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self
            .answered
            .front()
            .is_some_and(|answered| answered.until <= now)
        {
            self.answered.pop_front();
        }
    }

    /// The connection is gone, and with it whoever might repeat a request on it.
    pub(super) fn clear(&mut self) {
        self.answered.clear();
    }

    /// The frame that answers a request, if any does.
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        method: &str,
        uri: &str,
        message: &Message<'_>,
        settings: &Settings,
        rng: &mut StdRng,
    ) -> Option<Vec<u8>> {
        if method == "ACK" {
            return None;
        }
        let via = Via::parse(message.via?)?;
        let cseq = CSeq::parse(message.cseq?)?;
        let transaction = hash(&[via.branch.unwrap_or_default(), via.sent_by, method]);
        if let Some(known) = self
            .answered
            .iter()
            .find(|known| known.transaction == transaction)
        {
            return Some(known.frame.clone());
        }
        let from_tag = address(message.from).and_then(|address| address.tag());
        let call_id = message.call_id.and_then(|id| std::str::from_utf8(id).ok());
        let request = hash(&[
            from_tag.unwrap_or_default(),
            call_id.unwrap_or_default(),
            &cseq.number.to_string(),
            method,
        ]);
        let merged = self.answered.iter().any(|known| known.request == request);
        let is_whole = from_tag.is_some()
            && call_id.is_some()
            && address(message.to).is_some()
            && cseq.method == method
            && !message.body_mismatch;
        let answer = if is_whole {
            decide(method, uri, message, merged, settings)
        } else {
            Answer::plain(StatusCode::BAD_REQUEST)
        };
        let frame = answer.frame(message, settings, rng)?;
        if self.answered.len() >= MAX_KEPT {
            self.answered.pop_front();
        }
        let until = now + KEPT;
        self.answered.push_back(Answered {
            transaction,
            request,
            frame: frame.clone(),
            until,
        });
        Some(frame)
    }
}

/// A response, before it has its headers.
struct Answer {
    status: StatusCode,
    header: Option<(&'static str, String)>,
}

impl Answer {
    fn plain(status: StatusCode) -> Self {
        Self {
            status,
            header: None,
        }
    }

    fn with(status: StatusCode, name: &'static str, value: impl Into<String>) -> Self {
        Self {
            status,
            header: Some((name, value.into())),
        }
    }

    /// RFC 3261 §8.2.6: Via, From, To, Call-ID and CSeq as they came, To with a tag of ours.
    fn frame(
        self,
        message: &Message<'_>,
        settings: &Settings,
        rng: &mut StdRng,
    ) -> Option<Vec<u8>> {
        let mut frame = Vec::with_capacity(512);
        let code = self.status.as_u16();
        line(
            &mut frame,
            format!("SIP/2.0 {code} {}", self.status.reason_phrase()).as_bytes(),
        );
        for via in message.all("Via") {
            header(&mut frame, "Via", via);
        }
        header(&mut frame, "From", message.from.unwrap_or_default());
        let to = message.to.unwrap_or_default();
        match address(message.to).and_then(|address| address.tag()) {
            Some(_) => header(&mut frame, "To", to),
            None => {
                let tag = format!(";tag={:016x}", rng.random::<u64>());
                header(&mut frame, "To", &[to, tag.as_bytes()].concat());
            }
        }
        header(&mut frame, "Call-ID", message.call_id.unwrap_or_default());
        header(&mut frame, "CSeq", message.cseq?);
        if let Some((name, value)) = self.header {
            header(&mut frame, name, value.as_bytes());
        }
        header(&mut frame, "User-Agent", settings.user_agent.as_bytes());
        header(&mut frame, "Content-Length", b"0");
        frame.extend_from_slice(b"\r\n");
        Some(frame)
    }
}

/// The rules of the table, from 416 on.
fn decide(
    method: &str,
    uri: &str,
    message: &Message<'_>,
    merged: bool,
    settings: &Settings,
) -> Answer {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Answer::plain(StatusCode::BAD_REQUEST);
    };
    if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
        return Answer::plain(StatusCode::UNSUPPORTED_URI_SCHEME);
    }
    if !is_ours(rest, settings) {
        return Answer::plain(StatusCode::NOT_FOUND);
    }
    let in_dialog = address(message.to).is_some_and(|address| address.tag().is_some());
    if in_dialog || method == "CANCEL" {
        return Answer::plain(StatusCode::TRANSACTION_DOES_NOT_EXIST);
    }
    if merged {
        return Answer::plain(StatusCode::LOOP_DETECTED);
    }
    if let Some(required) = message.first("Require") {
        return Answer::with(
            StatusCode::BAD_EXTENSION,
            "Unsupported",
            parse::text(required),
        );
    }
    match method {
        "OPTIONS" => Answer::with(StatusCode::OK, "Allow", ALLOW),
        _ => Answer::with(StatusCode::METHOD_NOT_ALLOWED, "Allow", ALLOW),
    }
}

/// Whether the rest of a URI is for our address of record or our Contact. The host says nothing:
/// a registrar may write its own, or our invalid one.
fn is_ours(rest: &str, settings: &Settings) -> bool {
    let user = rest.split_once('@').map_or("", |(user, _)| user);
    let aor_user = settings
        .aor
        .split_once(':')
        .and_then(|(_, rest)| rest.split_once('@'));
    user == settings.contact_user || aor_user.is_some_and(|(ours, _)| ours == user)
}

fn address(value: Option<&[u8]>) -> Option<NameAddr<'_>> {
    NameAddr::parse(std::str::from_utf8(value?).ok()?)
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

fn header(frame: &mut Vec<u8>, name: &str, value: &[u8]) {
    frame.extend_from_slice(name.as_bytes());
    frame.extend_from_slice(b": ");
    line(frame, value);
}

/// A value as it came; continuation lines stay what they were.
fn line(frame: &mut Vec<u8>, text: &[u8]) {
    frame.extend_from_slice(text);
    frame.extend_from_slice(b"\r\n");
}
