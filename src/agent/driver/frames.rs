//! The frames of an agent: held with their messages, shown to readers, sent to a HEP server.
//!
//! | a frame of                 | is held until                     | and then kept                     |
//! |----------------------------|-----------------------------------|-----------------------------------|
//! | a message                  | its attempt ends                  | as the dispatcher says            |
//! | a message that came in     | the store has it and it is answered | with `all`; with `failed` when the sender was not told |
//! | a receipt                  | –                                 | –                                 |
//! | a registration, any other  | –                                 | –                                 |
//!
//! A response that says that a message succeeded is not even held with `failed`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;

use crate::agent::arrival::InboundAnswer;
use crate::agent::handle::TracedFrames;
use crate::clock::Clock;
use crate::message::{Direction, MessageId};
use crate::sip::FrameOwner;
use crate::trace::{
    FrameSource, HeldFrames, Keep, NotKept, RawFrame, Recorder, SocketAddresses, Tap,
};

/// Messages that came in and whose frames are held, at most.
const MAX_REQUESTS: usize = 4_096;

pub(super) struct AgentFrames {
    recorder: Arc<Recorder>,
    tap: Arc<Tap>,
    source: Arc<FrameSource>,
    clock: Clock,
    /// Of the connection.
    ends: Option<SocketAddresses>,
    /// By the key of the attempt.
    jobs: HashMap<u64, (MessageId, HeldFrames)>,
    /// By the number of the request.
    requests: BTreeMap<u64, TracedRequest>,
    /// Requests of this turn, whose messages have no name yet.
    unnamed: Vec<(u64, RawFrame)>,
    /// What the dispatcher is yet to be handed.
    traced: Vec<TracedFrames>,
}

/// A message that came in.
struct TracedRequest {
    message: MessageId,
    frames: HeldFrames,
    /// Whether its frames are kept once its response has passed; `None` before it is answered.
    is_kept: Option<bool>,
}

