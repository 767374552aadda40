//! One user agent on one connection: the machine of machines.
//!
//! Feed it what happens ([`UserAgent::handle_connected`], [`UserAgent::handle_frame`],
//! [`UserAgent::handle_timeout`] …), then take what it says with [`UserAgent::poll`] until there is
//! no more, then wait until [`UserAgent::deadline`] at the latest. It registers when it is
//! connected, keeps the registration alive, sends requests and matches their answers, answers
//! challenges, and answers what others ask of it.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use rand::Rng;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::StatusCode;
use super::digest::Authenticator;
use super::digest::Credentials;
use super::digest::Rounds;
use super::digest::Signed;
use super::headers::CSeq;
use super::headers::Contact;
use super::headers::NameAddr;
use super::headers::Via;
use super::headers::retry_after;
use super::inbound::Inbound;
use super::outgoing::Outgoing;
use super::parse;
use super::parse::Limits;
use super::parse::Message;
use super::parse::StartLine;
use super::registration::Change;
use super::registration::Policy;
use super::registration::Refusal;
use super::registration::Registration;
use super::response::Response;
use super::transaction::ClientTransaction;
use super::transaction::End;
use super::transaction::Next;

/// What a user agent is, fixed for its life.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address of record, as a URI.
    pub aor: String,
    /// The From header's address: `"Alice" <sip:alice@example.com>`.
    pub from: String,
    /// Where it registers, as a URI without a user.
    pub registrar: String,
    /// The user part of its Contact; random, so that nobody reaches it but through its registrar.
    pub contact_user: String,
    /// What stands in Via and Contact for the host it does not have: `….invalid` (RFC 7118 §5).
    pub via_host: String,
    /// Its instance id, a UUID (RFC 5626 §4.1).
    pub instance_id: String,
    /// Which of the instance's flows this is, from 1 (RFC 5626 §4.2).
    pub reg_id: u32,
    /// How it registers.
    pub registration: Policy,
    /// The User-Agent header.
    pub user_agent: String,
    /// Headers added to every request.
    pub extra_headers: Vec<(String, String)>,
    /// What it answers challenges with.
    pub credentials: Option<Credentials>,
    /// How long a request may go without a final response (RFC 3261 §17.1.2.2).
    pub timer_f: Duration,
    /// How much is read at most.
    pub limits: Limits,
}

/// The two transports of RFC 7118.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Plain.
    Ws,
    /// Over TLS.
    Wss,
}

impl Transport {
    /// As Via names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }
}

/// What a user agent says.
#[derive(Debug)]
pub enum Output {
    /// Write this frame.
    Transmit(Vec<u8>),
    /// This happened.
    Event(Event),
}

/// What happened to a user agent.
#[derive(Debug)]
pub enum Event {
    /// It is registered until then; told at each refresh.
    Registered {
        /// When the registration ends unless it is refreshed.
        until: Instant,
    },
    /// It was registered and is not any more.
    Unregistered,
    /// A registration did not come about, or was not refreshed.
    RegistrationFailed {
        /// What the registrar said; `None` when it said nothing.
        response: Option<Response>,
        /// When the next try follows.
        retry_at: Instant,
    },
    /// A request that was handed to [`UserAgent::send`] is over. Each is told exactly once.
    Ended {
        /// What it was handed in with.
        key: u64,
        /// How.
        outcome: Outcome,
    },
    /// Leaving is over: the registrar answered, or there is none to ask.
    Left,
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    /// With a final response; also a challenge that could not be answered.
    Answered(Response),
    /// Timer F fired. Whether the peer acted is unknown.
    Silent,
    /// The connection was lost after it was written. Whether the peer acted is unknown.
    Disconnected,
    /// It was never written: there is no connection.
    NotWritten,
}

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
    service_route: Vec<String>,
    authenticator: Authenticator,
    transactions: HashMap<u64, Transaction>,
    /// Timer F of each transaction, in the order of their ends: Timer F is the same for all.
    timers: VecDeque<(Instant, u64)>,
    inbound: Inbound,
    outputs: VecDeque<Output>,
}

