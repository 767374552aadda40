//! An open connection: writing, reading, and how its death is noticed.

use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::Opening;
use crate::agent::websocket;
use crate::agent::websocket::Socket;
use crate::clock;

/// How long the registrar may take to let an agent go, and a server to take a close frame.
pub(super) const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Frames read before what they led to is written.
const READ_BATCH: usize = 256;

/// How a connection is kept alive, and how its death is noticed.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// The probe that is sent.
    pub probe: Probe,
    /// After so long without a frame from the server.
    pub interval: Duration,
    /// How long the server may take to send anything after that, and to read frames.
    pub timeout: Duration,
}

/// What asks a server whether it is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probe {
    /// A WebSocket ping (RFC 6455 §5.5.2).
    Ping,
    /// Two line ends (RFC 5626 §3.5.1), for servers that want them.
    Crlf,
    None,
}

impl Keepalive {
    /// When the connection is probed, or, once it was, counts as dead.
    pub(in crate::agent) fn probe_at(self, heard: Instant, probed: bool) -> Option<Instant> {
        let at = heard + self.interval;
        match (self.probe, probed) {
            (Probe::None, _) => None,
            (Probe::Ping | Probe::Crlf, false) => Some(at),
            (Probe::Ping | Probe::Crlf, true) => Some(at + self.timeout),
        }
    }

    /// Whether the server was probed and has sent nothing in time.
    pub(in crate::agent) fn is_over(self, heard: Instant, probed: bool) -> bool {
        let end = self.probe_at(heard, true);
        probed && end.is_some_and(|at| at <= clock::now())
    }
}

/// A connection at work.
pub(super) struct ServerLine {
    pub(super) socket: Box<Socket>,
    /// The server at its other end.
    pub(super) server: usize,
    /// To be written.
    pub(super) frames: Vec<Message>,
    keepalive: Keepalive,
    /// When something came in last.
    heard: Instant,
    /// Whether the server was probed since.
    probed: bool,
    pub(super) departure: Departure,
    /// On its way to a heavier server that may be back.
    pub(super) upward: Option<(usize, Opening)>,
    /// The connection to it: the agent moves there.
    pub(super) better: Option<(usize, Box<Socket>)>,
    /// Why the connection is to be given up although it is open.
    pub(super) abandoned: Option<String>,
}

/// Whether the agent leaves its registrar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Departure {
    None,
    /// It unregisters, until then at the latest.
    Unregistering(Instant),
    /// It is unregistered; requests that came in before are answered, until then at the latest.
    Answering(Instant),
}

impl Departure {
    /// The registrar let it go.
    pub(super) fn unregistered(&mut self) {
        if let Self::Unregistering(until) = *self {
            *self = Self::Answering(until);
        }
    }

    /// When it ends at the latest.
    fn until(self) -> Option<Instant> {
        match self {
            Self::None => None,
            Self::Unregistering(until) | Self::Answering(until) => Some(until),
        }
    }
}

impl ServerLine {
    pub(super) fn new(socket: Box<Socket>, server: usize, keepalive: Keepalive) -> Self {
        Self {
            socket,
            server,
            frames: Vec::new(),
            keepalive,
            heard: clock::now(),
            probed: false,
            departure: Departure::None,
            upward: None,
            better: None,
            abandoned: None,
        }
    }

    /// Whether a heavier server would be of interest.
    pub(super) fn looks_upward(&self) -> bool {
        self.upward.is_none() && self.better.is_none() && self.departure == Departure::None
    }

    /// Whether the registrar was left and all of so many requests are answered, or that took too
    /// long.
    pub(super) fn is_left(&self, unanswered: usize) -> bool {
        let is_over = self.departure.until().is_some_and(|at| at <= clock::now());
        match self.departure {
            Departure::None => false,
            Departure::Unregistering(_) => is_over,
            Departure::Answering(_) => is_over || unanswered == 0,
        }
    }

    /// When the connection itself wants something.
    pub(super) fn deadlines(&self) -> [Option<Instant>; 2] {
        [self.probe_at(), self.departure.until()]
    }

    fn probe_at(&self) -> Option<Instant> {
        self.keepalive.probe_at(self.heard, self.probed)
    }

    /// Probes the connection when that is due.
    pub(super) fn probe(&mut self, now: Instant) {
        if self.probed || self.probe_at().is_none_or(|at| at > now) {
            return;
        }
        self.probed = true;
        self.frames.push(match self.keepalive.probe {
            Probe::Crlf => Message::Text("\r\n\r\n".into()),
            Probe::Ping | Probe::None => Message::Ping(bytes::Bytes::new()),
        });
    }

    /// Whether the server was probed and has sent nothing in time.
    pub(super) fn is_dead(&self) -> bool {
        self.keepalive.is_over(self.heard, self.probed)
    }

    /// Writes the frames, as long as the server reads.
    pub(super) async fn flush(&mut self) -> Result<(), String> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let writing = websocket::write(&mut self.socket, std::mem::take(&mut self.frames));
        match timeout(self.keepalive.timeout, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the server reads nothing".to_owned()),
        }
    }

    /// Takes a frame and whatever else is there already; the reason when the connection is of no
    /// more use.
    pub(super) fn read(
        &mut self,
        first: Option<Result<Message, WsError>>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), String> {
        self.heard = clock::now();
        self.probed = false;
        let mut next = Some(first);
        let mut count = 0;
        while let Some(frame) = next {
            let frame = frame.ok_or("the connection was closed")?;
            match frame.map_err(|error| error.to_string())? {
                Message::Text(text) => take(text.as_bytes()),
                Message::Binary(bytes) => take(&bytes),
                // The library answers pings by itself.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(Some(close)) => {
                    let code = u16::from(close.code);
                    return Err(format!("the server closed: {code} {}", close.reason));
                }
                Message::Close(None) => return Err("the server closed".to_owned()),
            }
            count += 1;
            if count == READ_BATCH {
                break;
            }
            next = self.socket.next().now_or_never();
        }
        Ok(())
    }

    /// Closes the connection, which also answers a close frame of the server (RFC 6455 §5.5.1).
    pub(super) async fn close(&mut self) {
        let _ = timeout(LEAVE_TIMEOUT, websocket::close(&mut self.socket)).await;
    }
}
