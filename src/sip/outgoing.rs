//! A request as its sender hands it to a user agent.

use std::sync::Arc;

use bytes::Bytes;

/// A request without what a connection adds to it: Via, Route, credentials, CSeq and
/// Content-Length are written by the [`UserAgent`](super::UserAgent).
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// `MESSAGE`.
    pub method: &'static str,
    /// The Request-URI, as it goes on the wire.
    pub uri: Arc<str>,
    /// The same in every attempt at one message.
    pub call_id: String,
    /// The tag of From, which answers repeat.
    pub from_tag: String,
    /// The first CSeq number; each answered challenge takes the next.
    pub cseq: u32,
    /// Every other header, as complete lines with their ends. What is in it was checked before:
    /// one line to a header, and none that this user agent writes.
    pub head: Vec<u8>,
    /// As many bytes as Content-Length will say.
    pub body: Bytes,
}