/// A request on its way.
#[derive(Debug)]
struct Transaction {
    machine: ClientTransaction,
    purpose: Purpose,
    cseq: u32,
    rounds: Rounds,
    request: Box<Outgoing>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Purpose {
    Register,
    Leave,
    Message(u64),
}

/// RFC 3261 §8.1.1.7: what a branch begins with.
const MAGIC_COOKIE: &str = "z9hG4bK";

impl UserAgent {
    /// A user agent that is not connected. `rng` is where its branches, tags and nonces come from;
    /// it must be a cryptographic one in service.
    pub fn new(settings: Arc<Settings>, mut rng: StdRng) -> Self {
        Self {
            registration: Registration::new(settings.registration),
            register_call_id: hex128(&mut rng),
            register_cseq: 0,
            service_route: Vec::new(),
            authenticator: Authenticator::new(settings.credentials.clone()),
            transactions: HashMap::new(),
            timers: VecDeque::new(),
            inbound: Inbound::default(),
            outputs: VecDeque::new(),
            transport: None,
            settings,
            rng,
        }
    }

    /// What it has to say next. Ask until there is nothing more.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] next has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let timer = self.timers.front().map(|(at, _)| *at);
        let parts = [timer, self.registration.deadline(), self.inbound.deadline()];
        parts.into_iter().flatten().min()
    }

    /// Whether it is registered.
    pub fn is_registered(&self) -> bool {
        self.registration.is_held()
    }

    /// How many requests of [`Self::send`] have no outcome yet.
    pub fn in_flight(&self) -> usize {
        self.transactions
            .values()
            .filter(|t| matches!(t.purpose, Purpose::Message(_)))
            .count()
    }

    /// The connection is open: register.
    pub fn handle_connected(&mut self, now: Instant, transport: Transport) {
        self.transport = Some(transport);
        self.registration.handle_connected();
        self.register_if_due(now);
    }

    /// The connection is gone, and every open transaction with it.
    pub fn handle_disconnected(&mut self) {
        self.transport = None;
        self.inbound.clear();
        self.timers.clear();
        self.service_route.clear();
        if let Some(change) = self.registration.handle_disconnected() {
            self.tell(change, None);
        }
        let transactions = std::mem::take(&mut self.transactions);
        for transaction in transactions.into_values() {
            match transaction.purpose {
                Purpose::Message(key) => self.end(key, Outcome::Disconnected),
                Purpose::Leave => self.outputs.push_back(Output::Event(Event::Left)),
                Purpose::Register => {}
            }
        }
    }

