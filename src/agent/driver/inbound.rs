//! Requests of peers: how they are answered.

use super::Agent;
use crate::agent::arrival::{ArrivalId, InboundAnswer};
use crate::clock;
use crate::sip::{OutgoingResponse, StatusCode};

/// Seconds after which a proxy may try again to deliver a message that no consumer would take.
const NO_CONSUMER_RETRY: &str = "30";
/// Seconds after which there may be room again.
const OVERLOADED_RETRY: &str = "5";

impl Agent {
    /// Answers a request of a peer. One that came over an earlier connection, or was answered with
    /// 500 meanwhile, needs no answer.
    pub(super) fn answer(&mut self, id: ArrivalId, answer: InboundAnswer) {
        let response = match answer {
            InboundAnswer::Taken if id.is_receipt => OutgoingResponse::of(StatusCode::OK),
            InboundAnswer::Taken => OutgoingResponse::of(StatusCode::ACCEPTED),
            InboundAnswer::NoConsumer => OutgoingResponse::of(StatusCode::TEMPORARILY_UNAVAILABLE)
                .with("Retry-After", NO_CONSUMER_RETRY),
            InboundAnswer::Overloaded => overloaded(),
            InboundAnswer::Failed => OutgoingResponse::of(StatusCode::SERVER_INTERNAL_ERROR),
        };
        let _ = self.machine.answer(clock::now(), id.request, &response);
    }
}

/// Never 503: see [`crate::agent::InboundAnswer`].
fn overloaded() -> OutgoingResponse {
    OutgoingResponse::of(StatusCode::SERVER_INTERNAL_ERROR).with("Retry-After", OVERLOADED_RETRY)
}
