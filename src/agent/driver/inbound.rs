//! Requests of peers: handed to the dispatcher, and answered when it says how.

use uuid::{Timestamp as UuidTime, Uuid};

use super::Agent;
use crate::agent::arrival::{ArrivalId, Inbound, InboundAnswer};
use crate::agent::observer::NotTaken;
use crate::agent::translate;
use crate::agent::translate::InboundContext;
use crate::clock;
use crate::message::{MessageId, Timestamp};
use crate::sip;
use crate::sip::{IncomingRequest, OutgoingResponse, StatusCode};

/// Seconds after which a proxy may try again to deliver a message that no consumer would take.
const NO_CONSUMER_RETRY: &str = "30";
/// Seconds after which there may be room again, or the store may be back.
const OVERLOADED_RETRY: &str = "5";

impl Agent {
    /// Hands a request to the dispatcher.
    pub(super) fn take_request(&mut self, request: IncomingRequest) {
        let number = request.id;
        let now = self.clock.now();
        let id = self.new_id(now);
        let context = InboundContext {
            identity: self.shown.identity(),
            id,
            now,
            trust_asserted: self.receive.trust_asserted,
        };
        match translate::inbound(request, context) {
            Ok(inbound) => {
                match &inbound {
                    Inbound::Message(message) => self.frames.named(number, message.id, false),
                    Inbound::Receipt(receipt) => {
                        self.frames.named(number, receipt.message_id, true);
                    }
                }
                if !self.arrivals.hand_over(number, inbound) {
                    self.respond(number, InboundAnswer::Overloaded, &try_again());
                    self.observer.not_taken(NotTaken::Overloaded);
                }
            }
            Err(reason) => {
                self.frames.not_named(number);
                let response = OutgoingResponse::of(StatusCode::OK);
                self.respond(number, InboundAnswer::Repeated, &response);
                self.observer.not_taken(reason);
            }
        }
    }

    /// Answers a request of a peer. One that came over an earlier connection, or was answered with
    /// 500 meanwhile, needs no answer.
    pub(super) fn answer(&mut self, id: ArrivalId, answer: InboundAnswer) {
        let response = match answer {
            InboundAnswer::Taken | InboundAnswer::Repeated if id.is_receipt => {
                OutgoingResponse::of(StatusCode::OK)
            }
            InboundAnswer::Taken | InboundAnswer::Repeated => {
                OutgoingResponse::of(self.receive.answer)
            }
            InboundAnswer::NoConsumer => OutgoingResponse::of(StatusCode::TEMPORARILY_UNAVAILABLE)
                .with("Retry-After", NO_CONSUMER_RETRY),
            InboundAnswer::Overloaded | InboundAnswer::Failed => try_again(),
        };
        self.respond(id.request, answer, &response);
    }

    fn respond(&mut self, number: u64, answer: InboundAnswer, response: &OutgoingResponse) {
        // The error says that the response is not awaited any more.
        let answered = self.machine.answer(clock::now(), number, response);
        self.frames.answered(number, answer, answered.is_ok());
    }

    /// Counts a request that the user agent answered by itself.
    pub(super) fn count_not_taken(&self, reason: sip::NotTaken) {
        self.observer.not_taken(match reason {
            sip::NotTaken::Refused(_) => NotTaken::Refused,
            sip::NotTaken::Overloaded => NotTaken::Overloaded,
            sip::NotTaken::Unanswered => NotTaken::Unanswered,
            sip::NotTaken::Typing => NotTaken::Typing,
            sip::NotTaken::UnreadableReceipt => NotTaken::UnreadableReceipt,
        });
    }

    /// A name for a message that came in now; later names of this agent sort later.
    fn new_id(&self, now: Timestamp) -> MessageId {
        let millis = u64::try_from(now.as_millis()).unwrap_or_default();
        // Below a thousand milliseconds, so the nanoseconds fit.
        let nanos = (millis % 1_000) as u32 * 1_000_000;
        let time = UuidTime::from_unix(&self.ids, millis / 1_000, nanos);
        MessageId::new(Uuid::new_v7(time))
    }
}

/// Never 503: see [`crate::agent::InboundAnswer`].
fn try_again() -> OutgoingResponse {
    OutgoingResponse::of(StatusCode::SERVER_INTERNAL_ERROR).with("Retry-After", OVERLOADED_RETRY)
}