    /// Lets time pass until `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, branch)) = self.timers.front() {
            if at > now {
                break;
            }
            self.timers.pop_front();
            let Some(transaction) = self.transactions.remove(&branch) else {
                continue;
            };
            match transaction.machine.handle_timeout(now) {
                Next::Waiting(machine) => {
                    self.timers.push_back((machine.deadline(), branch));
                    self.transactions.insert(
                        branch,
                        Transaction {
                            machine,
                            ..transaction
                        },
                    );
                }
                Next::Done(_) => self.unanswered(now, transaction.purpose),
            }
        }
        self.inbound.handle_timeout(now);
        if let Some(change) = self.registration.handle_timeout(now) {
            self.tell(change, None);
        }
        self.register_if_due(now);
    }

    /// Sends a request. How it ended is told by [`Event::Ended`] with this `key`.
    pub fn send(&mut self, now: Instant, key: u64, request: Outgoing) {
        if self.transport.is_none() {
            return self.end(key, Outcome::NotWritten);
        }
        let cseq = request.cseq;
        self.write(
            now,
            Purpose::Message(key),
            cseq,
            Rounds::default(),
            Box::new(request),
        );
    }

    /// Registers anew at once.
    pub fn reregister(&mut self, now: Instant) {
        self.registration.ask_now(now);
        self.register_if_due(now);
    }

    /// Leaves the registrar (RFC 3261 §10.2.2), also while a REGISTER is under way.
    /// [`Event::Left`] says when that is over.
    pub fn unregister(&mut self, now: Instant) {
        let held = self.registration.is_held() || !self.register_is_idle();
        self.registration.leave();
        if self.transport.is_none() || !held {
            self.outputs.push_back(Output::Event(Event::Left));
            return;
        }
        self.register(now, Purpose::Leave, Duration::ZERO);
    }

    fn register_is_idle(&self) -> bool {
        !self
            .transactions
            .values()
            .any(|t| t.purpose == Purpose::Register)
    }

    fn register_if_due(&mut self, now: Instant) {
        let due = self.registration.wants_request() || self.registration.wants_refresh(now);
        if self.transport.is_some() && due {
            self.registration.asked();
            self.register(now, Purpose::Register, self.registration.expires());
        }
    }

    /// RFC 3261 §10.2, with RFC 5626 §4.2 and RFC 3327.
    fn register(&mut self, now: Instant, purpose: Purpose, expires: Duration) {
        let settings = self.settings.clone();
        self.register_cseq += 1;
        let cseq = self.register_cseq;
        let expires = expires.as_secs();
        let from_tag = hex64(&mut self.rng);
        let mut head = format!(
            "Max-Forwards: 70\r\nTo: <{aor}>\r\nFrom: {from};tag={from_tag}\r\n\
             Call-ID: {call_id}\r\n\
             Contact: <sip:{user}@{host};transport=ws>;reg-id={reg_id};\
             +sip.instance=\"<urn:uuid:{instance}>\";expires={expires}\r\n\
             Expires: {expires}\r\nAllow: {allow}\r\nSupported: path, outbound\r\n\
             User-Agent: {agent}\r\n",
            aor = settings.aor,
            from = settings.from,
            call_id = self.register_call_id,
            user = settings.contact_user,
            host = settings.via_host,
            reg_id = settings.reg_id,
            instance = settings.instance_id,
            allow = super::inbound::ALLOW,
            agent = settings.user_agent,
        );
        for (name, value) in &settings.extra_headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let request = Outgoing {
            method: "REGISTER",
            uri: settings.registrar.as_str().into(),
            call_id: self.register_call_id.clone(),
            from_tag,
            cseq,
            head: head.into_bytes(),
            body: bytes::Bytes::new(),
        };
        self.write(now, purpose, cseq, Rounds::default(), Box::new(request));
    }

    /// Writes a request in a transaction of its own.
    fn write(
        &mut self,
        now: Instant,
        purpose: Purpose,
        cseq: u32,
        mut rounds: Rounds,
        request: Box<Outgoing>,
    ) {
        // 64 random bits; another one in the case nobody will live to see.
        let mut branch: u64 = self.rng.random();
        while self.transactions.contains_key(&branch) {
            branch = self.rng.random();
        }
        let frame = self.frame(branch, purpose, cseq, &mut rounds, &request);
        self.outputs.push_back(Output::Transmit(frame));
        let machine = ClientTransaction::start(now, self.settings.timer_f);
        self.timers.push_back((machine.deadline(), branch));
        self.transactions.insert(
            branch,
            Transaction {
                machine,
                purpose,
                cseq,
                rounds,
                request,
            },
        );
    }

    /// The bytes of a request (RFC 3261 §7.1).
    fn frame(
        &mut self,
        branch: u64,
        purpose: Purpose,
        cseq: u32,
        rounds: &mut Rounds,
        request: &Outgoing,
    ) -> Vec<u8> {
        use std::io::Write as _;
        let mut frame = Vec::with_capacity(384 + request.head.len() + request.body.len());
        // Writing to memory cannot fail.
        let _ = write!(
            frame,
            "{} {} SIP/2.0\r\nVia: SIP/2.0/{} {};branch={MAGIC_COOKIE}{branch:016x}\r\n",
            request.method,
            request.uri,
            self.transport.unwrap_or(Transport::Ws).as_str(),
            self.settings.via_host,
        );
        if matches!(purpose, Purpose::Message(_)) {
            for route in &self.service_route {
                let _ = write!(frame, "Route: {route}\r\n");
            }
        }
        let _ = write!(frame, "CSeq: {cseq} {}\r\n", request.method);
        let cnonce = hex64(&mut self.rng);
        self.authenticator
            .authorize(rounds, signed(request), &cnonce, &mut frame);
        frame.extend_from_slice(&request.head);
        let _ = write!(frame, "Content-Length: {}\r\n\r\n", request.body.len());
        frame.extend_from_slice(&request.body);
        frame
    }

    /// Takes one frame from the connection. What cannot be read is no answer to anything, and
    /// nothing is said about it; a request that can be read enough to be answered is.
    pub fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        // RFC 5626 §3.5.1: the ping of a server, and what it expects.
        if frame == b"\r\n\r\n" {
            return self.outputs.push_back(Output::Transmit(b"\r\n".to_vec()));
        }
        let Ok(message) = parse::parse(frame, self.settings.limits) else {
            return;
        };
        match message.start {
            StartLine::Response { status, .. } => self.handle_response(now, status, &message),
            StartLine::Request { method, uri } => {
                let answer = self.inbound.handle_request(
                    now,
                    method,
                    uri,
                    &message,
                    &self.settings,
                    &mut self.rng,
                );
                self.outputs.extend(answer.map(Output::Transmit));
            }
        }
    }

    fn handle_response(&mut self, now: Instant, status: StatusCode, message: &Message<'_>) {
        let Some(branch) = self.match_response(message) else {
            return;
        };
        let Some(transaction) = self.transactions.remove(&branch) else {
            return;
        };
        match transaction.machine.handle_response(status) {
            Next::Waiting(machine) => {
                self.transactions.insert(
                    branch,
                    Transaction {
                        machine,
                        ..transaction
                    },
                );
            }
            Next::Done(End::Answered(status)) => self.answered(now, status, transaction, message),
            // What a response cannot lead to.
            Next::Done(End::Silent | End::Stalled) => {}
        }
        self.forget_timers();
    }

    /// Finds the transaction of a response: its branch (RFC 3261 §17.1.3), and because a peer may
    /// mix up branches, the method, Call-ID, CSeq number and From tag too.
    fn match_response(&self, message: &Message<'_>) -> Option<u64> {
        let via = Via::parse(message.via?)?;
        let digits = via.branch?.strip_prefix(MAGIC_COOKIE)?;
        let branch = (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())??;
        let transaction = self.transactions.get(&branch)?;
        let cseq = CSeq::parse(message.cseq?)?;
        let from = std::str::from_utf8(message.from?).ok()?;
        let is_ours = cseq.number == transaction.cseq
            && cseq.method == transaction.request.method
            && message.call_id? == transaction.request.call_id.as_bytes()
            && from_tag(from)? == transaction.request.from_tag;
        is_ours.then_some(branch)
    }

    fn answered(
        &mut self,
        now: Instant,
        status: StatusCode,
        mut transaction: Transaction,
        message: &Message<'_>,
    ) {
        if self.answers_challenge(status, &mut transaction, message) {
            let Transaction {
                purpose,
                cseq,
                rounds,
                request,
                ..
            } = transaction;
            let cseq = match purpose {
                Purpose::Message(_) => cseq + 1,
                Purpose::Register | Purpose::Leave => {
                    self.register_cseq += 1;
                    self.register_cseq
                }
            };
            return self.write(now, purpose, cseq, rounds, request);
        }
        self.authenticator.handle_info(
            &transaction.rounds,
            message.all("Authentication-Info"),
            message.all("Proxy-Authentication-Info"),
        );
        match transaction.purpose {
            Purpose::Message(key) => self.end(key, Outcome::Answered(Response::of(message))),
            Purpose::Register => self.registered(now, status, message),
            Purpose::Leave => self.outputs.push_back(Output::Event(Event::Left)),
        }
    }

    /// Whether a response is a challenge that is worth another round (RFC 3261 §22).
    fn answers_challenge(
        &mut self,
        status: StatusCode,
        transaction: &mut Transaction,
        message: &Message<'_>,
    ) -> bool {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {}
            _ => return false,
        }
        let answered = self.authenticator.handle_challenge(
            &mut transaction.rounds,
            signed(&transaction.request),
            message.all("WWW-Authenticate"),
            message.all("Proxy-Authenticate"),
        );
        answered.is_ok()
    }

    fn unanswered(&mut self, now: Instant, purpose: Purpose) {
        match purpose {
            Purpose::Message(key) => self.end(key, Outcome::Silent),
            Purpose::Leave => self.outputs.push_back(Output::Event(Event::Left)),
            Purpose::Register => {
                let jitter = self.rng.random();
                let change = self
                    .registration
                    .handle_refused(now, Refusal::default(), jitter);
                self.tell_all(change, None);
            }
        }
    }

    /// What the registrar's final answer means.
    fn registered(&mut self, now: Instant, status: StatusCode, message: &Message<'_>) {
        let jitter = self.rng.random();
        let change = if status.is_success() {
            let granted = self.granted(message);
            if !granted.is_zero() {
                self.service_route = message.all("Service-Route").map(parse::text).collect();
            }
            self.registration.handle_granted(now, granted, jitter)
        } else {
            let seconds = |name| message.first_text(name).and_then(retry_after);
            let refusal = Refusal {
                status: Some(status),
                retry_after: seconds("Retry-After"),
                min_expires: seconds("Min-Expires"),
            };
            self.registration.handle_refused(now, refusal, jitter)
        };
        let response = matches!(change, Some(Change::Failed { .. })).then(|| Response::of(message));
        self.tell_all(change, response);
        self.register_if_due(now);
    }

    /// How long our own binding lives, of all that the registrar lists (RFC 3261 §10.2.4): its
    /// `expires`, else the Expires header, else what was asked; zero when it is not listed.
    fn granted(&self, message: &Message<'_>) -> Duration {
        let instance = format!("urn:uuid:{}", self.settings.instance_id);
        let lines: Vec<_> = message.all("Contact").map(parse::text).collect();
        let mut bindings = lines.iter().flat_map(|line| Contact::list(line));
        let ours = bindings.find(|contact| match contact.has_instance() {
            true => contact.is_flow(&instance, self.settings.reg_id),
            false => contact.user() == Some(self.settings.contact_user.as_str()),
        });
        let Some(ours) = ours else {
            return Duration::ZERO;
        };
        let header = || message.first_text("Expires").and_then(retry_after);
        match ours.expires() {
            Some(seconds) => Duration::from_secs(seconds.into()),
            None => header().unwrap_or_else(|| self.registration.expires()),
        }
        .min(Duration::from_secs(86_400 * 7))
    }

    fn tell_all(&mut self, change: Option<Change>, response: Option<Response>) {
        if let Some(change) = change {
            self.tell(change, response);
        }
    }

    fn tell(&mut self, change: Change, response: Option<Response>) {
        let event = match change {
            Change::Registered { until } => Event::Registered { until },
            Change::Lost => Event::Unregistered,
            Change::Failed { retry_at } => Event::RegistrationFailed { response, retry_at },
        };
        self.outputs.push_back(Output::Event(event));
    }

    fn end(&mut self, key: u64, outcome: Outcome) {
        self.outputs
            .push_back(Output::Event(Event::Ended { key, outcome }));
    }

    /// Forgets timers of transactions that are over, so that the first one in the queue is always
    /// of a live one, an idle machine has no deadline, and one silent peer does not make the queue
    /// grow with what the others answer.
    fn forget_timers(&mut self) {
        if self.timers.len() > 64 + 2 * self.transactions.len() {
            self.timers
                .retain(|(_, branch)| self.transactions.contains_key(branch));
        }
        while let Some((_, branch)) = self.timers.front()
            && !self.transactions.contains_key(branch)
        {
            self.timers.pop_front();
        }
    }
}

/// What of a request digest authentication is about.
fn signed(request: &Outgoing) -> Signed<'_> {
    Signed {
        method: request.method,
        uri: &request.uri,
        body: &request.body,
    }
}

fn from_tag(from: &str) -> Option<&str> {
    NameAddr::parse(from)?.tag()
}

/// Sixteen hexadecimal digits.
fn hex64(rng: &mut impl Rng) -> String {
    format!("{:016x}", rng.random::<u64>())
}

/// Thirty-two hexadecimal digits.
fn hex128(rng: &mut impl Rng) -> String {
    format!("{:032x}", rng.random::<u128>())
}
