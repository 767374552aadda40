//! A registrar and proxy that does everything a bad one was ever seen to do, by the dice.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::sip::parse;
use crate::sip::parse::{Message, ParseLimits, StartLine};

/// Says for which Call-ID an answer was meant.
pub(super) const MEANT_FOR: &str = "X-Meant-For";

/// How many things it may say to a REGISTER.
const MOODS: u32 = 14;

/// Seconds after which an honest registrar makes another nonce.
const NONCE_LIFE: u64 = 40;

/// Seconds for which it takes the one before: longer than the slowest wire makes a request wait.
const GRACE: u64 = 15;

/// Frames to write, each after a pause.
pub(super) type Frames = Vec<(Duration, Vec<u8>)>;

#[derive(Debug)]
pub(super) struct Registrar {
    /// Whether it does what it should.
    pub kind: bool,
    /// Whether it accepts every answer to its challenges, and lets its nonces expire without a
    /// word, as Kamailio does.
    pub honest: bool,
    started: Instant,
    /// What it always says to a REGISTER while it is not kind.
    stubborn: Option<u32>,
    nonce: u32,
    /// How often it demanded a longer expiry.
    demands: u32,
    /// Vias of requests that it took lately, for mixing them up.
    vias: Vec<String>,
}

impl Registrar {
    pub(super) fn new(now: Instant, rng: &mut StdRng) -> Self {
        Self {
            kind: false,
            honest: rng.random(),
            started: now,
            stubborn: (rng.random_range(0..3) == 0).then(|| rng.random_range(0..MOODS)),
            nonce: 0,
            demands: 0,
            vias: Vec::new(),
        }
    }

    /// What it says to a frame. What it cannot read it does not answer.
    pub(super) fn handle_frame(&mut self, now: Instant, frame: &[u8], rng: &mut StdRng) -> Frames {
        let Ok(message) = parse::parse(frame, ParseLimits::default()) else {
            return Vec::new();
        };
        let StartLine::Request { method, .. } = message.start else {
            return Vec::new();
        };
        let credentials = message.first("Authorization").map(parse::text);
        let whim = !self.kind && !self.honest && rng.random_range(0..10) == 0;
        let challenged = match credentials {
            Some(text) => whim || (self.honest && self.is_expired(now, &text)),
            None => true,
        };
        let mut frames = match method {
            _ if challenged => self.challenge(now, &message, rng),
            "REGISTER" => self.register(&message, rng),
            _ => self.deliver(&message, rng),
        };
        if !self.kind {
            self.mix_up(&message, &mut frames, rng);
        }
        frames
    }

    /// What it says without being asked.
    pub(super) fn speak(&mut self, rng: &mut StdRng) -> Vec<u8> {
        let number = rng.random_range(0..5_u32);
        let method = ["OPTIONS", "MESSAGE", "INVITE", "ACK"][rng.random_range(0..4)];
        match rng.random_range(0..4) {
            0 => b"\r\n\r\n".to_vec(),
            1 => (0..rng.random_range(0..200)).map(|_| rng.random()).collect(),
            _ => format!(
                "{method} sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/WS p;branch=z9hG4bK{number}\r\n\
                 From: <sip:bob@example.com>;tag=b\r\nTo: <sip:alice@example.com>\r\nCall-ID: in-{number}\r\n\
                 CSeq: {number} {method}\r\nContent-Type: text/plain\r\n\r\nhi"
            )
            .into_bytes(),
        }
    }

    /// Whether this is signed with a nonce that is good no more. One that was handed out at its
    /// end is good for as long as a request takes that answers it.
    fn is_expired(&self, now: Instant, credentials: &str) -> bool {
        let nonce = self.nonce_at(now);
        let is_signed_with = |nonce: u64| credentials.contains(&format!("nonce=\"{nonce}\""));
        let is_young = (now - self.started).as_secs() % NONCE_LIFE < GRACE;
        let may_be_the_last = is_young && nonce.checked_sub(1).is_some_and(is_signed_with);
        !is_signed_with(nonce) && !may_be_the_last
    }

    fn nonce_at(&self, now: Instant) -> u64 {
        (now - self.started).as_secs() / NONCE_LIFE
    }

