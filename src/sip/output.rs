//! The output of a user agent: frames to write, and events.

use std::time::{Duration, Instant};

use super::StatusCode;
use super::content::Content;
use super::cpim::Envelope;
use super::digest::Refusal;
use super::headers::retry_after;
use super::parse::{Message, StartLine, text};

/// The output of a user agent.
#[derive(Debug)]
pub enum Output {
    /// Write this frame; what it belongs to.
    Transmit(Vec<u8>, FrameOwner),
    /// Report this.
    Event(Event),
}

/// What a frame belongs to, so that frames can be traced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameOwner {
    /// A request that was handed to [`UserAgent::send`](super::UserAgent::send) with this key.
    Sent(u64),
    /// A request that came in as [`Event::Received`], under this number.
    Received(u64),
    /// A registration.
    Registration,
    /// None of these: a keep-alive, or a request that was answered and not handed over.
    Other,
}

/// What happened to a user agent.
#[derive(Debug)]
pub enum Event {
    /// It is registered until then; reported at each refresh.
    Registered {
        /// When the registration ends unless it is refreshed.
        until: Instant,
    },
    /// It was registered and is not any more.
    Unregistered,
    /// A registration did not come about, or was not refreshed.
    RegistrationFailed {
        /// The registrar's; `None` when it did not answer.
        response: Option<Response>,
        /// Why its challenge was not answered; `None` when it was none.
        refusal: Option<Refusal>,
        /// Whether the request showed credentials.
        was_signed: bool,
        /// When the next try follows.
        retry_at: Instant,
    },
    /// The challenge of a request other than REGISTER was not answered, for this reason. How the
    /// request ended is the next event.
    ChallengeRefused(Refusal),
    /// A request that was handed to [`UserAgent::send`](super::UserAgent::send) is over; each
    /// exactly once.
    Ended {
        /// What it was handed in with.
        key: u64,
        /// How.
        outcome: Outcome,
    },
    /// A MESSAGE came in that [`Settings::receive`](super::Settings::receive) lets in; once for
    /// each branch, however often it was repeated. One that is not answered in time is answered
    /// with 500.
    Received(Box<IncomingRequest>),
    /// A request came in that was answered and not handed over.
    NotTaken(NotTaken),
    /// Leaving is over: the registrar answered, or there is none to ask.
    Left,
}

/// Why a request that came in was answered and not handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotTaken {
    /// A row of the table in `respond` refuses it, with this code.
    Refused(StatusCode),
    /// Too many wait for their answers: 500 with Retry-After.
    Overloaded,
    /// It was handed over, and not answered in time: 500.
    Unanswered,
    /// An indication of typing: 200.
    Typing,
    /// A receipt that cannot be read: 200.
    UnreadableReceipt,
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    /// With a final response; also a challenge that could not be answered.
    Answered(Response),
    /// Timer F fired. Whether the peer acted is unknown.
    Silent,
    /// The connection was lost after it was written. Whether the peer acted is unknown.
    Disconnected,
    /// It was never written: there is no connection.
    NotWritten,
    /// It was never written: with its Via, routes and credentials it is larger than it may be.
    TooLarge,
}

/// A MESSAGE that came in, to be answered with [`UserAgent::answer`](super::UserAgent::answer).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IncomingRequest {
    /// Names it in the answer.
    pub id: u64,
    /// The Request-URI, as written.
    pub uri: String,
    /// Long names and values, in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// What the envelope said that it came in, if it came in one.
    pub envelope: Option<Envelope>,
    /// What it carries.
    pub content: Content,
}

/// A final response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// The code.
    pub status: StatusCode,
    /// As the peer wrote it; bytes that are not UTF-8 are replaced.
    pub reason: String,
    /// Long names and values, in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// Whether the request had its [`FallbackBody`](super::FallbackBody) when this came.
    pub is_to_fallback: bool,
}

impl Response {
    /// Copies a response out of its frame. A request has no status and is read as a 500; no caller
    /// passes one.
    pub fn of(message: &Message<'_>) -> Self {
        let (status, reason) = match message.start {
            StartLine::Response { status, reason } => (status, text(reason)),
            StartLine::Request { .. } => (StatusCode::SERVER_INTERNAL_ERROR, String::new()),
        };
        Self {
            status,
            reason,
            headers: message.header_texts(),
            is_to_fallback: false,
        }
    }

    /// How long the peer asks us to stay away (RFC 3261 §20.33).
    pub fn retry_after(&self) -> Option<Duration> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("Retry-After"))?;
        retry_after(value)
    }
}

impl IncomingRequest {
    /// The first value of this header, by its long name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of this header, by its long name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter();
        headers.filter_map(move |(given, value)| {
            given.eq_ignore_ascii_case(name).then_some(value.as_str())
        })
    }

    /// How many bytes it is, roughly.
    pub(super) fn size(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        let content = match &self.content {
            Content::Message { content_type, body } => content_type.len() + body.len(),
            Content::Receipt(imdn) => imdn.message_id.len(),
        };
        self.uri.len() + headers + content
    }
}
