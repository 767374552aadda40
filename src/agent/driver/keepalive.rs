//! How a connection is kept alive, and how its death is noticed.

use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Message;

use crate::clock;

/// How a connection is kept alive, and how its death is noticed.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// What is sent.
    pub probe: Probe,
    /// After so long without a frame from the server.
    pub interval: Duration,
    /// How long the server may take to send anything after that, and to read what is written.
    pub timeout: Duration,
}

/// What asks a server whether it is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probe {
    /// A WebSocket ping (RFC 6455 §5.5.2).
    Ping,
    /// Two line ends (RFC 5626 §3.5.1), for servers that want them.
    Crlf,
    /// Nothing.
    None,
}

impl Keepalive {
    /// When the connection is probed, or, once it was, counts as dead.
    pub(in crate::agent) fn probe_at(self, heard: Instant, probed: bool) -> Option<Instant> {
        let at = heard + self.interval;
        match (self.probe, probed) {
            (Probe::None, _) => None,
            (_, false) => Some(at),
            (_, true) => Some(at + self.timeout),
        }
    }

    /// Whether the server was asked for a sign of life and has given none in time.
    pub(in crate::agent) fn is_over(self, heard: Instant, probed: bool) -> bool {
        let end = self.probe_at(heard, true);
        probed && end.is_some_and(|at| at <= clock::now())
    }

    /// What is written as a probe.
    pub(super) fn frame(self) -> Message {
        match self.probe {
            Probe::Crlf => Message::Text("\r\n\r\n".into()),
            Probe::Ping | Probe::None => Message::Ping(bytes::Bytes::new()),
        }
    }
}
