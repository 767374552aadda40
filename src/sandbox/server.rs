//! The registrar and proxy itself, without sockets and without a clock: frames and time go in,
//! frames come out.
//!
//! A request is answered by the first line that fits:
//!
//! | request                                                     | answer                       |
//! |-------------------------------------------------------------|------------------------------|
//! | ACK, or nobody to answer (no Via, From, To, Call-ID, CSeq)  | none                         |
//! | CSeq of another method, a body of another length            | 400                          |
//! | Request-URI unreadable / not sip or sips                    | 400 / 416                    |
//! | Max-Forwards 0                                              | 483                          |
//! | Require or Proxy-Require of what is not known               | 420 with Unsupported         |
//! | Request-URI of another domain                               | 404 with a Warning           |
//! | REGISTER, and the user is right about who it is             | 200 with the bindings        |
//! | OPTIONS without a user                                      | 200                          |
//! | another method than MESSAGE and OPTIONS                     | 405 with Allow               |
//! | not signed by who From says                                 | 407, or 403                  |
//! | to a user of [`Behaviour`]                                  | what that says               |
//! | to a user who is registered                                 | what that user says; 408 after a while |
//! | to a user who was registered                                | 480                          |
//! | to anybody else                                             | 404                          |

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::sip::digest::{Algorithm, Denial, Guard, Hash, Signed};
use crate::sip::headers::CSeq;
use crate::sip::parse::{Limits, Message, StartLine};
use crate::sip::uri::{AnyUri, Uri};
use crate::sip::{StatusCode, parse};

use super::location::Location;
use super::proxy::Proxy;
use super::remembered::Remembered;
use super::request::{Reply, Request, address, allow, check, plain};
use super::{Behaviour, ConnectionId, Options, Received, password_of, write};

/// How often expired bindings are swept out.
const SWEEP: Duration = Duration::from_secs(30);

/// What goes out: where, and what.
pub(super) type Outbox = Vec<(ConnectionId, Outgoing)>;

/// To be done on a connection.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Outgoing {
    /// Write this.
    Frame(Vec<u8>),
    /// Cut it.
    Cut,
}

/// See the module.
pub(super) struct Server {
    pub(super) options: Options,
    pub(super) location: Location,
    pub(super) rng: StdRng,
    /// Host names that are this server.
    hosts: Vec<String>,
    guard: Guard,
    proxy: Proxy,
    /// Who was ever registered, the latest last.
    seen: Remembered,
    /// Call-IDs that had their first answer.
    answered: Remembered,
    next_sweep: Instant,
}

impl Server {
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
            location: Location::default(),
            hosts,
            guard,
            proxy,
            seen: Remembered::default(),
            answered: Remembered::default(),
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
            self.location.sweep(now);
            self.next_sweep = now + SWEEP;
        }
    }

    /// A connection is gone.
    pub(super) fn handle_closed(&mut self, connection: ConnectionId, out: &mut Outbox) {
        self.location.disconnect(connection);
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
        let limits = Limits {
            frame: super::MAX_FRAME,
            ..Limits::default()
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
        let reply_lines = write::reply_lines(message, peer, tag);
        let cseq = message.cseq.and_then(CSeq::parse);
        let (Some(reply_lines), Some(cseq), true) = (reply_lines, cseq, message.via.is_some())
        else {
            return;
        };
        self.show(method, uri, frame);
        let request = match AnyUri::parse(uri) {
            Ok(AnyUri::Sip(read)) => Request {
                connection,
                peer,
                method,
                uri_text: uri,
                uri: read,
                cseq,
                message,
                reply_lines,
            },
            Ok(AnyUri::Other(_)) => {
                return reply(
                    connection,
                    &reply_lines,
                    plain(StatusCode::UNSUPPORTED_URI_SCHEME),
                    out,
                );
            }
            Err(_) => {
                return reply(
                    connection,
                    &reply_lines,
                    plain(StatusCode::BAD_REQUEST),
                    out,
                );
            }
        };
        if let Err(answer) = self.serve(now, &request, out) {
            reply(connection, &request.reply_lines, answer, out);
        }
    }

    /// Lets a test see what arrived.
    fn show(&self, method: &str, uri: &str, frame: &[u8]) {
        if let Some(received) = &self.options.received {
            // One that looks no more loses nothing.
            drop(received.send(Received {
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
        request: &Request<'_>,
        out: &mut Outbox,
    ) -> Result<(), Reply> {
        let max_forwards = check(request)?;
        if !self.is_ours(&request.uri) {
            let warning = format!(
                "Warning: 399 {domain} \"this sandbox serves {domain} only\"\r\n",
                domain = self.options.domain
            );
            return Err((StatusCode::NOT_FOUND, warning.into_bytes()));
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

    fn relay(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        user: &str,
        max_forwards: u32,
        out: &mut Outbox,
    ) -> Result<(), Reply> {
        if let Some(behaviour) = self.options.users.get(user) {
            let answer = match behaviour {
                Behaviour::Answers(answer) => answer,
                Behaviour::AnswersAtFirst(first, then) => {
                    let call_id = request.message.call_id.unwrap_or_default();
                    match self.answered.insert(&String::from_utf8_lossy(call_id)) {
                        true => first,
                        false => then,
                    }
                }
                Behaviour::Silent => return Ok(()),
                Behaviour::Cuts => {
                    out.push((request.connection, Outgoing::Cut));
                    return Ok(());
                }
            };
            let reply = (answer.status, answer.headers.clone().into_bytes());
            return match answer.after.is_zero() {
                true => Err(reply),
                false => self.proxy.answer_later(now + answer.after, request, reply),
            };
        }
        let binding = self.location.of(user, now).next_back();
        let Some(binding) = binding else {
            return Err(plain(match self.seen.contains(user) {
                true => StatusCode::TEMPORARILY_UNAVAILABLE,
                false => StatusCode::NOT_FOUND,
            }));
        };
        let branch = self.rng.random();
        let domain = &self.options.domain;
        self.proxy
            .forward(now, request, binding, domain, max_forwards, branch, out)
    }

    /// Whether the request is signed by the user in its From.
    fn check_sender(&mut self, now: Instant, request: &Request<'_>) -> Result<(), Reply> {
        let sender = address(request.message.from).ok_or_else(|| plain(StatusCode::BAD_REQUEST))?;
        let names = ("Proxy-Authorization", "Proxy-Authenticate");
        let refused = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        self.check_user(now, request, &sender, names, refused)
    }

    /// Whether the request is signed by this user of ours.
    pub(super) fn check_user(
        &mut self,
        now: Instant,
        request: &Request<'_>,
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
                match is_user && self.is_ours(user) {
                    true => Ok(()),
                    false => Err(plain(StatusCode::FORBIDDEN)),
                }
            }
            Err(denial @ (Denial::Missing | Denial::Stale | Denial::Wrong)) => {
                let mut lines = Vec::with_capacity(512);
                let random = self.rng.random();
                self.guard
                    .challenge(now, random, challenge, denial, &mut lines);
                Err((refused, lines))
            }
        }
    }

    pub(super) fn is_ours(&self, uri: &Uri) -> bool {
        uri.host() == self.options.domain || self.hosts.iter().any(|host| host == uri.host())
    }

    /// Takes note that somebody of this name exists.
    pub(super) fn remember(&mut self, user: &str) {
        self.seen.insert(user);
    }
}

fn reply(connection: ConnectionId, reply_lines: &[u8], reply: Reply, out: &mut Outbox) {
    let (status, headers) = reply;
    let frame = write::response(status, reply_lines, &headers);
    out.push((connection, Outgoing::Frame(frame)));
}
