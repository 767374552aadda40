//! The registrar and proxy itself, without sockets and without a clock: frames and time go in,
//! frames come out.
//!
//! A request is answered by the first line that fits:
//!
//! | request                                                     | answer                       |
//! |-------------------------------------------------------------|------------------------------|
//! | ACK, or one without Via, From, To, Call-ID or CSeq          | none                         |
//! | CSeq of another method, a body of another length            | 400                          |
//! | Request-URI unreadable / not sip or sips                    | 400 / 416                    |
//! | Max-Forwards 0                                              | 483                          |
//! | Require or Proxy-Require of an unknown extension            | 420 with Unsupported         |
//! | Request-URI of another domain                               | 404 with a Warning           |
//! | REGISTER with the right credentials                         | 200 with the bindings        |
//! | OPTIONS without a user                                      | 200                          |
//! | another method than MESSAGE and OPTIONS                     | 405 with Allow               |
//! | not signed by the user in From                              | 407, or 403                  |
//! | to a scripted user ([`Behaviour`])                          | as scripted                  |
//! | to a user who is registered                                 | that user's; 408 after a while |
//! | to a user who was registered                                | 480                          |
//! | to any other user                                           | 404                          |

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hashlink::LruCache;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::sip::digest::{Algorithm, Denial, Guard, Hash, Signed};
use crate::sip::headers::{CSeq, NameAddr};
use crate::sip::parse::{Message, ParseLimits, StartLine};
use crate::sip::uri::{AnyUri, Uri};
use crate::sip::{StatusCode, parse, write};

use super::bindings::Bindings;
use super::connection::{ConnectionId, MAX_FRAME, Outbox, Outgoing};
use super::options::{Behaviour, Options, ReceivedRequest, Reply, password_of};
use super::proxy::{Proxy, response};
use super::request::{ServedRequest, address, allow, check};
use super::scripted::{Destination, ScriptedMessage};

/// How often expired bindings are swept out.
const SWEEP: Duration = Duration::from_secs(30);

/// Users, and Call-IDs, that are remembered; the oldest make room.
const MAX_REMEMBERED: usize = 10_000;

pub(super) struct SipServer {
    options: Options,
    bindings: Bindings,
    rng: StdRng,
    /// Host names that are this server.
    hosts: Vec<String>,
    guard: Guard,
    proxy: Proxy,
    /// Users that were ever registered.
    seen: LruCache<String, ()>,
    /// Call-IDs that had their first answer.
    answered: LruCache<String, ()>,
    next_sweep: Instant,
}

impl SipServer {
    /// `hosts` are names of this server besides its domain.
    pub(super) fn new(options: Options, hosts: Vec<String>, mut rng: StdRng, now: Instant) -> Self {
        let algorithms = vec![Algorithm::SHA_256, Algorithm::MD5];
        let key = rng.random();
        let guard = Guard::new(
            &*options.domain,
            algorithms,
            options.nonce_lifetime,
            key,
            now,
        );
        let proxy = Proxy::new(options.max_pending, options.answer_within);
        Self {
            bindings: Bindings::new(&options),
            hosts,
            guard,
            proxy,
            seen: LruCache::new(MAX_REMEMBERED),
            answered: LruCache::new(MAX_REMEMBERED),
            next_sweep: now + SWEEP,
            options,
            rng,
        }
    }

    /// When [`Self::handle_timeout`] next has something to do.
    pub(super) fn deadline(&self) -> Instant {
        let proxy = self.proxy.deadline();
        proxy.map_or(self.next_sweep, |deadline| deadline.min(self.next_sweep))
    }

