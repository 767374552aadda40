//! A SIP message as it passed over an agent's connection, with its credentials masked.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::id::MessageId;
use super::time::Timestamp;

/// One frame of a trace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// When it was handed to the connection, or taken from it: microseconds since
    /// 1970-01-01T00:00:00Z.
    pub micros: i64,
    /// Which way it went.
    pub direction: Direction,
    /// The agent whose connection it is.
    pub agent: Arc<str>,
    /// The agent's end of the connection.
    pub local: SocketAddr,
    /// The server's end of the connection, or that of a proxy before it.
    pub remote: SocketAddr,
    /// As long as on the wire. Credentials are masked; so are bodies, unless they are traced.
    pub bytes: Bytes,
}

/// Which way a frame went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From the agent to its server.
    Sent,
    /// From the server to the agent.
    Received,
}

/// Frames of one message: of an attempt, or of what came in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FrameRecord {
    /// The message that they belong to.
    pub message: MessageId,
    /// In the order in which they passed; at least one.
    pub frames: Vec<Frame>,
}

impl Direction {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

impl Frame {
    /// When it passed, in milliseconds.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.micros.div_euclid(1_000))
    }

    /// Where it came from, and where it went to.
    pub fn way(&self) -> (SocketAddr, SocketAddr) {
        match self.direction {
            Direction::Sent => (self.local, self.remote),
            Direction::Received => (self.remote, self.local),
        }
    }

    /// The first line, without its end: what a person looks for. Bytes that are no UTF-8 are
    /// replaced.
    pub fn first_line(&self) -> String {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let begin = self.bytes.iter().position(|byte| !is_end(byte));
        let text = self.bytes.get(begin.unwrap_or_default()..);
        let text = text.unwrap_or_default();
        let end = text.iter().position(is_end).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).into_owned()
    }
}

impl FrameRecord {
    /// When its first frame passed. With the message it names the record.
    pub fn begun(&self) -> i64 {
        self.frames.first().map_or(0, |frame| frame.micros)
    }

    /// Bytes that it takes in memory, and no less than in the store.
    pub fn weight(&self) -> usize {
        /// What a frame has besides its bytes.
        const FRAME: usize = 128;
        let frames = self.frames.iter();
        frames.map(|frame| FRAME + frame.bytes.len()).sum()
    }
}
