//! The server transactions of RFC 3261 §17.2.2, on a reliable transport.
//!
//! | in        | the request again     | answered  | out of time                       |
//! |-----------|-----------------------|-----------|-----------------------------------|
//! | Trying    | nothing               | Completed | Completed, with 500               |
//! | Completed | the same answer again | –         | forgotten                         |
//!
//! Timer J is zero on reliable transports; answers are kept for 64 × T1 all the same, because a
//! proxy on the way may repeat a request, and a message is taken once. How many are kept is
//! bounded: the oldest answer makes room; while all of them wait for their answers, a new request
//! is answered 503.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::headers::CSeq;
use super::output::{Event, IncomingRequest, Output};
use super::parse::Message;
use super::respond::{OutgoingResponse, from_tag, respond};
use super::settings::Settings;
use super::{StatusCode, write};

/// How long a response is kept for a retransmission.
const KEEP_RESPONSE: Duration = Duration::from_secs(32);

/// How long a MESSAGE may wait for its response. Far shorter than the client's Timer F, so that the
/// client gets one (RFC 4320 §1.2).
const RESPOND_WITHIN: Duration = Duration::from_secs(10);

/// Requests remembered at most.
const MAX_KEPT: usize = 64;

/// Requests that came in lately.
#[derive(Debug, Default)]
pub(super) struct ServerTransactions {
    kept: VecDeque<ServerTransaction>,
    /// Of the next request that is handed over.
    next_id: u64,
}

#[derive(Debug)]
struct ServerTransaction {
    id: u64,
    /// Of the topmost Via and the method with what names the request: the transaction.
    transaction: u64,
    /// Of From tag, Call-ID and CSeq: the request, whichever way it came (RFC 3261 §8.2.2.2).
    request: u64,
    state: ServerState,
    until: Instant,
}

#[derive(Debug)]
enum ServerState {
    /// Handed over; with the lines that its answer repeats.
    Trying(Vec<u8>),
    /// With the frame that answered it.
    Completed(Vec<u8>),
}

/// Why a response was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// It was answered before, or it waited for too long and was answered with 500.
    #[error("the request was answered already")]
    Answered,
    /// A provisional response has no use on a reliable transport (RFC 4320 §4.1).
    #[error("an answer is final")]
    Provisional,
}

impl ServerTransactions {
    /// When [`Self::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.kept.iter().map(|kept| kept.until).min()
    }

    /// Forgets old requests; answers those with 500 that were not answered in time.
    pub(super) fn handle_timeout(&mut self, now: Instant, settings: &Settings) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for kept in &mut self.kept {
            if kept.until <= now && matches!(kept.state, ServerState::Trying(_)) {
                let answer = OutgoingResponse::of(StatusCode::SERVER_INTERNAL_ERROR);
                frames.extend(kept.complete(now, &answer, settings));
            }
        }
        self.kept.retain(|kept| kept.until > now);
        frames
    }

    /// The connection is gone, and with it every peer that may repeat a request.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Answers a request that was handed over.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        id: u64,
        answer: &OutgoingResponse,
        settings: &Settings,
    ) -> Result<Vec<u8>, AnswerError> {
        if answer.status.is_provisional() {
            return Err(AnswerError::Provisional);
        }
        let known = self.kept.iter_mut().find(|kept| kept.id == id);
        known
            .and_then(|kept| kept.complete(now, answer, settings))
            .ok_or(AnswerError::Answered)
    }

    /// Takes a request: the response, or the event that asks for one.
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        method: &str,
        uri: &str,
        message: &Message<'_>,
        settings: &Settings,
        rng: &mut StdRng,
    ) -> Option<Output> {
        // An ACK is never answered (RFC 3261 §17); a request without these two cannot be: they say
        // where to (§18.2.2), and to what (§8.2.6.2).
        let (via, cseq) = (message.via?, message.cseq?);
        if method == "ACK" {
            return None;
        }
        let request = request_hash(message);
        let transaction = hash(&[via, method.as_bytes(), cseq, &request.to_le_bytes()]);
        let mut kept = self.kept.iter();
        if let Some(known) = kept.find(|kept| kept.transaction == transaction) {
            return match &known.state {
                ServerState::Trying(_) => None,
                ServerState::Completed(frame) => Some(Output::Transmit(frame.clone())),
            };
        }
        let is_merged = self.kept.iter().any(|kept| kept.request == request);
        let repeated = write::repeated(message, rng.random(), None);
        if !self.makes_room() {
            let busy = OutgoingResponse::of(StatusCode::SERVICE_UNAVAILABLE);
            let frame = busy.with("Retry-After", "10").frame(&repeated, settings);
            return Some(Output::Transmit(frame));
        }
        let id = self.next_id;
        self.next_id += 1;
        let response = respond(method, uri, message, is_merged, settings);
        let (state, until, output) = match response {
            Some(response) => {
                let frame = response.frame(&repeated, settings);
                let output = Output::Transmit(frame.clone());
                (ServerState::Completed(frame), now + KEEP_RESPONSE, output)
            }
            None => {
                let event = Event::Received(IncomingRequest::of(id, uri, message));
                let output = Output::Event(event);
                (ServerState::Trying(repeated), now + RESPOND_WITHIN, output)
            }
        };
        self.kept.push_back(ServerTransaction {
            id,
            transaction,
            request,
            state,
            until,
        });
        Some(output)
    }

    /// Whether there is room for one more, after the oldest answer made way if need be.
    fn makes_room(&mut self) -> bool {
        if self.kept.len() < MAX_KEPT {
            return true;
        }
        let oldest = self
            .kept
            .iter()
            .position(|kept| matches!(kept.state, ServerState::Completed(_)));
        oldest.and_then(|at| self.kept.remove(at)).is_some()
    }
}

impl ServerTransaction {
    /// The frame of the answer, unless there was one before.
    fn complete(
        &mut self,
        now: Instant,
        answer: &OutgoingResponse,
        settings: &Settings,
    ) -> Option<Vec<u8>> {
        let ServerState::Trying(repeated) = &self.state else {
            return None;
        };
        let frame = answer.frame(repeated, settings);
        self.state = ServerState::Completed(frame.clone());
        self.until = now + KEEP_RESPONSE;
        Some(frame)
    }
}

/// RFC 3261 §8.2.2.2: From tag, Call-ID and CSeq make the request.
fn request_hash(message: &Message<'_>) -> u64 {
    let cseq = message.cseq.and_then(CSeq::parse);
    let number = cseq.map_or(0, |cseq| cseq.number).to_le_bytes();
    let method = cseq.map_or("", |cseq| cseq.method);
    hash(&[
        from_tag(message).unwrap_or_default().as_bytes(),
        message.call_id.unwrap_or_default(),
        &number,
        method.as_bytes(),
    ])
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}
