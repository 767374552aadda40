//! What a user agent says.

use std::time::Instant;

use crate::sip::Response;
use crate::sip::digest::Refusal;
use crate::sip::respond::Received;

/// What a user agent says.
#[derive(Debug)]
pub enum Output {
    /// Write this frame.
    Transmit(Vec<u8>),
    /// This happened.
    Event(Event),
}

/// What happened to a user agent.
#[derive(Debug)]
pub enum Event {
    /// It is registered until then; told at each refresh.
    Registered {
        /// When the registration ends unless it is refreshed.
        until: Instant,
    },
    /// It was registered and is not any more.
    Unregistered,
    /// A registration did not come about, or was not refreshed.
    RegistrationFailed {
        /// What the registrar said; `None` when it said nothing.
        response: Option<Response>,
        /// Why its challenge was not answered; `None` when it was none.
        refusal: Option<Refusal>,
        /// Whether the request showed credentials.
        was_signed: bool,
        /// When the next try follows.
        retry_at: Instant,
    },
    /// The challenge of a request other than REGISTER was not answered, for this reason. How the
    /// request ended is told next.
    ChallengeRefused(Refusal),
    /// A request that was handed to [`UserAgent::send`](super::UserAgent::send) is over. Each is
    /// told exactly once.
    Ended {
        /// What it was handed in with.
        key: u64,
        /// How.
        outcome: Outcome,
    },
    /// A MESSAGE came in, once however often it was repeated. Whoever takes it says so with
    /// [`UserAgent::answer`](super::UserAgent::answer); what is not answered in time is answered
    /// with 500. Told only if [`Settings::accepts`](super::Settings::accepts) has its type.
    Received(Received),
    /// Leaving is over: the registrar answered, or there is none to ask.
    Left,
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
