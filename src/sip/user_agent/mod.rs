//! One user agent on one connection: the machine of machines.
//!
//! Feed it what happens ([`UserAgent::handle_connected`], [`UserAgent::handle_frame`],
//! [`UserAgent::handle_timeout`] …), then take what it says with [`UserAgent::poll`] until there is
//! no more, then wait until [`UserAgent::deadline`] at the latest. It registers when it is
//! connected, keeps the registration alive, sends requests and matches their answers, answers
//! challenges, and answers what others ask of it.
//!
//! | file       | is about                                             |
//! |------------|------------------------------------------------------|
//! | `exchange` | its requests on their way: the client transactions   |
//! | `register` | how it registers                                     |

mod exchange;
mod register;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rand::RngExt as _;
use rand::rngs::StdRng;

pub use exchange::{FallbackBody, OutgoingRequest};

use self::exchange::{Branch, Exchange, Exchanges, Purpose, is_not_understood};
use super::digest::{Authenticator, Refusal, Rounds, Signed};
use super::output::{Event, FrameOwner, Outcome, Output, Response};
use super::parse::{Message, StartLine};
use super::registration::Registration;
use super::respond::OutgoingResponse;
use super::server::{AnswerError, ServerTransactions};
use super::settings::{Settings, Transport};
use super::{StatusCode, parse, write};

/// See the module.
#[derive(Debug)]
pub struct UserAgent {
    settings: Arc<Settings>,
    rng: StdRng,
    /// Of the connection; `None` without one.
    transport: Option<Transport>,
    registration: Registration,
    register_call_id: String,
    register_cseq: u32,
    /// Whether the server knows outbound, as far as is known.
    outbound: bool,
    /// What the registrar wants requests to go through (RFC 3608).
    service_route: Vec<String>,
    authenticator: Authenticator,
    exchanges: Exchanges,
    inbound: ServerTransactions,
    outputs: VecDeque<Output>,
}

impl UserAgent {
    /// A user agent that is not connected. `rng` is where its branches, tags and nonces come from;
    /// it must be a cryptographic one in service.
    pub fn new(settings: Arc<Settings>, mut rng: StdRng) -> Self {
        let call_id = format!("{:032x}", rng.random::<u128>());
        Self {
            registration: Registration::new(settings.registration),
            register_call_id: call_id,
            register_cseq: 0,
            outbound: settings.outbound,
            service_route: Vec::new(),
            authenticator: Authenticator::new(settings.credentials.clone(), settings.aor.host()),
            exchanges: Exchanges::default(),
            inbound: ServerTransactions::new(rng.random()),
            outputs: VecDeque::new(),
            transport: None,
            settings,
            rng,
        }
    }

