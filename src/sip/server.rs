//! The server transactions of RFC 3261 §17.2.2, on a reliable transport.
//!
//! | in        | the request again     | answered  | out of time                       |
//! |-----------|-----------------------|-----------|-----------------------------------|
//! | Trying    | nothing               | Completed | Completed, with 500               |
//! | Completed | the same answer again | –         | forgotten                         |
//!
//! Timer J is zero on reliable transports; answers are kept for 64 × T1 all the same, because a
//! proxy on the way may repeat a request, and a message is taken once. How many are kept is
//! bounded: the oldest answer makes room, and while every place is taken by a request that waits
//! for its answer, a new one is told to come back later.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::headers::CSeq;
use super::parse::Message;
use super::respond::{Answer, Decision, Received};
use super::user_agent::Settings;
use super::{StatusCode, respond};

/// How long an answer is kept for a retransmission.
const KEPT: Duration = Duration::from_secs(32);

/// How long whoever takes messages may think about one. Shorter than the client's Timer F by far,
/// so that the client hears of it (RFC 4320 §1.2).
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests remembered at most.
const MAX_KEPT: usize = 64;

/// Requests that came in lately.
#[derive(Debug, Default)]
pub(super) struct ServerTransactions {
    kept: VecDeque<Kept>,
    /// Of the next request that is handed over.
    next_id: u64,
}

#[derive(Debug)]
struct Kept {
    id: u64,
    /// Of the topmost Via and the method with what names the request: the transaction.
    transaction: u64,
    /// Of From tag, Call-ID and CSeq: the request, whichever way it came (RFC 3261 §8.2.2.2).
    request: u64,
    state: State,
    until: Instant,
}

#[derive(Debug)]
enum State {
    /// Handed over; with the lines that its answer repeats.
    Trying(Vec<u8>),
    /// With the frame that answered it.
    Completed(Vec<u8>),
}

/// Why an answer was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// It was answered before, or it waited for too long and was answered with 500.
    #[error("the request was answered already")]
    Answered,
    /// RFC 4320 §4.1 leaves no use for a provisional answer on a reliable transport.
    #[error("an answer is final")]
    Provisional,
}

/// What a request leads to.
#[derive(Debug)]
pub(super) enum Reaction {
    /// Nothing is written.
    None,
    /// This frame is written.
    Transmit(Vec<u8>),
    /// Somebody is asked.
    Ask(Received),
}

impl ServerTransactions {
    /// When [`Self::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.kept.iter().map(|kept| kept.until).min()
    }

    /// Forgets what is old; the frames that say 500 for what nobody answered in time.
    pub(super) fn handle_timeout(&mut self, now: Instant, settings: &Settings) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for kept in &mut self.kept {
            if kept.until <= now && matches!(kept.state, State::Trying(_)) {
                let answer = Answer::of(StatusCode::SERVER_INTERNAL_ERROR);
                frames.extend(kept.complete(now, &answer, settings));
            }
        }
        self.kept.retain(|kept| kept.until > now);
        frames
    }

    /// The connection is gone, and with it whoever might repeat a request or wait for an answer.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// Answers a request that was handed over.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        id: u64,
        answer: &Answer,
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

    /// Takes a request.
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        method: &str,
        uri: &str,
        message: &Message<'_>,
        settings: &Settings,
        rng: &mut StdRng,
    ) -> Reaction {
        // Nobody waits for an answer to an ACK (RFC 3261 §17), and without these two there is
        // nobody to tell (§18.2.2) and nothing to tell it by (§8.2.6.2).
        let (Some(via), Some(cseq)) = (message.via, message.cseq) else {
            return Reaction::None;
        };
        if method == "ACK" {
            return Reaction::None;
        }
        let request = request_hash(message);
        let transaction = hash(&[via, method.as_bytes(), cseq, &request.to_le_bytes()]);
        if let Some(known) = self
            .kept
            .iter()
            .find(|kept| kept.transaction == transaction)
        {
            return match &known.state {
                State::Trying(_) => Reaction::None,
                State::Completed(frame) => Reaction::Transmit(frame.clone()),
            };
        }
        let is_merged = self.kept.iter().any(|kept| kept.request == request);
        let repeated = respond::repeated(message, rng.random());
        if !self.makes_room() {
            let answer = Answer::of(StatusCode::SERVICE_UNAVAILABLE).with("Retry-After", "10");
            return Reaction::Transmit(answer.frame(&repeated, settings));
        }
        let id = self.next_id;
        self.next_id += 1;
        let mut keep = |state, until| {
            self.kept.push_back(Kept {
                id,
                transaction,
                request,
                state,
                until,
            });
        };
        match respond::decide(method, uri, message, is_merged, settings) {
            Decision::Answer(answer) => {
                let frame = answer.frame(&repeated, settings);
                keep(State::Completed(frame.clone()), now + KEPT);
                Reaction::Transmit(frame)
            }
            Decision::Ask => {
                keep(State::Trying(repeated), now + PATIENCE);
                Reaction::Ask(Received::of(id, uri, message))
            }
        }
    }

    /// Whether there is room for one more, after the oldest answer made way if need be.
    fn makes_room(&mut self) -> bool {
        if self.kept.len() < MAX_KEPT {
            return true;
        }
        let oldest = self
            .kept
            .iter()
            .position(|kept| matches!(kept.state, State::Completed(_)));
        oldest.and_then(|at| self.kept.remove(at)).is_some()
    }
}

impl Kept {
    /// The frame of the answer, unless there was one before.
    fn complete(&mut self, now: Instant, answer: &Answer, settings: &Settings) -> Option<Vec<u8>> {
        let State::Trying(repeated) = &self.state else {
            return None;
        };
        let frame = answer.frame(repeated, settings);
        self.state = State::Completed(frame.clone());
        self.until = now + KEPT;
        Some(frame)
    }
}

/// RFC 3261 §8.2.2.2: From tag, Call-ID and CSeq make the request.
fn request_hash(message: &Message<'_>) -> u64 {
    let cseq = message.cseq.and_then(CSeq::parse);
    let number = cseq.map_or(0, |cseq| cseq.number).to_le_bytes();
    let method = cseq.map_or("", |cseq| cseq.method);
    hash(&[
        respond::from_tag(message).unwrap_or_default().as_bytes(),
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