    fn challenge(&mut self, now: Instant, message: &Message<'_>, rng: &mut StdRng) -> Frames {
        if self.honest {
            let nonce = self.nonce_at(now);
            let header =
                format!("WWW-Authenticate: Digest realm=\"example.com\", nonce=\"{nonce}\"\r\n");
            return vec![(Duration::ZERO, answer(message, "401 Unauthorized", &header))];
        }
        self.nonce += u32::from(rng.random_range(0..3) == 0);
        let stale = ["", ", stale=true", ", stale=\"TRUE\""][rng.random_range(0..3)];
        let algorithm = ["", ", algorithm=MD5", ", algorithm=\"SHA-256\""][rng.random_range(0..3)];
        let header = format!(
            "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"{}\", qop=\"auth\"{stale}{algorithm}\r\n",
            self.nonce
        );
        vec![(Duration::ZERO, answer(message, "401 Unauthorized", &header))]
    }

    fn register(&mut self, message: &Message<'_>, rng: &mut StdRng) -> Frames {
        let contact = message
            .first("Contact")
            .map(parse::text)
            .unwrap_or_default();
        let good = format!("Contact: <sip:other@host>;expires=9, {contact}\r\n");
        let bare = contact.split(";expires").next().unwrap_or_default();
        let dice = match self.stubborn {
            _ if self.kind => 0,
            Some(mood) => mood,
            None => rng.random_range(0..MOODS),
        };
        self.demands += 1;
        let (status, more) = match dice {
            0..=5 => ("200 OK", good),
            6 => ("200 OK", "Contact: <sip:other@host>\r\n".to_owned()),
            7 => (
                "200 OK",
                format!("Contact: {bare};expires={}\r\n", rng.random_range(0..40)),
            ),
            8 => (
                "200 OK",
                format!("Contact: {bare};expires=soon\r\nExpires: never\r\n"),
            ),
            9 => (
                "423 Interval Too Brief",
                format!("Min-Expires: {}\r\n", 590 + self.demands),
            ),
            10 => ("503 Service Unavailable", "Retry-After: 20\r\n".to_owned()),
            11 => ("403 Forbidden", String::new()),
            12 => return Vec::new(),
            _ => ("500 [oops]", String::new()),
        };
        vec![(Duration::ZERO, answer(message, status, &more))]
    }

    fn deliver(&self, message: &Message<'_>, rng: &mut StdRng) -> Frames {
        const FINALS: [&str; 9] = [
            "200 OK",
            "200 OK",
            "202 Accepted",
            "480 [gone]",
            "404 Not Found",
            "503 Busy",
            "603 Decline",
            "302 Moved",
            "415 Unsupported",
        ];
        let status = FINALS[rng.random_range(0..FINALS.len())];
        let meant_for = message.call_id.map(parse::text).unwrap_or_default();
        let more = format!("{MEANT_FOR}: {meant_for}\r\n");
        let last = answer(message, status, &more);
        let dice = if self.kind {
            0
        } else {
            rng.random_range(0..10)
        };
        let later = Duration::from_millis(rng.random_range(0..40_000));
        match dice {
            0..=4 => vec![(Duration::ZERO, last)],
            5 => vec![
                (Duration::ZERO, answer(message, "100 Trying", "")),
                (later, last),
            ],
            6 => vec![(Duration::ZERO, last.clone()), (later, last)],
            7 => vec![(Duration::ZERO, answer(message, "100 Trying", ""))],
            8 => vec![(later, last)],
            _ => Vec::new(),
        }
    }

    /// Now and then an answer goes out a second time, under the Via of another request.
    fn mix_up(&mut self, message: &Message<'_>, frames: &mut Frames, rng: &mut StdRng) {
        let via = message.via.map(parse::text).unwrap_or_default();
        let other = self.vias.get(rng.random_range(0..8)).cloned();
        if let (Some(other), Some((_, frame))) = (other, frames.first())
            && rng.random_range(0..4) == 0
            && let Ok(text) = std::str::from_utf8(frame)
        {
            let mixed = text.replacen(&via, &other, 1).into_bytes();
            frames.push((Duration::ZERO, mixed));
        }
        self.vias.insert(0, via);
        self.vias.truncate(8);
    }
}

fn answer(message: &Message<'_>, status: &str, more: &str) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in message.all(name) {
            text.push_str(&format!("{name}: {}\r\n", parse::text(value)));
        }
    }
    text.push_str(more);
    text.push_str("Content-Length: 0\r\n\r\n");
    text.into_bytes()
}