    /// The next output; ask until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] next has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let parts = [
            self.exchanges.deadline(),
            self.registration.deadline(),
            self.inbound.deadline(),
        ];
        parts.into_iter().flatten().min()
    }

    /// Whether it is registered.
    pub fn is_registered(&self) -> bool {
        self.registration.is_held()
    }

    /// How many requests of [`Self::send`] have no outcome yet.
    pub fn in_flight(&self) -> usize {
        let is_message = |exchange: &&Exchange| matches!(exchange.purpose, Purpose::Message(_));
        self.exchanges.iter().filter(is_message).count()
    }

    /// How many requests that came in as [`Event::Received`] have no answer yet.
    pub fn unanswered(&self) -> usize {
        self.inbound.unanswered()
    }

    /// The connection is open: register.
    pub fn handle_connected(&mut self, now: Instant, transport: Transport) {
        self.transport = Some(transport);
        self.registration.handle_connected(now);
        self.register_if_due(now);
    }

    /// The next connection goes to another server than the last one: what that one refused, and
    /// for how long, does not count there.
    pub fn handle_other_server(&mut self) {
        self.registration.handle_other_server();
        self.outbound = self.settings.outbound;
    }

    /// Until when it stays away from a registrar that refused it; `None` when it does not.
    pub fn waits_until(&self) -> Option<Instant> {
        self.registration.waits_until()
    }

    /// The connection is gone, and every open transaction with it.
    pub fn handle_disconnected(&mut self) {
        self.transport = None;
        self.inbound.clear();
        self.service_route.clear();
        if let Some(change) = self.registration.handle_disconnected() {
            self.tell(change, None);
        }
        for exchange in self.exchanges.handle_disconnect() {
            match exchange.purpose {
                Purpose::Message(key) => self.end(key, Outcome::Disconnected),
                Purpose::Leave => self.outputs.push_back(Output::Event(Event::Left)),
                Purpose::Register => {}
            }
        }
    }

    /// Lets time pass until `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(exchange) = self.exchanges.handle_timeout(now) {
            match exchange.purpose {
                Purpose::Message(key) => self.end(key, Outcome::Silent),
                Purpose::Leave => self.outputs.push_back(Output::Event(Event::Left)),
                Purpose::Register => self.register_unanswered(now),
            }
        }
        self.inbound
            .handle_timeout(now, &self.settings, &mut self.outputs);
        if let Some(change) = self.registration.handle_timeout(now) {
            self.tell(change, None);
        }
        self.register_if_due(now);
    }

    /// Sends a request. [`Event::Ended`] with this `key` says how it ended.
    pub fn send(&mut self, now: Instant, key: u64, request: OutgoingRequest) {
        if self.transport.is_none() {
            return self.end(key, Outcome::NotWritten);
        }
        let exchange = Exchange {
            purpose: Purpose::Message(key),
            cseq: request.cseq,
            rounds: Rounds::default(),
            has_fallen_back: false,
            request: Box::new(request),
        };
        if !self.write(now, exchange) {
            self.end(key, Outcome::TooLarge);
        }
    }

    /// Answers a MESSAGE that came in as [`Event::Received`], now or later.
    pub fn answer(
        &mut self,
        now: Instant,
        id: u64,
        response: &OutgoingResponse,
    ) -> Result<(), AnswerError> {
        let frame = self.inbound.answer(now, id, response, &self.settings)?;
        let owner = FrameOwner::Received(id);
        self.outputs.push_back(Output::Transmit(frame, owner));
        Ok(())
    }

    /// Takes one frame from the connection. One that cannot be read is ignored; a request that can
    /// be read far enough to be answered is answered. What the frame belongs to.
    pub fn handle_frame(&mut self, now: Instant, frame: &[u8]) -> FrameOwner {
        if self.transport.is_none() {
            return FrameOwner::Other;
        }
        // RFC 5626 §3.5.1: the ping of a server, and what it expects.
        if frame == b"\r\n\r\n" {
            let pong = Output::Transmit(b"\r\n".to_vec(), FrameOwner::Other);
            self.outputs.push_back(pong);
            return FrameOwner::Other;
        }
        let Ok(message) = parse::parse(frame, self.settings.limits) else {
            return FrameOwner::Other;
        };
        match message.start {
            StartLine::Response { status, .. } => {
                let Some(matched) = self.exchanges.handle_response(status, &message) else {
                    return FrameOwner::Other;
                };
                if let Some(exchange) = matched.ended {
                    self.answered(now, status, exchange, &message);
                }
                matched.purpose.owner()
            }
            StartLine::Request { method, uri } => self.inbound.handle_request(
                now,
                (method, uri),
                &message,
                &self.settings,
                &mut self.rng,
                &mut self.outputs,
            ),
        }
    }

    fn answered(
        &mut self,
        now: Instant,
        status: StatusCode,
        mut exchange: Exchange,
        message: &Message<'_>,
    ) {
        let refusal = match self.answer_challenge(status, &mut exchange, message) {
            Some(Ok(())) => {
                return self.write_again(now, exchange, message);
            }
            Some(Err(refusal)) => Some(refusal),
            None => None,
        };
        self.authenticator.handle_info(
            &exchange.rounds,
            message.all("Authentication-Info"),
            message.all("Proxy-Authentication-Info"),
        );
        if is_not_understood(status) && exchange.request.fall_back() {
            exchange.has_fallen_back = true;
            exchange.rounds = exchange.rounds.of_new_body();
            return self.write_again(now, exchange, message);
        }
        match exchange.purpose {
            Purpose::Message(key) => {
                let told = refusal.map(Event::ChallengeRefused).map(Output::Event);
                self.outputs.extend(told);
                let response = response_to(exchange.has_fallen_back, message);
                self.end(key, Outcome::Answered(response));
            }
            Purpose::Register => {
                let answer = register::RegisterResponse {
                    message,
                    refusal,
                    was_signed: exchange.rounds.has_signatures(),
                };
                self.registered(now, status, answer);
            }
            Purpose::Leave => self.outputs.push_back(Output::Event(Event::Left)),
        }
    }

    /// Writes a request anew after this response to it: with credentials, or with its other body.
    /// It is another transaction with the next CSeq number (RFC 3261 §8.1.3.5).
    fn write_again(&mut self, now: Instant, mut exchange: Exchange, message: &Message<'_>) {
        exchange.cseq = match exchange.purpose {
            Purpose::Message(_) => exchange.cseq + 1,
            Purpose::Register | Purpose::Leave => self.next_register_cseq(),
        };
        let (purpose, has_fallen_back) = (exchange.purpose, exchange.has_fallen_back);
        let is_written = self.write(now, exchange);
        // One that becomes too large by its credentials has been refused without them.
        if let (false, Purpose::Message(key)) = (is_written, purpose) {
            let response = response_to(has_fallen_back, message);
            self.end(key, Outcome::Answered(response));
        }
    }

    /// Answers a challenge that is worth another round (RFC 3261 §22); `None` when the response is
    /// none.
    fn answer_challenge(
        &mut self,
        status: StatusCode,
        exchange: &mut Exchange,
        message: &Message<'_>,
    ) -> Option<Result<(), Refusal>> {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {}
            _ => return None,
        }
        Some(self.authenticator.handle_challenge(
            &mut exchange.rounds,
            signed(&exchange.request),
            message.all("WWW-Authenticate"),
            message.all("Proxy-Authenticate"),
        ))
    }

    /// Writes a request in a transaction of its own. Timer F begins with each first write
    /// (RFC 3261 §17.1.2.2): a request that answers a challenge is a new one (§22.2). False when
    /// it is larger than it may be: then nothing is written.
    fn write(&mut self, now: Instant, mut exchange: Exchange) -> bool {
        let mut branch = Branch(self.rng.random());
        while self.exchanges.is_taken(branch) {
            branch = Branch(self.rng.random());
        }
        let frame = self.frame(branch, &mut exchange);
        let is_message = matches!(exchange.purpose, Purpose::Message(_));
        if is_message && frame.len() > self.settings.max_message {
            return false;
        }
        let owner = exchange.purpose.owner();
        self.outputs.push_back(Output::Transmit(frame, owner));
        let timer_f = now + self.settings.timer_f;
        self.exchanges.insert(branch, exchange, timer_f);
        true
    }

    /// The bytes of a request (RFC 3261 §7.1).
    fn frame(&mut self, branch: Branch, exchange: &mut Exchange) -> Vec<u8> {
        let request = &exchange.request;
        let mut frame = Vec::with_capacity(768 + request.head.len() + request.body.len());
        let transport = self.transport.unwrap_or(Transport::Ws).as_str();
        for part in [
            request.method,
            " ",
            &request.uri,
            " SIP/2.0\r\nVia: SIP/2.0/",
            transport,
            " ",
            &self.settings.via_host,
            ";branch=",
        ] {
            frame.extend_from_slice(part.as_bytes());
        }
        branch.write(&mut frame);
        frame.extend_from_slice(b"\r\n");
        if matches!(exchange.purpose, Purpose::Message(_)) {
            for route in &self.service_route {
                write::header(&mut frame, "Route", route.as_bytes());
            }
        }
        frame.extend_from_slice(b"CSeq: ");
        write::number(&mut frame, exchange.cseq.into());
        frame.push(b' ');
        write::line(&mut frame, request.method.as_bytes());
        let cnonce = write::hex64(self.rng.random());
        let cnonce = str::from_utf8(&cnonce).unwrap_or_default();
        self.authenticator
            .authorize(&mut exchange.rounds, signed(request), cnonce, &mut frame);
        frame.extend_from_slice(&request.head);
        frame.extend_from_slice(b"Content-Length: ");
        write::number(&mut frame, request.body.len() as u64);
        frame.extend_from_slice(b"\r\n\r\n");
        frame.extend_from_slice(&request.body);
        frame
    }

    fn end(&mut self, key: u64, outcome: Outcome) {
        let event = Event::Ended { key, outcome };
        self.outputs.push_back(Output::Event(event));
    }

    /// A fresh tag: sixteen random hexadecimal digits.
    fn token(&mut self) -> String {
        format!("{:016x}", self.rng.random::<u64>())
    }
}

/// The response to a request, or to its other body.
fn response_to(has_fallen_back: bool, message: &Message<'_>) -> Response {
    Response {
        is_to_fallback: has_fallen_back,
        ..Response::of(message)
    }
}

/// What of a request digest authentication is about.
fn signed(request: &OutgoingRequest) -> Signed<'_> {
    Signed {
        method: request.method,
        uri: &request.uri,
        body: &request.body,
    }
}

#[cfg(test)]
mod tests;