    /// Lets time pass until `now`.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        self.proxy.handle_timeout(now, out);
        if self.next_sweep <= now {
            self.bindings.sweep(now);
            self.next_sweep = now + SWEEP;
        }
    }

    /// A connection is gone.
    pub(super) fn handle_closed(&mut self, connection: ConnectionId, out: &mut Outbox) {
        self.bindings.disconnect(connection);
        self.proxy.handle_closed(connection, out);
    }

    /// Takes a frame of a connection.
    pub(super) fn handle_frame(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        peer: IpAddr,
        frame: &[u8],
        out: &mut Outbox,
    ) {
        // RFC 5626 §3.5.1.
        if frame == b"\r\n\r\n" {
            return out.push((connection, Outgoing::Frame(b"\r\n".to_vec())));
        }
        let limits = ParseLimits {
            frame: MAX_FRAME,
            ..ParseLimits::default()
        };
        let Ok(message) = parse::parse(frame, limits) else {
            tracing::trace!(connection, "a frame is no SIP message");
            return;
        };
        match message.start {
            StartLine::Response { status, .. } => {
                self.proxy
                    .handle_response(connection, status, &message, out);
            }
            StartLine::Request { method, uri } => {
                self.handle_request(now, connection, peer, method, uri, &message, frame, out);
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, used once"
    )]
    fn handle_request<'a>(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        peer: IpAddr,
        method: &'a str,
        uri: &'a str,
        message: &'a Message<'a>,
        frame: &[u8],
        out: &mut Outbox,
    ) {
        if method == "ACK" {
            return;
        }
        let tag = self.rng.random();
        let cseq = message.cseq.and_then(CSeq::parse);
        let has_from = message.from.is_some() && message.call_id.is_some();
        let has_to = NameAddr::read(message.to).is_some();
        let (Some(_), Some(cseq), true) = (message.via, cseq, has_from && has_to) else {
            return;
        };
        let reply_lines = write::repeated(message, tag, Some(peer));
        self.show(method, uri, frame);
        let status = match AnyUri::parse(uri) {
            Ok(AnyUri::Sip(read)) => {
                let request = ServedRequest {
                    connection,
                    peer,
                    method,
                    uri_text: uri,
                    uri: read,
                    cseq,
                    message,
                    reply_lines,
                };
                if let Err(reply) = self.serve(now, &request, out) {
                    let frame = response(&reply, &request.reply_lines);
                    out.push((connection, Outgoing::Frame(frame)));
                }
                return;
            }
            Ok(AnyUri::Other(_)) => StatusCode::UNSUPPORTED_URI_SCHEME,
            Err(_) => StatusCode::BAD_REQUEST,
        };
        let frame = response(&Reply::new(status), &reply_lines);
        out.push((connection, Outgoing::Frame(frame)));
    }

    /// Lets a test see what arrived.
    fn show(&self, method: &str, uri: &str, frame: &[u8]) {
        if let Some(received) = &self.options.received {
            // One that looks no more loses nothing.
            drop(received.send(ReceivedRequest {
                method: method.to_owned(),
                uri: uri.to_owned(),
                frame: frame.to_vec(),
            }));
        }
    }

    /// Serves a request: `Err` is an answer to be given at once, `Ok` that it is on its way.
    fn serve(
        &mut self,
        now: Instant,
        request: &ServedRequest<'_>,
        out: &mut Outbox,
    ) -> Result<(), Reply> {
        let max_forwards = check(request)?;
        if !self.is_ours(&request.uri) {
            let warning = format!(
                "Warning: 399 {domain} \"this sandbox serves {domain} only\"\r\n",
                domain = self.options.domain
            );
            return Err(Reply::new(StatusCode::NOT_FOUND).with(warning));
        }
        match (request.method, request.uri.user()) {
            ("REGISTER", _) => Err(self.register(now, request)?),
            ("OPTIONS", None) => Err(allow(StatusCode::OK)),
            ("MESSAGE" | "OPTIONS", Some(user)) => {
                self.check_sender(now, request)?;
                self.relay(now, request, user, max_forwards, out)
            }
            _ => Err(allow(StatusCode::METHOD_NOT_ALLOWED)),
        }
    }

    /// Serves a REGISTER: `Ok` is the 200.
    fn register(&mut self, now: Instant, request: &ServedRequest<'_>) -> Result<Reply, Reply> {
        let bad = || Reply::new(StatusCode::BAD_REQUEST);
        let record = address(request.message.to).ok_or_else(bad)?;
        let user = record.user().ok_or_else(bad)?;
        if !self.is_ours(&record) {
            return Err(Reply::new(StatusCode::NOT_FOUND));
        }
        let names = ("Authorization", "WWW-Authenticate");
        self.check_user(now, request, &record, names, StatusCode::UNAUTHORIZED)?;
        // A scripted user cannot be registered over.
        if self.options.users.contains_key(user) {
            return Err(Reply::new(StatusCode::FORBIDDEN));
        }
        let reply = self.bindings.register(now, request, user)?;
        self.seen.insert(user.to_owned(), ());
        Ok(reply)
    }

    fn relay(
        &mut self,
        now: Instant,
        request: &ServedRequest<'_>,
        user: &str,
        max_forwards: u32,
        out: &mut Outbox,
    ) -> Result<(), Reply> {
        if let Some(behaviour) = self.options.users.get(user) {
            let answer = match behaviour {
                Behaviour::Echoes => {
                    let echo = [ScriptedMessage::echo(request.message)];
                    return Err(self.send(now, user, request, &echo)?);
                }
                Behaviour::Reads => {
                    let receipts = ScriptedMessage::receipts(request.message);
                    return Err(self.send(now, user, request, &receipts)?);
                }
                Behaviour::Answers(answer) => answer,
                Behaviour::AnswersAtFirst(first, then) => {
                    let call_id = request.message.call_id.unwrap_or_default();
                    let call_id = String::from_utf8_lossy(call_id).into_owned();
                    if self.answered.insert(call_id, ()).is_none() {
                        first
                    } else {
                        then
                    }
                }
                Behaviour::Silent => return Ok(()),
                Behaviour::Cuts => {
                    out.push((request.connection, Outgoing::Cut));
                    return Ok(());
                }
            };
            if answer.after.is_zero() {
                return Err(answer.clone());
            }
            return self.proxy.answer_later(now + answer.after, request, answer);
        }
        let Some(binding) = self.bindings.newest(user, now) else {
            return Err(Reply::new(if self.seen.contains_key(user) {
                StatusCode::TEMPORARILY_UNAVAILABLE
            } else {
                StatusCode::NOT_FOUND
            }));
        };
        let branch = self.rng.random();
        let domain = &self.options.domain;
        self.proxy
            .forward(now, request, binding, domain, max_forwards, branch, out)
    }

    /// Sends messages of a scripted user to the sender of a request: to every binding of his, as
    /// proxies fork a request. The answer to that request.
    fn send(
        &mut self,
        now: Instant,
        from: &str,
        request: &ServedRequest<'_>,
        messages: &[ScriptedMessage],
    ) -> Result<Reply, Reply> {
        let ok = Reply::new(StatusCode::OK);
        let sender = address(request.message.from).filter(|sender| self.is_ours(sender));
        let Some(to) = sender.as_ref().and_then(Uri::user) else {
            return Ok(ok);
        };
        for message in messages {
            let random = self.rng.random();
            for binding in self.bindings.of(to, now) {
                let destination = Destination {
                    contact: &binding.contact,
                    domain: &self.options.domain,
                    from,
                    to,
                    random,
                    branch: self.rng.random(),
                };
                let (at, frame) = (now + message.after, message.frame(&destination));
                self.proxy.send_later(at, binding.connection, frame)?;
            }
        }
        Ok(ok)
    }

    /// Whether the request is signed by the user in its From.
    fn check_sender(&mut self, now: Instant, request: &ServedRequest<'_>) -> Result<(), Reply> {
        let sender =
            address(request.message.from).ok_or_else(|| Reply::new(StatusCode::BAD_REQUEST))?;
        let names = ("Proxy-Authorization", "Proxy-Authenticate");
        let refused = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        self.check_user(now, request, &sender, names, refused)
    }

    /// Whether the request is signed by this user of ours.
    fn check_user(
        &mut self,
        now: Instant,
        request: &ServedRequest<'_>,
        user: &Uri,
        (answer, challenge): (&'static str, &'static str),
        refused: StatusCode,
    ) -> Result<(), Reply> {
        if !self.options.challenges {
            return Ok(());
        }
        let signed = Signed {
            method: request.method,
            uri: request.uri_text,
            body: request.message.body,
        };
        let (guard, options) = (&self.guard, &self.options);
        let ha1 = |username: &str, hash: Hash| {
            let password = options.passwords.get(username);
            let password = password.map_or_else(|| password_of(username), String::as_str);
            Some(hash.of(&[
                username.as_bytes(),
                guard.realm().as_bytes(),
                password.as_bytes(),
            ]))
        };
        match guard.verify(now, signed, request.message.all(answer), ha1) {
            Ok(username) => {
                let is_user = user.user_unescaped().as_deref() == Some(username.as_bytes());
                if is_user && self.is_ours(user) {
                    Ok(())
                } else {
                    Err(Reply::new(StatusCode::FORBIDDEN))
                }
            }
            Err(denial @ (Denial::Missing | Denial::Stale | Denial::Wrong)) => {
                let mut lines = Vec::with_capacity(512);
                let random = self.rng.random();
                self.guard
                    .challenge(now, random, challenge, denial, &mut lines);
                let lines = String::from_utf8_lossy(&lines);
                Err(Reply::new(refused).with(lines))
            }
        }
    }

    fn is_ours(&self, uri: &Uri) -> bool {
        uri.host() == self.options.domain || self.hosts.iter().any(|host| host == uri.host())
    }
}
