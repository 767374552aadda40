//! How a user agent responds to a request that is new to it (RFC 3261 §8.2). The first row that
//! fits:
//!
//! | request                                                      | response             | by           |
//! |--------------------------------------------------------------|----------------------|--------------|
//! | of another version                                           | 505                  | §21.5.6      |
//! | with more headers than are read, or a longer one             | 413                  | §21.4.11     |
//! | MESSAGE whose Content-Length is above `max_body`, and whose body is shorter | 413   | §21.4.11     |
//! | From, To, Call-ID, CSeq, Max-Forwards or the request line cannot be read, or the body is shorter than said | 400 | §8.2, §18.3 |
//! | Request-URI that is not sip or sips                          | 416                  | §8.2.2.1     |
//! | Request-URI for another user                                 | 404                  | §8.2.2.1     |
//! | To has a tag, or CANCEL                                      | 481                  | §12.2.2, §9.2 |
//! | the same request by another way, but no MESSAGE that is taken | 482                 | §8.2.2.2     |
//! | Require names anything                                       | 420 with Unsupported | §8.2.2.3     |
//! | OPTIONS                                                      | 200 with Allow, Accept and Accept-Encoding | §11.2 |
//! | MESSAGE with a coding that is not known                      | 415 with Accept-Encoding | §21.4.13 |
//! | MESSAGE that is larger than `max_body`, as it is or decoded  | 413                  | §21.4.11     |
//! | MESSAGE that cannot be decoded                               | 400                  | §21.4.1      |
//! | MESSAGE with a notice that somebody types, also in an envelope | 200, and it is dropped | RFC 3994   |
//! | MESSAGE with a receipt that cannot be read, also in an envelope | 200, and it is dropped | RFC 5438 |
//! | MESSAGE with another receipt                                 | as the taker decides | RFC 5438     |
//! | MESSAGE of a type that `accepts` does not list; of the inner part, if it is in an envelope | 415 with Accept | §8.2.3, §21.4.13 |
//! | MESSAGE, when messages are taken                             | as the taker decides | RFC 3428 §7  |
//! | anything else                                                | 405 with Allow       | §8.2.1       |
//!
//! Max-Forwards of zero is no reason to refuse: the request has arrived (RFC 4475 §3.3.11 has
//! it so, and §16.3 of RFC 3261 speaks of proxies).
//!
//! A MESSAGE that a proxy forked to several of our flows comes by several ways. Each is handed
//! over, against §8.2.2.2: the taker knows what it has already, at whichever agent it came.

use std::borrow::Cow;

use super::content::{ACCEPT_ENCODING, Carried, Content, ContentError};
use super::cpim::Envelope;
use super::headers::{CSeq, NameAddr};
use super::output::NotTaken;
use super::parse::{Flaw, Message};
use super::settings::{ReceiveSettings, Settings};
use super::uri::{AnyUri, UriError};
use super::{StatusCode, content, parse, write};

/// A response to a request that came in. It has no body: a response to a MESSAGE must not have one
/// (RFC 3428 §7), and no other that is given here needs one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutgoingResponse {
    /// The code; its reason phrase goes with it.
    pub status: StatusCode,
    headers: Vec<(Cow<'static, str>, String)>,
}

impl OutgoingResponse {
    /// A response without more headers.
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
            write::header(&mut frame, name.as_bytes(), value.as_bytes());
        }
        write::header(&mut frame, "User-Agent", settings.user_agent.as_bytes());
        frame.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        frame
    }
}

/// The methods that are not answered with 405 (RFC 3261 §20.5).
pub(super) fn allow(settings: &Settings) -> &'static str {
    if settings.receive.is_some() {
        "MESSAGE, OPTIONS"
    } else {
        "OPTIONS"
    }
}

/// The tag of From.
pub(super) fn from_tag<'a>(message: &Message<'a>) -> Option<&'a str> {
    NameAddr::read(message.from)?.tag()
}

/// What follows from a request.
#[derive(Debug)]
pub(super) enum RequestDecision {
    /// It is answered so, and why, unless it was asked for.
    Respond(OutgoingResponse, Option<NotTaken>),
    /// It is handed over.
    HandOver(Option<Envelope>, Content),
}

impl RequestDecision {
    fn refuse(response: OutgoingResponse) -> Self {
        let refused = NotTaken::Refused(response.status);
        Self::Respond(response, Some(refused))
    }
}

