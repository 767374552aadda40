//! Requests that are on their way to somebody, and answers that take their time.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::sip::StatusCode;
use crate::sip::headers::Via;
use crate::sip::parse::Message;

use super::location::Binding;
use super::request::{Reply, Request};
use super::server::{Outbox, Outgoing};
use super::write::Passage;
use super::{ConnectionId, write};

/// RFC 3261 §8.1.1.7, and what makes our branches ours.
const BRANCH: &str = "z9hG4bK-sandbox-";

/// The transactions of the proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    /// By the number in our branch.
    pending: HashMap<u64, Pending>,
    /// What is due when; the second number only tells apart what is due at the same time.
    due: BTreeMap<(Instant, u64), Due>,
    next_due: u64,
    max_pending: usize,
    answer_within: Duration,
}

/// A request that was forwarded.
#[derive(Debug)]
struct Pending {
    origin: ConnectionId,
    target: ConnectionId,
    /// For an answer of our own.
    reply_lines: Vec<u8>,
    due: (Instant, u64),
}

#[derive(Debug)]
enum Due {
    /// The answer of a user who thinks about it.
    Answer {
        origin: ConnectionId,
        frame: Vec<u8>,
    },
    /// Nobody answered.
    Timeout(u64),
}

impl Proxy {
    pub(super) fn new(max_pending: usize, answer_within: Duration) -> Self {
        Self {
            pending: HashMap::new(),
            due: BTreeMap::new(),
            next_due: 0,
            max_pending,
            answer_within,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            match entry.remove() {
                Due::Answer { origin, frame } => out.push((origin, Outgoing::Frame(frame))),
                Due::Timeout(branch) => self.give_up(branch, StatusCode::REQUEST_TIMEOUT, out),
            }
        }
    }

    /// The target is gone, so nobody will answer; or the origin is, so nobody waits.
    pub(super) fn handle_closed(&mut self, connection: ConnectionId, out: &mut Outbox) {
        let of = |pending: &Pending| connection == pending.target || connection == pending.origin;
        let gone = self.pending.iter().filter(|(_, pending)| of(pending));
        let gone: Vec<u64> = gone.map(|(branch, _)| *branch).collect();
        for branch in gone {
            self.give_up(branch, StatusCode::TEMPORARILY_UNAVAILABLE, out);
        }
    }

    /// Passes a request on to a binding.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another part of one decision"
    )]
    pub(super) fn forward(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        binding: &Binding,
        domain: &str,
        max_forwards: u32,
        branch: u64,
        out: &mut Outbox,
    ) -> Result<(), Reply> {
        self.check_room()?;
        let passage = Passage {
            target: &binding.contact,
            branch: &format!("{BRANCH}{branch:016x}"),
            domain,
            max_forwards,
            peer: request.peer,
        };
        let frame = passage.request(request.method, request.message);
        let due = self.schedule(now + self.answer_within, Due::Timeout(branch));
        let pending = Pending {
            origin: request.connection,
            target: binding.connection,
            reply_lines: request.reply_lines.clone(),
            due,
        };
        self.pending.insert(branch, pending);
        out.push((binding.connection, Outgoing::Frame(frame)));
        Ok(())
    }

    /// Answers at `at`.
    pub(super) fn answer_later(
        &mut self,
        at: Instant,
        request: &Request<'_>,
        (status, headers): Reply,
    ) -> Result<(), Reply> {
        self.check_room()?;
        let frame = write::response(status, &request.reply_lines, &headers);
        let origin = request.connection;
        self.schedule(at, Due::Answer { origin, frame });
        Ok(())
    }

    /// Passes a response back to where its request came from, if it is one to a request of ours
    /// and comes from whom that was sent to.
    pub(super) fn handle_response(
        &mut self,
        connection: ConnectionId,
        status: StatusCode,
        response: &Message<'_>,
        out: &mut Outbox,
    ) {
        let branch = response
            .via
            .and_then(Via::parse)
            .and_then(|via| via.branch?.strip_prefix(BRANCH))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let Some(branch) = branch else { return };
        let Some(pending) = self.pending.get(&branch) else {
            return;
        };
        if pending.target != connection {
            return;
        }
        if let Some(frame) = write::response_without_via(response) {
            out.push((pending.origin, Outgoing::Frame(frame)));
        }
        if !status.is_provisional() {
            self.forget(branch);
        }
    }

    fn give_up(&mut self, branch: u64, status: StatusCode, out: &mut Outbox) {
        if let Some(pending) = self.forget(branch) {
            let frame = write::response(status, &pending.reply_lines, b"");
            out.push((pending.origin, Outgoing::Frame(frame)));
        }
    }

    fn forget(&mut self, branch: u64) -> Option<Pending> {
        let pending = self.pending.remove(&branch)?;
        self.due.remove(&pending.due);
        Some(pending)
    }

    fn schedule(&mut self, at: Instant, due: Due) -> (Instant, u64) {
        let key = (at, self.next_due);
        self.next_due += 1;
        self.due.insert(key, due);
        key
    }

    fn check_room(&self) -> Result<(), Reply> {
        match self.due.len() < self.max_pending {
            true => Ok(()),
            false => Err((
                StatusCode::SERVICE_UNAVAILABLE,
                b"Retry-After: 1\r\n".to_vec(),
            )),
        }
    }
}
