//! One user agent, with a clock that the test moves, its frames and its events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::sip::digest::Credentials;
use crate::sip::parse::{Message, ParseLimits, StartLine};
use crate::sip::uri::Uri;
use crate::sip::{
    Event, Outcome, OutgoingRequest, Output, Response, Settings, Transport, UserAgent, parse,
};

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some moment to begin at"
)]
pub(in crate::sip) fn epoch() -> Instant {
    Instant::now()
}

/// Alice, with a password.
pub(crate) fn settings() -> Settings {
    let aor = Uri::parse("sip:alice@example.com").unwrap();
    let instance = "00000000-0000-4000-8000-000000000001";
    let credentials = Credentials::password("alice", "wonderland");
    Settings {
        from: "\"Alice\" <sip:alice@example.com>".to_owned(),
        via_host: "desk.invalid".to_owned(),
        user_agent: "sipost/test".to_owned(),
        credentials: Some(credentials.also_for(["proxy", "server"])),
        ..Settings::new(aor, "c0ffee", instance)
    }
}

/// A MESSAGE of one line.
pub(crate) fn message_to(target: &str, call_id: &str) -> OutgoingRequest {
    let head = format!(
        "Max-Forwards: 70\r\nTo: <{target}>\r\nFrom: <sip:alice@example.com>;tag=tag-{call_id}\r\n\
         Call-ID: {call_id}\r\nContent-Type: text/plain\r\n"
    );
    OutgoingRequest {
        method: "MESSAGE",
        uri: target.into(),
        call_id: call_id.to_owned(),
        from_tag: format!("tag-{call_id}"),
        cseq: 1,
        head: head.into_bytes(),
        body: "hello".into(),
        fallback: None,
    }
}

/// The answer to a request: `status` is the code with its phrase, `more` complete header lines.
pub(crate) fn reply(request: &str, status: &str, more: &str) -> String {
    let lines: Vec<_> = ["Via", "From", "To", "Call-ID", "CSeq"]
        .iter()
        .map(|name| format!("{name}: {}\r\n", value(request, name)))
        .collect();
    let lines = lines.concat();
    format!("SIP/2.0 {status}\r\n{lines}{more}Content-Length: 0\r\n\r\n")
}

/// The first value of a header; empty without it.
pub(crate) fn value(frame: &str, name: &'static str) -> String {
    read(frame).first(name).map(parse::text).unwrap_or_default()
}

/// The code of a response.
pub(crate) fn status(frame: &str) -> u16 {
    match read(frame).start {
        StartLine::Response { status, .. } => status.as_u16(),
        StartLine::Request { .. } => panic!("a request: {frame}"),
    }
}

fn read(frame: &str) -> Message<'_> {
    parse::parse(frame.as_bytes(), ParseLimits::default()).unwrap()
}

/// A user agent under test.
pub(in crate::sip) struct Fixture {
    pub(in crate::sip) agent: UserAgent,
    pub(in crate::sip) now: Instant,
    frames: Vec<String>,
    events: Vec<Event>,
}

impl Fixture {
    /// Not connected.
    pub(in crate::sip) fn new(settings: Settings) -> Self {
        Self {
            agent: UserAgent::new(Arc::new(settings), StdRng::from_seed([7; 32])),
            now: epoch(),
            frames: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Connected, with its first REGISTER.
    pub(in crate::sip) fn connected(settings: Settings) -> (Self, String) {
        let mut fixture = Self::new(settings);
        let register = fixture.connects();
        (fixture, register)
    }

    /// Registered for ten minutes.
    pub(in crate::sip) fn registered() -> Self {
        Self::registered_as(settings())
    }

    pub(in crate::sip) fn registered_as(settings: Settings) -> Self {
        let (mut fixture, register) = Self::connected(settings);
        fixture.grants(&register, "");
        fixture
    }

    pub(in crate::sip) fn connects(&mut self) -> String {
        self.agent.handle_connected(self.now, Transport::Wss);
        self.frame()
    }

    pub(in crate::sip) fn loses_connection(&mut self) {
        self.agent.handle_disconnected();
    }

    /// The registrar grants what a REGISTER asks for.
    pub(in crate::sip) fn grants(&mut self, register: &str, more: &str) {
        let contact = value(register, "Contact");
        self.hears(reply(
            register,
            "200 OK",
            &format!("Contact: {contact}\r\n{more}"),
        ));
        assert!(matches!(self.event(), Event::Registered { .. }));
    }

    pub(in crate::sip) fn sends(&mut self, key: u64, request: OutgoingRequest) -> String {
        self.agent.send(self.now, key, request);
        self.frame()
    }

    pub(in crate::sip) fn hears(&mut self, frame: impl AsRef<[u8]>) {
        self.agent.handle_frame(self.now, frame.as_ref());
    }

    /// What it writes when it hears this; empty when it writes nothing.
    pub(in crate::sip) fn answers(&mut self, frame: impl AsRef<[u8]>) -> String {
        self.hears(frame);
        self.drain();
        self.frames.pop().unwrap_or_default()
    }

    /// Lets time pass, and everything happen that is due meanwhile.
    pub(in crate::sip) fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(at) = self.agent.deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.agent.handle_timeout(self.now);
            self.drain();
            turns += 1;
            assert!(turns < 100_000, "it never rests");
        }
        self.now = end;
    }

    /// The one frame it has written.
    pub(in crate::sip) fn frame(&mut self) -> String {
        let mut frames = self.frames();
        assert_eq!(frames.len(), 1, "{frames:#?}");
        frames.remove(0)
    }

    pub(in crate::sip) fn frames(&mut self) -> Vec<String> {
        self.drain();
        std::mem::take(&mut self.frames)
    }

    /// The one thing that has happened.
    pub(in crate::sip) fn event(&mut self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:#?}");
        events.remove(0)
    }

    pub(in crate::sip) fn events(&mut self) -> Vec<Event> {
        self.drain();
        std::mem::take(&mut self.events)
    }

    /// The one outcome there was, with its key; before it may stand why a challenge was refused.
    pub(in crate::sip) fn outcome(&mut self) -> (u64, Outcome) {
        let mut events = self.events();
        events.retain(|event| !matches!(event, Event::ChallengeRefused(_)));
        assert_eq!(events.len(), 1, "{events:#?}");
        match events.remove(0) {
            Event::Ended { key, outcome } => (key, outcome),
            other => panic!("{other:?}"),
        }
    }

    /// The one answer there was.
    pub(in crate::sip) fn response(&mut self) -> Response {
        match self.outcome() {
            (_, Outcome::Answered(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Transmit(frame, _) => self.frames.push(String::from_utf8(frame).unwrap()),
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}