/// What follows from a request by the table.
pub(super) fn respond(
    method: &str,
    uri: &str,
    message: &Message<'_>,
    is_merged: bool,
    settings: &Settings,
) -> RequestDecision {
    match refusal(method, uri, message, is_merged, settings) {
        Some(status) => RequestDecision::refuse(OutgoingResponse::of(status)),
        None => respond_to_method(method, message, settings),
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
    if message.flaw == Some(Flaw::HeadTooLarge) {
        return Some(StatusCode::REQUEST_ENTITY_TOO_LARGE);
    }
    let taken = settings.receive.as_ref().filter(|_| method == "MESSAGE");
    if message.flaw == Some(Flaw::BodyTooShort)
        && taken.is_some_and(|receive| says_it_is_larger(message, receive.max_body))
    {
        return Some(StatusCode::REQUEST_ENTITY_TOO_LARGE);
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
    let is_in_dialog = NameAddr::read(message.to).is_some_and(|address| address.tag().is_some());
    if is_in_dialog || method == "CANCEL" {
        return Some(StatusCode::TRANSACTION_DOES_NOT_EXIST);
    }
    (is_merged && taken.is_none()).then_some(StatusCode::LOOP_DETECTED)
}

/// Whether Content-Length says more than this.
fn says_it_is_larger(message: &Message<'_>, max: usize) -> bool {
    let length = message.first_text("Content-Length");
    length.is_some_and(|length| length.parse().is_ok_and(|length: usize| length > max))
}

/// Whether what every request must have is there and can be read (RFC 3261 §8.1.1). Neither the tag
/// of From is missed where it is missing (§12.1.1 takes it for empty), nor Max-Forwards: the
/// request needs no more hops.
fn is_whole(method: &str, message: &Message<'_>) -> bool {
    let cseq = message.cseq.and_then(CSeq::parse);
    let hops = message.first("Max-Forwards").map(parse::text);
    // These two URIs are not used here, so they may be longer than those that are.
    let readable = |address: NameAddr<'_>| match AnyUri::parse(address.uri) {
        Ok(_) | Err(UriError::TooLong) => true,
        Err(_) => false,
    };
    NameAddr::read(message.from).is_some_and(readable)
        && NameAddr::read(message.to).is_some_and(readable)
        && message.call_id.is_some_and(|id| !id.is_empty())
        && cseq.is_some_and(|cseq| cseq.method == method && cseq.number < 1 << 31)
        && hops.is_none_or(|hops| hops.parse::<u8>().is_ok())
}

/// The rules of the table from 420 on.
fn respond_to_method(method: &str, message: &Message<'_>, settings: &Settings) -> RequestDecision {
    if let Some(required) = message.first("Require") {
        let refusal = OutgoingResponse::of(StatusCode::BAD_EXTENSION);
        return RequestDecision::refuse(refusal.with("Unsupported", parse::text(required)));
    }
    match (method, &settings.receive) {
        ("OPTIONS", receive) => {
            RequestDecision::Respond(capabilities(settings, receive.as_ref()), None)
        }
        ("MESSAGE", Some(receive)) => judge_content(message, receive),
        (_, Some(_) | None) => {
            let refusal = OutgoingResponse::of(StatusCode::METHOD_NOT_ALLOWED);
            RequestDecision::refuse(refusal.with("Allow", allow(settings)))
        }
    }
}

/// RFC 3261 §11.2.
fn capabilities(settings: &Settings, receive: Option<&ReceiveSettings>) -> OutgoingResponse {
    let response = OutgoingResponse::of(StatusCode::OK).with("Allow", allow(settings));
    match receive {
        Some(receive) => response
            .with("Accept", receive.accept())
            .with("Accept-Encoding", ACCEPT_ENCODING),
        None => response.with("Accept", ""),
    }
}

/// The rules about what a MESSAGE carries.
fn judge_content(message: &Message<'_>, receive: &ReceiveSettings) -> RequestDecision {
    let ok = || OutgoingResponse::of(StatusCode::OK);
    let unsupported = || OutgoingResponse::of(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    match content::read(message, receive) {
        Ok((envelope, Carried::Content(content))) => RequestDecision::HandOver(envelope, content),
        Ok((_, Carried::Typing)) => RequestDecision::Respond(ok(), Some(NotTaken::Typing)),
        Ok((_, Carried::UnreadableReceipt)) => {
            RequestDecision::Respond(ok(), Some(NotTaken::UnreadableReceipt))
        }
        Err(ContentError::Type) => {
            RequestDecision::refuse(unsupported().with("Accept", receive.accept()))
        }
        Err(ContentError::Encoding) => {
            RequestDecision::refuse(unsupported().with("Accept-Encoding", ACCEPT_ENCODING))
        }
        Err(ContentError::TooLarge) => {
            RequestDecision::refuse(OutgoingResponse::of(StatusCode::REQUEST_ENTITY_TOO_LARGE))
        }
        Err(ContentError::Malformed) => {
            RequestDecision::refuse(OutgoingResponse::of(StatusCode::BAD_REQUEST))
        }
    }
}
