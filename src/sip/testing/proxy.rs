//! A proxy that brings requests of others: it forks them to several agents, repeats them, and looks
//! at the answers.
//!
//! A fork that reached its agent unharmed, over a connection that lasted, has its answer in the
//! end. However often it was repeated, the answers are one and the same, for as long as it is kept.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::sip::headers::via_branch;
use crate::sip::parse;
use crate::sip::parse::{ParseLimits, StartLine};

/// Requests that it brings in bad times, and in good ones.
const REQUESTS: usize = 12;

/// How long after the first time a request is repeated, at most.
const LAST_REPETITION: Duration = Duration::from_secs(20);

/// How long all answers are the same as the first: an agent keeps one for 32 s, and the slowest
/// wire takes three.
const SAME_ANSWER: Duration = Duration::from_secs(28);

const BODIES: [(&str, &str); 6] = [
    ("Content-Type: text/plain\r\n", "hi"),
    ("", ""),
    (
        "Content-Type: message/cpim\r\n",
        "From: <sip:b@c>\r\n\r\n\r\nhi",
    ),
    (
        "Content-Type: message/imdn+xml\r\n",
        "<imdn><message-id>a</message-id><delivery-notification><status><delivered/></status>\
         </delivery-notification></imdn>",
    ),
    ("Content-Type: application/im-iscomposing+xml\r\n", "<x/>"),
    ("Content-Encoding: deflate\r\n", "no"),
];

#[derive(Debug, Default)]
pub(super) struct Proxy {
    forks: Vec<Fork>,
    brought: usize,
    /// When the next request comes.
    next: Option<Instant>,
}

/// A request on its way to one agent.
#[derive(Debug)]
struct Fork {
    branch: String,
    seat: usize,
    connection: u64,
    frame: Vec<u8>,
    /// When it is repeated, the last time first.
    again: Vec<Instant>,
    /// The first answer, and when it came.
    answer: Option<(Instant, Vec<u8>)>,
    /// The connection was lost before its answer came.
    is_lost: bool,
    /// A damaged one may never get its answer, or another one.
    may_be_damaged: bool,
}

impl Proxy {
    /// Brings as many requests again.
    pub(super) fn begin_again(&mut self) {
        self.brought = 0;
    }

    /// Whether it has brought all its requests, and none is on its way.
    pub(super) fn is_done(&self) -> bool {
        let is_open = |fork: &Fork| fork.answer.is_none() && !fork.is_lost && !fork.may_be_damaged;
        self.brought == REQUESTS && !self.forks.iter().any(is_open)
    }

    /// When it next has something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        let repetitions = self.forks.iter().filter_map(|fork| fork.again.last());
        repetitions.copied().chain(self.next).min()
    }

    /// What it sends now, and to whom, over connections that are open: of each its seat and number.
    pub(super) fn speak(
        &mut self,
        now: Instant,
        open: &[(usize, u64)],
        may_be_damaged: bool,
        rng: &mut StdRng,
    ) -> Vec<(usize, Vec<u8>)> {
        let mut frames = Vec::new();
        if self.brought < REQUESTS && self.next.is_none_or(|at| at <= now) {
            self.brought += 1;
            let pause = rng.random_range(100..15_000);
            let is_last = self.brought == REQUESTS;
            self.next = (!is_last).then(|| now + Duration::from_millis(pause));
            let number = self.forks.len();
            let method = ["MESSAGE", "MESSAGE", "MESSAGE", "OPTIONS"][rng.random_range(0..4)];
            let body = BODIES[rng.random_range(0..BODIES.len())];
            for &(seat, connection) in open {
                if rng.random_range(0..3) > 0 {
                    let fork = Fork {
                        seat,
                        connection,
                        may_be_damaged,
                        again: repetitions(now, rng),
                        ..Fork::new(method, number, self.forks.len(), body)
                    };
                    frames.push((seat, fork.frame.clone()));
                    self.forks.push(fork);
                }
            }
        }
        for fork in &mut self.forks {
            while fork.again.last().is_some_and(|at| *at <= now) {
                fork.again.pop();
                fork.may_be_damaged |= may_be_damaged;
                frames.push((fork.seat, fork.frame.clone()));
            }
        }
        frames
    }

    /// Takes an answer that came over this connection.
    pub(super) fn handle_response(&mut self, now: Instant, connection: u64, frame: &[u8]) {
        let Ok(message) = parse::parse(frame, ParseLimits::default()) else {
            return;
        };
        let StartLine::Response { status, .. } = message.start else {
            return;
        };
        let branch = message.via.and_then(via_branch);
        let fork = self
            .forks
            .iter_mut()
            .find(|fork| fork.connection == connection && branch == Some(fork.branch.as_bytes()));
        let Some(fork) = fork else {
            return;
        };
        assert_ne!(status.as_u16(), 503, "a proxy would leave the flow alone");
        let (at, first) = fork.answer.get_or_insert_with(|| (now, frame.to_vec()));
        let is_same = first == frame || *at + SAME_ANSWER < now;
        assert!(is_same || fork.may_be_damaged, "two answers to one request");
    }

    /// A connection is lost, and the answers that were to come over it.
    pub(super) fn handle_cut(&mut self, connection: u64) {
        for fork in &mut self.forks {
            if fork.connection == connection {
                fork.again.clear();
                fork.is_lost = fork.answer.is_none();
            }
        }
    }
}

impl Fork {
    fn new(method: &str, number: usize, branch: usize, (header, body): (&str, &str)) -> Self {
        let branch = format!("z9hG4bKfork{branch}");
        let frame = format!(
            "{method} sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/WS proxy;branch={branch}\r\n\
             From: <sip:bob@example.com>;tag=f\r\nTo: <sip:alice@example.com>\r\n\
             Call-ID: fork-{number}\r\nCSeq: 1 {method}\r\n{header}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Self {
            branch,
            seat: 0,
            connection: 0,
            frame: frame.into_bytes(),
            again: Vec::new(),
            answer: None,
            is_lost: false,
            may_be_damaged: false,
        }
    }
}

/// When a request is repeated, if it is, the last time first.
fn repetitions(now: Instant, rng: &mut StdRng) -> Vec<Instant> {
    let count = rng.random_range(0..4);
    let mut times: Vec<_> = (0..count)
        .map(|_| now + LAST_REPETITION.mul_f64(rng.random::<f64>()))
        .collect();
    times.sort_unstable();
    times.reverse();
    times
}