impl AgentFrames {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        agent: &Arc<str>,
        hidden_headers: Arc<[Box<str>]>,
        clock: Clock,
    ) -> Self {
        let source = FrameSource {
            agent: agent.clone(),
            hidden_headers,
        };
        Self {
            tap: recorder.tap(agent),
            recorder,
            source: Arc::new(source),
            clock,
            ends: None,
            jobs: HashMap::new(),
            requests: BTreeMap::new(),
            unnamed: Vec::new(),
            traced: Vec::new(),
        }
    }

    /// The connection is another one.
    pub(super) fn connected(&mut self, ends: Option<SocketAddresses>) {
        self.ends = ends;
    }

    /// An attempt at this message begins.
    pub(super) fn begin(&mut self, key: u64, message: MessageId) {
        if self.recorder.keep() != Keep::Off || self.recorder.sends() {
            self.jobs.insert(key, (message, self.recorder.hold()));
        }
    }

    /// A frame of the user agent goes out.
    pub(super) fn sent(&mut self, owner: FrameOwner, bytes: &Bytes) {
        if let Some(ends) = self.wants(owner, bytes) {
            let frame = self.frame(Direction::Sent, ends, bytes.clone());
            self.pass(owner, frame);
        }
    }

    /// A frame came in.
    pub(super) fn received(&mut self, owner: FrameOwner, bytes: &[u8]) {
        if let Some(ends) = self.wants(owner, bytes) {
            // A reference would keep the buffer that it was read into.
            let bytes = Bytes::copy_from_slice(bytes);
            let frame = self.frame(Direction::Received, ends, bytes);
            self.pass(owner, frame);
        }
    }

    /// The connection, when a frame is of interest to anything.
    fn wants(&self, owner: FrameOwner, bytes: &[u8]) -> Option<SocketAddresses> {
        let is_held = match (owner, self.recorder.keep()) {
            (_, Keep::Off) | (FrameOwner::Registration | FrameOwner::Other, _) => false,
            (FrameOwner::Sent(_), Keep::Failed) => !bytes.starts_with(b"SIP/2.0 2"),
            (FrameOwner::Sent(_), Keep::All) => true,
            (FrameOwner::Received(_), Keep::Failed | Keep::All) => true,
        };
        // Line ends alone keep a connection alive, and are no message.
        let is_message = bytes.len() > b"\r\n\r\n".len();
        let is_wanted = is_message && (is_held || self.recorder.sends() || self.tap.is_read());
        self.ends.filter(|_| is_wanted)
    }

    fn frame(&self, direction: Direction, ends: SocketAddresses, bytes: Bytes) -> RawFrame {
        let since_epoch = self.clock.exact().duration_since(UNIX_EPOCH);
        let micros = since_epoch.unwrap_or_default().as_micros();
        RawFrame {
            micros: i64::try_from(micros).unwrap_or(i64::MAX),
            direction,
            source: self.source.clone(),
            ends,
            bytes,
        }
    }

    fn pass(&mut self, owner: FrameOwner, frame: RawFrame) {
        if self.tap.is_read() {
            self.tap.show(frame.clone());
        }
        match (owner, frame.direction) {
            (FrameOwner::Sent(key), _) => {
                let job = self.jobs.get_mut(&key);
                let message = job.as_ref().map(|(message, _)| *message);
                self.recorder.send(&frame, message);
                if let Some((_, held)) = job {
                    hold(&self.recorder, held, frame);
                }
            }
            (FrameOwner::Received(number), Direction::Received) => {
                self.unnamed.push((number, frame));
            }
            (FrameOwner::Received(number), Direction::Sent) => self.responded(number, frame),
            (FrameOwner::Registration | FrameOwner::Other, _) => self.recorder.send(&frame, None),
        }
    }

    /// A request is this message, or a receipt for it.
    pub(super) fn named(&mut self, number: u64, message: MessageId, is_receipt: bool) {
        let mut unnamed = self.unnamed.iter();
        let Some(at) = unnamed.position(|(other, _)| *other == number) else {
            return;
        };
        let (_, frame) = self.unnamed.swap_remove(at);
        self.recorder.send(&frame, Some(message));
        let mut frames = self.recorder.hold();
        if !is_receipt {
            hold(&self.recorder, &mut frames, frame);
        }
        let request = TracedRequest {
            message,
            frames,
            is_kept: is_receipt.then_some(false),
        };
        self.requests.insert(number, request);
        if self.requests.len() > MAX_REQUESTS
            && let Some((_, oldest)) = self.requests.pop_first()
        {
            let left_out = oldest.frames.frames().len();
            self.recorder.not_kept(NotKept::Memory, left_out);
        }
    }

    /// A request is nothing that is handed over.
    pub(super) fn not_named(&mut self, number: u64) {
        let named = self.unnamed.extract_if(.., |(other, _)| *other == number);
        named.for_each(|(_, frame)| self.recorder.send(&frame, None));
    }

    /// A request is answered so. `is_sent` when the response is on its way: it passes next.
    pub(super) fn answered(&mut self, number: u64, answer: InboundAnswer, is_sent: bool) {
        let is_kept = match (answer, self.recorder.keep()) {
            (InboundAnswer::Taken, Keep::All) => true,
            // The message is there, and its sender does not know.
            (InboundAnswer::Taken, Keep::Failed) => !is_sent,
            (_, Keep::Off | Keep::Failed | Keep::All) => false,
        };
        if is_sent {
            if let Some(request) = self.requests.get_mut(&number) {
                request.is_kept = Some(is_kept && request.is_kept.unwrap_or(true));
            }
        } else if let Some(request) = self.requests.remove(&number) {
            self.end(request, is_kept);
        }
    }

    /// The response to a request passes.
    fn responded(&mut self, number: u64, frame: RawFrame) {
        let request = self.requests.get_mut(&number);
        let message = request.as_ref().map(|request| request.message);
        self.recorder.send(&frame, message);
        let Some(request) = request else {
            return;
        };
        hold(&self.recorder, &mut request.frames, frame);
        if let Some(is_kept) = request.is_kept
            && let Some(request) = self.requests.remove(&number)
        {
            self.end(request, is_kept);
        }
    }

    fn end(&mut self, request: TracedRequest, is_kept: bool) {
        if is_kept && !request.frames.is_empty() {
            let (message, frames) = (request.message, request.frames);
            self.traced.push(TracedFrames::OfReceived(message, frames));
        }
    }

    /// An attempt ended.
    pub(super) fn ended(&mut self, key: u64, is_success: bool) {
        let Some((message, frames)) = self.jobs.remove(&key) else {
            return;
        };
        let is_of_interest = match self.recorder.keep() {
            Keep::Off => false,
            Keep::Failed => !is_success,
            Keep::All => true,
        };
        if is_of_interest && !frames.is_empty() {
            self.traced.push(TracedFrames::OfAttempt(message, frames));
        }
    }

    /// What the dispatcher is to be handed now.
    pub(super) fn take_traced(&mut self) -> Option<Vec<TracedFrames>> {
        (!self.traced.is_empty()).then(|| std::mem::take(&mut self.traced))
    }
}

fn hold(recorder: &Recorder, held: &mut HeldFrames, frame: RawFrame) {
    if recorder.keep() != Keep::Off && !held.push(frame) {
        recorder.not_kept(NotKept::Memory, 1);
    }
}
