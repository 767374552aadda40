//! The server transactions of RFC 3261 §17.2.2, on a reliable transport.
//!
//! | in        | the request again     | answered  | out of time                       |
//! |-----------|-----------------------|-----------|-----------------------------------|
//! | Trying    | nothing               | Completed | Completed, with 500               |
//! | Completed | the same answer again | –         | forgotten                         |
//!
//! Timer J is zero on reliable transports; answers are kept for 64 × T1 all the same, because a
//! proxy on the way may repeat a request, and a message is taken once. The answers are bounded by
//! number and by bytes: the oldest answers make room; while requests that wait for their answers
//! fill it, a new request is answered 500 with Retry-After and not remembered. Never 503: a proxy
//! then takes the whole flow out of service (§21.5.4).

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::headers::CSeq;
use super::output::{Event, FrameOwner, IncomingRequest, NotTaken, Output};
use super::parse::Message;
use super::respond::{OutgoingResponse, RequestDecision, from_tag, respond};
use super::settings::Settings;
use super::unhashed::RandomMap;
use super::{StatusCode, write};

/// How long a response is kept for a retransmission.
const KEEP_RESPONSE: Duration = Duration::from_secs(32);

/// How long a MESSAGE may wait for its response. Far shorter than the client's Timer F, so that the
/// client gets one (RFC 4320 §1.2).
const RESPOND_WITHIN: Duration = Duration::from_secs(10);

/// Requests remembered at most.
const MAX_KEPT: usize = 4_096;

/// Bytes remembered at most, with those of requests that were handed over and wait for their
/// answers. One request may have more than all of it.
const MAX_BYTES: usize = 4 << 20;

/// What a request takes beside its lines.
const ENTRY: usize = 256;

/// Seconds after which there may be room again.
const RETRY_AFTER: &str = "5";

/// Requests that came in lately.
#[derive(Debug)]
pub(super) struct ServerTransactions {
    /// Begins every hash, so that no peer can make two requests meet.
    salt: u64,
    /// Of the next request that is handed over. No number comes twice, over all connections.
    next_id: u64,
    /// By the hash of the transaction.
    kept: RandomMap<u64, ServerTransaction>,
    /// How often each request came that is kept, by the hash of the request.
    requests: RandomMap<u64, u32>,
    /// The transaction of each request that waits for its answer.
    trying: RandomMap<u64, u64>,
    /// When those are out of time, the oldest first; some are answered already.
    trying_until: VecDeque<(Instant, u64)>,
    /// When the answered transactions are forgotten, the oldest first.
    completed_until: VecDeque<(Instant, u64)>,
    /// Of all that is kept.
    bytes: usize,
}

#[derive(Debug)]
struct ServerTransaction {
    /// Of From tag, Call-ID and CSeq: the request, whichever way it came (RFC 3261 §8.2.2.2).
    request: u64,
    state: ServerState,
    bytes: usize,
}

/// The hashes that a request is known by.
#[derive(Clone, Copy, Debug)]
struct TransactionNames {
    /// Of the topmost Via and the method with what names the request.
    transaction: u64,
    request: u64,
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
    /// It was answered before, or it waited for too long and was answered with 500, or the
    /// connection is gone.
    #[error("the request was answered already")]
    Answered,
    /// A provisional response has no use on a reliable transport (RFC 4320 §4.1).
    #[error("an answer is final")]
    Provisional,
}

impl ServerTransactions {
    /// None. The salt is random.
    pub(super) fn new(salt: u64) -> Self {
        Self {
            salt,
            next_id: 0,
            kept: RandomMap::default(),
            requests: RandomMap::default(),
            trying: RandomMap::default(),
            trying_until: VecDeque::new(),
            completed_until: VecDeque::new(),
            bytes: 0,
        }
    }

    /// How many requests wait for their answers.
    pub(super) fn unanswered(&self) -> usize {
        self.trying.len()
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let fronts = [self.trying_until.front(), self.completed_until.front()];
        fronts.into_iter().flatten().map(|(until, _)| *until).min()
    }

