//! What a user agent says to a request that is new to it (RFC 3261 §8.2). The first that fits:
//!
//! | request                                                      | answer               | by           |
//! |--------------------------------------------------------------|----------------------|--------------|
//! | of another version                                           | 505                  | §21.5.6      |
//! | From, To, Call-ID, CSeq, Max-Forwards or the request line cannot be read, or the body is shorter than said | 400 | §8.2, §18.3 |
//! | Request-URI that is not sip or sips                          | 416                  | §8.2.2.1     |
//! | Request-URI for another user                                 | 404                  | §8.2.2.1     |
//! | To has a tag, or CANCEL                                      | 481                  | §12.2.2, §9.2 |
//! | the same request by another way                              | 482                  | §8.2.2.2     |
//! | Require names anything                                       | 420 with Unsupported | §8.2.2.3     |
//! | OPTIONS                                                      | 200 with Allow and Accept | §11.2   |
//! | MESSAGE, of a type nobody takes, or encoded                  | 415 with Accept      | §8.2.3       |
//! | MESSAGE, when somebody takes messages                        | whatever they say    | RFC 3428 §7  |
//! | anything else                                                | 405 with Allow       | §8.2.1       |
//!
//! Max-Forwards of zero is no reason to refuse: the request has arrived (RFC 4475 §3.3.11 has
//! it so, and §16.3 of RFC 3261 speaks of proxies).

use std::borrow::Cow;

use super::headers::{CSeq, NameAddr};
use super::parse::{Flaw, Message};
use super::uri::{AnyUri, UriError};
use super::user_agent::Settings;
use super::{StatusCode, parse, write};

/// A MESSAGE that somebody is to answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// What to name it by in the answer.
    pub id: u64,
    /// The Request-URI, as written.
    pub uri: String,
    /// Long names and values, in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// As many bytes as there are.
    pub body: Vec<u8>,
}

/// What is answered to a request. There is no body: an answer to a MESSAGE must not have one
/// (RFC 3428 §7), and no other that is given here needs one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The code; its reason phrase goes with it.
    pub status: StatusCode,
    /// More headers.
    headers: Vec<(Cow<'static, str>, String)>,
}

/// Who answers.
#[derive(Debug)]
pub(super) enum Decision {
    /// This user agent.
    Answer(Answer),
    /// Whoever takes messages.
    Ask,
}

impl Received {
    pub(super) fn of(id: u64, uri: &str, message: &Message<'_>) -> Self {
        Self {
            id,
            uri: uri.to_owned(),
            headers: message.header_texts(),
            body: message.body.to_vec(),
        }
    }
}

impl Answer {
    /// An answer without more headers.
    pub fn of(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
        }
    }

    /// With one more header. Control characters, which would end the line, become blanks.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        let value = value.into().replace(|c: char| c.is_control(), " ");
        self.headers.push((name.into(), value));
        self
    }

    /// The whole response, with the lines that it repeats.
    pub(super) fn frame(&self, repeated: &[u8], settings: &Settings) -> Vec<u8> {
        let mut frame = Vec::with_capacity(256 + repeated.len());
        write::status_line(&mut frame, self.status);
        frame.extend_from_slice(repeated);
        for (name, value) in &self.headers {
            write::header(&mut frame, name, value.as_bytes());
        }
        write::header(&mut frame, "User-Agent", settings.user_agent.as_bytes());
        write::header(&mut frame, "Content-Length", b"0");
        frame.extend_from_slice(b"\r\n");
        frame
    }
}

/// The methods that are answered with something else than 405 (RFC 3261 §20.5).
pub(super) fn allow(settings: &Settings) -> &'static str {
    match settings.accepts.is_empty() {
        true => "OPTIONS",
        false => "MESSAGE, OPTIONS",
    }
}

/// RFC 3261 §8.2.6.2: Via, From, To, Call-ID and CSeq as they came, To with a tag of ours.
pub(super) fn repeated(message: &Message<'_>, tag: u64) -> Vec<u8> {
    let mut lines = Vec::with_capacity(256);
    for via in message.all("Via") {
        write::header(&mut lines, "Via", via);
    }
    if let Some(from) = message.from {
        write::header(&mut lines, "From", from);
    }
    if let Some(to) = message.to {
        match address(Some(to)).and_then(|address| address.tag()) {
            Some(_) => write::header(&mut lines, "To", to),
            None => {
                let tag = format!(";tag={tag:016x}");
                write::header(&mut lines, "To", &[to, tag.as_bytes()].concat());
            }
        }
    }
    if let Some(call_id) = message.call_id {
        write::header(&mut lines, "Call-ID", call_id);
    }
    if let Some(cseq) = message.cseq {
        write::header(&mut lines, "CSeq", cseq);
    }
    lines
}

