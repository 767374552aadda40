//! The non-INVITE client transactions of RFC 3261 §17.1.2. A request ends by its final response, by
//! Timer F, or with the connection; a provisional response changes nothing (§17.1.2.2).
//!
//! WebSocket is a reliable transport, so two timers of the RFC are absent on purpose: E, which
//! retransmits, and K, which is zero. A second final response matches no request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::sip::digest::Rounds;
use crate::sip::headers::{CSeq, last_param, via_branch};
use crate::sip::output::FrameOwner;
use crate::sip::parse::Message;
use crate::sip::unhashed::RandomMap;
use crate::sip::{StatusCode, write};

/// RFC 3261 §8.1.1.7: what a branch begins with.
const MAGIC_COOKIE: &[u8; 7] = b"z9hG4bK";

/// A request without what a connection adds to it: Via, Route, credentials, CSeq and
/// Content-Length are written by the [`UserAgent`](crate::sip::UserAgent).
#[derive(Clone, Debug)]
pub struct OutgoingRequest {
    /// `MESSAGE`.
    pub method: &'static str,
    /// The Request-URI, as it goes on the wire.
    pub uri: Arc<str>,
    /// The same in every attempt at one message.
    pub call_id: String,
    /// The tag of From, which responses repeat.
    pub from_tag: String,
    /// The first CSeq number; each answered challenge takes the next.
    pub cseq: u32,
    /// Every other header, as complete lines with their ends. Checked by the caller: one line to a
    /// header, and none that this user agent writes.
    pub head: Vec<u8>,
    /// As many bytes as Content-Length will say.
    pub body: Bytes,
    /// The body to send once, within the same attempt, if the peer does not understand the body.
    pub fallback: Option<Box<FallbackBody>>,
}

/// Another body of a request, for a peer that answers 415 or 488 to the first one.
#[derive(Clone, Debug)]
pub struct FallbackBody {
    /// In place of [`OutgoingRequest::head`].
    pub head: Vec<u8>,
    /// In place of [`OutgoingRequest::body`].
    pub body: Bytes,
}

impl OutgoingRequest {
    /// Takes the other body in place of the first one; false when there is none.
    pub(super) fn fall_back(&mut self) -> bool {
        let Some(fallback) = self.fallback.take() else {
            return false;
        };
        self.head = fallback.head;
        self.body = fallback.body;
        true
    }
}

/// What names a transaction on the wire: 64 random bits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Branch(pub u64);

/// A request on its way.
#[derive(Debug)]
pub(super) struct Exchange {
    pub purpose: Purpose,
    pub cseq: u32,
    pub rounds: Rounds,
    /// Whether it has its other body.
    pub has_fallen_back: bool,
    pub request: Box<OutgoingRequest>,
}

/// The request that a response belongs to.
#[derive(Debug)]
pub(super) struct Matched {
    pub purpose: Purpose,
    /// Itself, when the response ends it.
    pub ended: Option<Exchange>,
}

/// Why a request was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Register,
    Leave,
    /// To send a message, with the caller's key.
    Message(u64),
}

impl Purpose {
    pub(super) fn owner(self) -> FrameOwner {
        match self {
            Self::Register | Self::Leave => FrameOwner::Registration,
            Self::Message(key) => FrameOwner::Sent(key),
        }
    }
}

/// All requests on their way.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    by_branch: RandomMap<Branch, Exchange>,
    /// Timer F of each, in the order in which they fire: it is the same for all.
    timers: VecDeque<(Instant, Branch)>,
}

impl Exchanges {
    /// Adds a request under a branch that is not taken, with its Timer F.
    pub(super) fn insert(&mut self, branch: Branch, exchange: Exchange, timer_f: Instant) {
        self.timers.push_back((timer_f, branch));
        self.by_branch.insert(branch, exchange);
    }

    /// Takes a response; the request that it ends is removed.
    pub(super) fn handle_response(
        &mut self,
        status: StatusCode,
        message: &Message<'_>,
    ) -> Option<Matched> {
        let branch = self.find(message)?;
        let purpose = self.by_branch.get(&branch)?.purpose;
        if status.is_provisional() {
            let ended = None;
            return Some(Matched { purpose, ended });
        }
        let ended = self.by_branch.remove(&branch);
        self.forget_timers();
        Some(Matched { purpose, ended })
    }

    /// A request whose Timer F has fired by `now`. Ask until there is none.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Exchange> {
        self.forget_timers();
        let &(at, branch) = self.timers.front()?;
        if at > now {
            return None;
        }
        self.timers.pop_front();
        self.by_branch.remove(&branch)
    }

    /// The connection is gone: every request, in the order in which they were written.
    pub(super) fn handle_disconnect(&mut self) -> Vec<Exchange> {
        let branches = std::mem::take(&mut self.timers);
        let exchanges = branches
            .into_iter()
            .filter_map(|(_, branch)| self.by_branch.remove(&branch));
        exchanges.collect()
    }

    /// When [`Self::handle_timeout`] next has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.front().map(|(at, _)| *at)
    }

    pub(super) fn is_taken(&self, branch: Branch) -> bool {
        self.by_branch.contains_key(&branch)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Exchange> {
        self.by_branch.values()
    }

    /// The request of a response: the branch says so (RFC 3261 §17.1.3), and because a peer may mix
    /// up branches, the method, Call-ID, CSeq number and From tag must agree. Nothing else of the
    /// response needs to be readable.
    fn find(&self, message: &Message<'_>) -> Option<Branch> {
        let branch = Branch::read(via_branch(message.via?)?)?;
        let exchange = self.by_branch.get(&branch)?;
        let cseq = CSeq::parse(message.cseq?)?;
        let is_ours = cseq.number == exchange.cseq
            && cseq.method == exchange.request.method
            && message.call_id? == exchange.request.call_id.as_bytes()
            && last_param(message.from?, "tag")? == exchange.request.from_tag.as_bytes();
        is_ours.then_some(branch)
    }

    /// Forgets timers of requests that are over, so that the first one is always of a live one, an
    /// idle user agent has no deadline, and one silent peer does not make the queue grow with what
    /// the others answer.
    fn forget_timers(&mut self) {
        if self.timers.len() > 64 + 2 * self.by_branch.len() {
            self.timers
                .retain(|(_, branch)| self.by_branch.contains_key(branch));
        }
        while let Some((_, branch)) = self.timers.front()
            && !self.by_branch.contains_key(branch)
        {
            self.timers.pop_front();
        }
    }
}

impl Branch {
    /// Appends it as it stands in Via.
    pub(super) fn write(self, frame: &mut Vec<u8>) {
        frame.extend_from_slice(MAGIC_COOKIE);
        frame.extend_from_slice(&write::hex64(self.0));
    }

    /// Tokens are compared without regard to case (RFC 3261 §7.3.1), and some peers write branches
    /// in capitals.
    fn read(text: &[u8]) -> Option<Self> {
        let (cookie, digits) = text.split_at_checked(MAGIC_COOKIE.len())?;
        if !cookie.eq_ignore_ascii_case(MAGIC_COOKIE) {
            return None;
        }
        let digits = std::str::from_utf8(digits).ok()?;
        let are_ours = digits.len() == 16 && !digits.starts_with('+');
        are_ours.then(|| u64::from_str_radix(digits, 16).ok().map(Self))?
    }
}

/// Whether a response says that the peer does not understand the body (RFC 3261 §21.4.13,
/// §21.4.26).
pub(super) fn is_not_understood(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::NOT_ACCEPTABLE_HERE
    )
}
