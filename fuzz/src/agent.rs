//! A user agent that everything happens to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::random;
use super::sip::digest::Credentials;
use super::sip::parse::ParseLimits;
use super::sip::uri::Uri;
use super::sip::{
    Event, FallbackBody, OutgoingRequest, OutgoingResponse, Output, ReceiveSettings, Settings,
    StatusCode, Transport, UserAgent, parse,
};

/// Steps, each a byte that says what happens and what it happens with, up to a NUL.
pub fn user_agent(steps: &[u8]) {
    let mut fixture = Fixture::new();
    for step in steps.split(|byte| *byte == 0).take(200) {
        let Some((&kind, rest)) = step.split_first() else {
            continue;
        };
        match kind {
            b'a' => fixture.answer(rest),
            b't' => fixture.pass(Duration::from_millis(rest.len() as u64 * 977)),
            b'T' => fixture.pass(Duration::from_secs(rest.len() as u64 * 97)),
            b's' => fixture.send(),
            b'd' => fixture.agent.handle_disconnected(),
            b'c' => fixture.agent.handle_connected(fixture.now, Transport::Wss),
            b'u' => fixture.agent.unregister(fixture.now),
            b'r' => fixture.agent.reregister(fixture.now),
            _ => {
                fixture.agent.handle_frame(fixture.now, step);
            }
        }
        fixture.drain();
    }
    fixture.finish();
}

struct Fixture {
    agent: UserAgent,
    now: Instant,
    /// The last request that was written.
    request: Vec<u8>,
    sent: u64,
    ended: HashMap<u64, u32>,
}

impl Fixture {
    fn new() -> Self {
        let now = Instant::now();
        let mut agent = UserAgent::new(settings().into(), random(1));
        agent.handle_connected(now, Transport::Ws);
        let mut fixture = Self {
            agent,
            now,
            request: Vec::new(),
            sent: 0,
            ended: HashMap::new(),
        };
        fixture.drain();
        fixture
    }

    /// The last request is answered: with a status line of three digits and a phrase, and headers.
    fn answer(&mut self, rest: &[u8]) {
        let Ok(request) = parse::parse(&self.request, ParseLimits::default()) else {
            return;
        };
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        let (line, more) = rest.split_at(end);
        let mut frame = [b"SIP/2.0 ", line, b"\r\n"].concat();
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            let value = request.first(name).unwrap_or_default();
            frame.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        frame.extend_from_slice(more);
        self.agent.handle_frame(self.now, &frame);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            let Some(at) = self.agent.deadline().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = at.max(self.now);
            self.agent.handle_timeout(self.now);
            assert!(
                self.agent.deadline().is_none_or(|at| at > self.now),
                "it wakes for nothing"
            );
            self.drain();
        }
        panic!("it never rests");
    }

    fn send(&mut self) {
        let number = self.sent;
        self.sent += 1;
        let head = format!(
            "Max-Forwards: 70\r\nTo: <sip:bob@example.com>\r\n\
             From: <sip:alice@example.com>;tag={number}\r\nCall-ID: {number}\r\n"
        );
        let request = OutgoingRequest {
            method: "MESSAGE",
            uri: "sip:bob@example.com".into(),
            call_id: number.to_string(),
            from_tag: number.to_string(),
            cseq: 1,
            fallback: Some(Box::new(FallbackBody {
                head: head.clone().into_bytes(),
                body: "bare".into(),
            })),
            head: head.into_bytes(),
            body: "hello".into(),
        };
        self.agent.send(self.now, number, request);
    }

    fn drain(&mut self) {
        while let Some(output) = self.agent.poll() {
            match output {
                Output::Transmit(frame, _) => {
                    if frame.len() > 4 {
                        parse::parse(
                            &frame,
                            ParseLimits {
                                frame: usize::MAX,
                                header: usize::MAX,
                                headers: usize::MAX,
                            },
                        )
                        .expect("what is written can be read");
                    }
                    if !frame.starts_with(b"SIP/2.0") {
                        self.request = frame;
                    }
                }
                Output::Event(Event::Ended { key, .. }) => *self.ended.entry(key).or_default() += 1,
                Output::Event(Event::Received(message)) => {
                    let answer = OutgoingResponse::of(StatusCode::OK);
                    self.agent
                        .answer(self.now, message.id, &answer)
                        .expect("it was just asked");
                }
                Output::Event(_) => {}
            }
        }
    }

    fn finish(&mut self) {
        self.agent.handle_disconnected();
        self.drain();
        assert!(self.agent.deadline().is_none());
        assert_eq!(self.agent.in_flight(), 0);
        assert_eq!(self.ended.len() as u64, self.sent);
        assert!(self.ended.values().all(|times| *times == 1));
    }
}

fn settings() -> Settings {
    let aor = Uri::parse("sip:alice@example.com").expect("it is a URI");
    let instance = "00000000-0000-4000-8000-000000000001";
    Settings {
        via_host: "fuzz.invalid".to_owned(),
        receive: Some(ReceiveSettings::default()),
        credentials: Some(Credentials::password("alice", "secret")),
        ..Settings::new(aor, "c0ffee", instance)
    }
}