/// The tag of From.
pub(super) fn from_tag<'a>(message: &Message<'a>) -> Option<&'a str> {
    address(message.from)?.tag()
}

/// Who answers a request, and what.
pub(super) fn decide(
    method: &str,
    uri: &str,
    message: &Message<'_>,
    is_merged: bool,
    settings: &Settings,
) -> Decision {
    match refusal(method, uri, message, is_merged, settings) {
        Some(status) => Decision::Answer(Answer::of(status)),
        None => decide_method(method, message, settings),
    }
}

/// The rules of the table up to 482.
fn refusal(
    method: &str,
    uri: &str,
    message: &Message<'_>,
    is_merged: bool,
    settings: &Settings,
) -> Option<StatusCode> {
    if message.flaw == Some(Flaw::Version) {
        return Some(StatusCode::VERSION_NOT_SUPPORTED);
    }
    if message.flaw.is_some() || !is_whole(method, message) {
        return Some(StatusCode::BAD_REQUEST);
    }
    let user = match AnyUri::parse(uri) {
        Ok(AnyUri::Sip(uri)) => uri.user().map(str::to_owned),
        Ok(AnyUri::Other(_)) => return Some(StatusCode::UNSUPPORTED_URI_SCHEME),
        Err(_) => return Some(StatusCode::BAD_REQUEST),
    };
    if !user.is_some_and(|user| settings.is_user(&user)) {
        return Some(StatusCode::NOT_FOUND);
    }
    let is_in_dialog = address(message.to).is_some_and(|address| address.tag().is_some());
    if is_in_dialog || method == "CANCEL" {
        return Some(StatusCode::TRANSACTION_DOES_NOT_EXIST);
    }
    is_merged.then_some(StatusCode::LOOP_DETECTED)
}

/// Whether what every request must have is there and can be read (RFC 3261 §8.1.1). Neither the tag
/// of From is missed where it is missing (§12.1.1 takes it for empty), nor Max-Forwards: the
/// request needs no more hops.
fn is_whole(method: &str, message: &Message<'_>) -> bool {
    let cseq = message.cseq.and_then(CSeq::parse);
    let hops = message.first("Max-Forwards").map(parse::text);
    // Nobody needs these two URIs here, so that one may be longer than those we use.
    let readable = |address: NameAddr<'_>| match AnyUri::parse(address.uri) {
        Ok(_) | Err(UriError::TooLong) => true,
        Err(_) => false,
    };
    address(message.from).is_some_and(readable)
        && address(message.to).is_some_and(readable)
        && message.call_id.is_some_and(|id| !id.is_empty())
        && cseq.is_some_and(|cseq| cseq.method == method && cseq.number < 1 << 31)
        && hops.is_none_or(|hops| hops.parse::<u8>().is_ok())
}

/// The rules of the table from 420 on.
fn decide_method(method: &str, message: &Message<'_>, settings: &Settings) -> Decision {
    if let Some(required) = message.first("Require") {
        let answer = Answer::of(StatusCode::BAD_EXTENSION);
        return Decision::Answer(answer.with("Unsupported", parse::text(required)));
    }
    let takes_messages = !settings.accepts.is_empty();
    Decision::Answer(match method {
        "OPTIONS" => Answer::of(StatusCode::OK)
            .with("Allow", allow(settings))
            .with("Accept", settings.accepts.join(", ")),
        "MESSAGE" if takes_messages => match content_refusal(message, settings) {
            Some(answer) => answer,
            None => return Decision::Ask,
        },
        _ => Answer::of(StatusCode::METHOD_NOT_ALLOWED).with("Allow", allow(settings)),
    })
}

/// RFC 3261 §8.2.3.
fn content_refusal(message: &Message<'_>, settings: &Settings) -> Option<Answer> {
    let refusal = Answer::of(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let encoding = message.first("Content-Encoding").map(parse::text);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Some(refusal.with("Accept-Encoding", "identity"));
    }
    let media_type = message.first("Content-Type").map(parse::text)?;
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let takes = |accepted: &String| match accepted.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => {
            let given = media_type.split('/').next().unwrap_or_default();
            kind.eq_ignore_ascii_case(given.trim())
        }
        None => accepted.eq_ignore_ascii_case(media_type),
    };
    let is_taken = settings.accepts.iter().any(takes);
    (!is_taken).then(|| refusal.with("Accept", settings.accepts.join(", ")))
}

fn address(value: Option<&[u8]>) -> Option<NameAddr<'_>> {
    NameAddr::parse(std::str::from_utf8(value?).ok()?)
}
