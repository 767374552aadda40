//! Requests on their way to a registered user, and replies that wait for their time.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::sip::StatusCode;
use crate::sip::headers::{NameAddr, Via, find_outside};
use crate::sip::parse::{Message, StartLine};
use crate::sip::uri::Uri;
use crate::sip::write::{header, status_line, with_received};

use super::bindings::Binding;
use super::connection::{ConnectionId, Outbox, Outgoing};
use super::options::Reply;
use super::request::ServedRequest;

/// RFC 3261 §8.1.1.7, and what makes our branches ours.
const BRANCH: &str = "z9hG4bK-sandbox-";

/// What the sandbox calls itself in Server.
const SERVER: &str = concat!("sipost-sandbox/", env!("CARGO_PKG_VERSION"));

/// The transactions of the proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    /// By the number in our branch.
    pending: HashMap<u64, Pending>,
    /// Actions by their time; the second number tells those of the same time apart.
    due: BTreeMap<(Instant, u64), DueAction>,
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
enum DueAction {
    /// The reply of a slow user, or what a scripted one sends.
    Frame { to: ConnectionId, frame: Vec<u8> },
    /// The recipient has not answered.
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
                DueAction::Frame { to, frame } => out.push((to, Outgoing::Frame(frame))),
                DueAction::Timeout(branch) => {
                    self.give_up(branch, StatusCode::REQUEST_TIMEOUT, out);
                }
            }
        }
    }

    /// The target is gone and will not answer, or the origin is and does not wait.
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
        request: &ServedRequest<'_>,
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
        let due = self.schedule(now + self.answer_within, DueAction::Timeout(branch));
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

    pub(super) fn answer_later(
        &mut self,
        at: Instant,
        request: &ServedRequest<'_>,
        reply: &Reply,
    ) -> Result<(), Reply> {
        let frame = response(reply, &request.reply_lines);
        self.send_later(at, request.connection, frame)
    }

    /// Writes a frame at this time.
    pub(super) fn send_later(
        &mut self,
        at: Instant,
        to: ConnectionId,
        frame: Vec<u8>,
    ) -> Result<(), Reply> {
        self.check_room()?;
        self.schedule(at, DueAction::Frame { to, frame });
        Ok(())
    }

    /// Passes a response back to where its request came from, if it answers a request of ours and
    /// comes from the connection that this was sent on.
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
        if let Some(frame) = response_without_via(response) {
            out.push((pending.origin, Outgoing::Frame(frame)));
        }
        if !status.is_provisional() {
            self.forget(branch);
        }
    }

    fn give_up(&mut self, branch: u64, status: StatusCode, out: &mut Outbox) {
        if let Some(pending) = self.forget(branch) {
            let frame = response(&Reply::new(status), &pending.reply_lines);
            out.push((pending.origin, Outgoing::Frame(frame)));
        }
    }

    fn forget(&mut self, branch: u64) -> Option<Pending> {
        let pending = self.pending.remove(&branch)?;
        self.due.remove(&pending.due);
        Some(pending)
    }

    fn schedule(&mut self, at: Instant, due: DueAction) -> (Instant, u64) {
        let key = (at, self.next_due);
        self.next_due += 1;
        self.due.insert(key, due);
        key
    }

    fn check_room(&self) -> Result<(), Reply> {
        if self.due.len() < self.max_pending {
            return Ok(());
        }
        let overloaded = Reply::new(StatusCode::SERVICE_UNAVAILABLE);
        Err(overloaded.with("Retry-After: 1\r\n"))
    }
}

/// A response without a body (RFC 3261 §8.2.6).
pub(super) fn response(reply: &Reply, reply_lines: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128 + reply_lines.len() + reply.headers.len());
    status_line(&mut frame, reply.status);
    frame.extend_from_slice(reply_lines);
    frame.extend_from_slice(reply.headers.as_bytes());
    header(&mut frame, "Server", SERVER.as_bytes());
    frame.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    frame
}

/// What changes in a request that passes through (RFC 3261 §16.6).
struct Passage<'a> {
    target: &'a str,
    /// Of the Via that is added.
    branch: &'a str,
    /// Of the proxy: where its Via says it is, and whose Route and credentials are its own.
    domain: &'a str,
    /// Max-Forwards, after this hop.
    max_forwards: u32,
    /// Where the request came from.
    peer: IpAddr,
}

impl Passage<'_> {
    /// The request as it goes on.
    fn request(&self, method: &str, request: &Message<'_>) -> Vec<u8> {
        let Self {
            target,
            branch,
            domain,
            max_forwards,
            peer,
        } = self;
        let mut frame = Vec::with_capacity(1024 + request.body.len());
        frame.extend_from_slice(
            format!(
                "{method} {target} SIP/2.0\r\nVia: SIP/2.0/WS {domain};branch={branch}\r\n\
                 Max-Forwards: {max_forwards}\r\n"
            )
            .as_bytes(),
        );
        let (mut via, mut route) = (0, 0);
        for (name, value) in request.headers() {
            let is = |long: &str| name.eq_ignore_ascii_case(long.as_bytes());
            if is("Via") || is("v") {
                via += 1;
                if via == 1 {
                    header(&mut frame, "Via", &with_received(value, *peer));
                    continue;
                }
            }
            route += u32::from(is("Route"));
            let is_own_route = is("Route") && route == 1 && names(value, domain);
            // Ours were verified; the next proxy's are none of our business (RFC 3261 §22.3).
            let is_own_answer = is("Proxy-Authorization") && is_for_realm(value, domain);
            if !is("Max-Forwards") && !is_own_route && !is_own_answer {
                header(&mut frame, name, value);
            }
        }
        frame.extend_from_slice(b"\r\n");
        frame.extend_from_slice(request.body);
        frame
    }
}

/// A response on its way back, without the Via that brought it here (RFC 3261 §16.7 step 3).
fn response_without_via(response: &Message<'_>) -> Option<Vec<u8>> {
    let StartLine::Response { status, reason } = response.start else {
        return None;
    };
    let mut frame = Vec::with_capacity(1024 + response.body.len());
    frame.extend_from_slice(format!("SIP/2.0 {} ", status.as_u16()).as_bytes());
    frame.extend_from_slice(reason);
    frame.extend_from_slice(b"\r\n");
    let mut is_first = true;
    for (name, value) in response.headers() {
        let is_via = name.eq_ignore_ascii_case(b"Via") || name.eq_ignore_ascii_case(b"v");
        if is_via && std::mem::take(&mut is_first) {
            let text = std::str::from_utf8(value).ok()?;
            if let Some(comma) = find_outside(text, ',') {
                header(&mut frame, "Via", text[comma + 1..].trim().as_bytes());
            }
            continue;
        }
        header(&mut frame, name, value);
    }
    frame.extend_from_slice(b"\r\n");
    frame.extend_from_slice(response.body);
    Some(frame)
}

/// Whether the first address of a Route is at this domain.
fn names(route: &[u8], domain: &str) -> bool {
    let text = std::str::from_utf8(route).unwrap_or_default();
    let address = NameAddr::parse(text);
    address.is_some_and(|address| {
        find_outside(text, ',').is_none()
            && Uri::parse(address.uri).is_ok_and(|uri| uri.host() == domain)
    })
}

fn is_for_realm(value: &[u8], realm: &str) -> bool {
    let text = String::from_utf8_lossy(value);
    text.contains(&format!("realm=\"{realm}\""))
}