    /// Forgets old requests; answers those with 500 that were not answered in time.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        settings: &Settings,
        outputs: &mut VecDeque<Output>,
    ) {
        while let Some(&(until, id)) = self.trying_until.front()
            && until <= now
        {
            self.trying_until.pop_front();
            let response = OutgoingResponse::of(StatusCode::SERVER_INTERNAL_ERROR);
            if let Ok(frame) = self.answer(now, id, &response, settings) {
                outputs.push_back(Output::Transmit(frame, FrameOwner::Received(id)));
                outputs.push_back(Output::Event(Event::NotTaken(NotTaken::Unanswered)));
            }
        }
        self.forget_answered();
        while let Some(&(until, _)) = self.completed_until.front()
            && until <= now
        {
            self.forget_oldest();
        }
    }

    /// The connection is gone, and with it every peer that may repeat a request.
    pub(super) fn clear(&mut self) {
        let next_id = self.next_id;
        *self = Self {
            next_id,
            ..Self::new(self.salt)
        };
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
        let transaction = self.trying.remove(&id).ok_or(AnswerError::Answered)?;
        self.forget_answered();
        let kept = self.kept.get_mut(&transaction);
        let kept = kept.ok_or(AnswerError::Answered)?;
        let frame = match &kept.state {
            ServerState::Trying(repeated) => answer.frame(repeated, settings),
            ServerState::Completed(_) => return Err(AnswerError::Answered),
        };
        self.bytes -= kept.bytes;
        kept.bytes = ENTRY + frame.len();
        self.bytes += kept.bytes;
        kept.state = ServerState::Completed(frame.clone());
        self.completed_until
            .push_back((now + KEEP_RESPONSE, transaction));
        Ok(frame)
    }

    /// Takes a request: the response, or the event that asks for one. What its frame belongs to.
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        (method, uri): (&str, &str),
        message: &Message<'_>,
        settings: &Settings,
        rng: &mut StdRng,
        outputs: &mut VecDeque<Output>,
    ) -> FrameOwner {
        // An ACK is never answered (RFC 3261 §17); a request without these two cannot be: they say
        // where to (§18.2.2), and to what (§8.2.6.2).
        let (Some(via), Some(cseq), false) = (message.via, message.cseq, method == "ACK") else {
            return FrameOwner::Other;
        };
        let request = self.request_hash(message);
        let transaction = self.hash(&[via, method.as_bytes(), cseq, &request.to_le_bytes()]);
        if let Some(known) = self.kept.get(&transaction) {
            if let ServerState::Completed(frame) = &known.state {
                outputs.push_back(Output::Transmit(frame.clone(), FrameOwner::Other));
            }
            return FrameOwner::Other;
        }
        let is_merged = self.requests.contains_key(&request);
        let repeated = write::repeated(message, rng.random(), None);
        let names = TransactionNames {
            transaction,
            request,
        };
        match respond(method, uri, message, is_merged, settings) {
            RequestDecision::Respond(response, reason) => {
                let frame = response.frame(&repeated, settings);
                outputs.push_back(Output::Transmit(frame.clone(), FrameOwner::Other));
                outputs.extend(reason.map(Event::NotTaken).map(Output::Event));
                self.keep_answered(now, names, frame);
                FrameOwner::Other
            }
            RequestDecision::HandOver(envelope, content) => {
                let incoming = IncomingRequest {
                    id: self.next_id,
                    uri: uri.to_owned(),
                    headers: message.header_texts(),
                    envelope,
                    content,
                };
                let owner = FrameOwner::Received(incoming.id);
                match self.hand_over(now, names, incoming, repeated) {
                    Ok(event) => {
                        outputs.push_back(event);
                        owner
                    }
                    Err(repeated) => {
                        refuse_for_now(&repeated, settings, outputs);
                        FrameOwner::Other
                    }
                }
            }
        }
    }

    /// Remembers a request that is handed over; gives back the lines that its answer repeats when
    /// there is no room.
    fn hand_over(
        &mut self,
        now: Instant,
        names: TransactionNames,
        incoming: IncomingRequest,
        repeated: Vec<u8>,
    ) -> Result<Output, Vec<u8>> {
        let bytes = ENTRY + repeated.len() + incoming.size();
        if !self.make_room(bytes) && !self.trying.is_empty() {
            return Err(repeated);
        }
        let id = incoming.id;
        self.keep(names, ServerState::Trying(repeated), bytes);
        self.trying.insert(id, names.transaction);
        self.trying_until.push_back((now + RESPOND_WITHIN, id));
        self.next_id += 1;
        Ok(Output::Event(Event::Received(Box::new(incoming))))
    }

    /// Remembers a request that was answered at once, if there is room.
    fn keep_answered(&mut self, now: Instant, names: TransactionNames, frame: Vec<u8>) {
        let bytes = ENTRY + frame.len();
        if self.make_room(bytes) {
            self.keep(names, ServerState::Completed(frame), bytes);
            self.completed_until
                .push_back((now + KEEP_RESPONSE, names.transaction));
        }
    }

    fn keep(&mut self, names: TransactionNames, state: ServerState, bytes: usize) {
        self.bytes += bytes;
        *self.requests.entry(names.request).or_default() += 1;
        let kept = ServerTransaction {
            request: names.request,
            state,
            bytes,
        };
        self.kept.insert(names.transaction, kept);
    }

    /// Whether there is room for one more of so many bytes, after the oldest answers made way if
    /// need be.
    fn make_room(&mut self, bytes: usize) -> bool {
        loop {
            if self.kept.len() < MAX_KEPT && self.bytes + bytes <= MAX_BYTES {
                return true;
            }
            if !self.forget_oldest() {
                return false;
            }
        }
    }

    /// Forgets the transaction that was answered first; false when there is none.
    fn forget_oldest(&mut self) -> bool {
        let Some((_, transaction)) = self.completed_until.pop_front() else {
            return false;
        };
        if let Some(kept) = self.kept.remove(&transaction) {
            self.bytes -= kept.bytes;
            if let Some(count) = self.requests.get_mut(&kept.request) {
                *count -= 1;
                if *count == 0 {
                    self.requests.remove(&kept.request);
                }
            }
        }
        true
    }

    /// Forgets when requests would have been out of time that are answered, so that the first one
    /// waits, and one that waits long does not keep the others.
    fn forget_answered(&mut self) {
        if self.trying_until.len() > 64 + 2 * self.trying.len() {
            self.trying_until
                .retain(|(_, id)| self.trying.contains_key(id));
        }
        while let Some((_, id)) = self.trying_until.front()
            && !self.trying.contains_key(id)
        {
            self.trying_until.pop_front();
        }
    }

    /// RFC 3261 §8.2.2.2: From tag, Call-ID and CSeq make the request.
    fn request_hash(&self, message: &Message<'_>) -> u64 {
        let cseq = message.cseq.and_then(CSeq::parse);
        let number = cseq.map_or(0, |cseq| cseq.number).to_le_bytes();
        let method = cseq.map_or("", |cseq| cseq.method);
        self.hash(&[
            from_tag(message).unwrap_or_default().as_bytes(),
            message.call_id.unwrap_or_default(),
            &number,
            method.as_bytes(),
        ])
    }

    fn hash(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.salt.hash(&mut hasher);
        parts.hash(&mut hasher);
        hasher.finish()
    }
}

/// Answers a request that there is no room to remember.
fn refuse_for_now(repeated: &[u8], settings: &Settings, outputs: &mut VecDeque<Output>) {
    let busy = OutgoingResponse::of(StatusCode::SERVER_INTERNAL_ERROR);
    let frame = busy
        .with("Retry-After", RETRY_AFTER)
        .frame(repeated, settings);
    outputs.push_back(Output::Transmit(frame, FrameOwner::Other));
    outputs.push_back(Output::Event(Event::NotTaken(NotTaken::Overloaded)));
}
