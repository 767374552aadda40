//! Event streams (`text/event-stream` of the HTML standard).
//!
//! A stream is read by the connection that carries it, when that has room: there is no task and no
//! queue behind it, so a client that takes nothing costs its connection's buffer, one chunk, and as
//! much of what happens to the message that it follows. When it takes nothing for [`STALL`] the
//! stream ends, or its connection does ([`super::connection`]): it comes back with its
//! `Last-Event-ID`, and has delayed no other reader.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, stream};
use rand::RngExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::until::{StreamEnd, Until};
use super::wait_comment::WaitComment;
use super::{Api, StreamPermit};
use crate::events::{CHUNK, Follower, Gap, Heard, Subscription};
use crate::message::EventId;
use crate::store::{Events, Logged, Store, StoreError};

/// How long a client may take over a chunk.
pub(super) const STALL: Duration = Duration::from_secs(20);
/// How long a client waits before it comes back, in milliseconds.
const RETRY: u64 = 3_000;
/// What a block has beside the JSON of its event, at most.
const FRAME: usize = 96;

/// The stream of one message: what there was, of which `before` is the first page, then what comes,
/// to its `end`.
pub(super) fn of_message(
    api: &Api,
    follower: Follower,
    before: Events,
    end: StreamEnd,
    permit: StreamPermit,
) -> Response {
    let waits = WaitComment::new(api, follower.id());
    let source = EventSource::Message {
        follower,
        seen: before.scanned_to,
        is_behind: before.is_cut,
        store: api.store.clone(),
        until: end.until,
    };
    let mut stream = EventStream::new(api, source, permit);
    stream.end = end;
    stream.head.extend_from_slice(waits.first().as_bytes());
    stream.waits = Some(waits);
    stream.take(NextEvents::of(before.events, end.until));
    stream.into_response()
}

/// The stream of the whole log.
pub(super) fn of_log(api: &Api, subscription: Subscription, permit: StreamPermit) -> Response {
    let position = subscription.position();
    let mut stream = EventStream::new(api, EventSource::Log(subscription), permit);
    // A block without data is no event, but it is where the client comes back to: one that loses
    // its connection before the first event misses none.
    stream.head.extend_from_slice(b"id: ");
    put_id(position, &mut stream.head);
    stream.head.extend_from_slice(b"\n\n");
    stream.into_response()
}

/// Where the events of a stream come from.
enum EventSource {
    Log(Subscription),
    Message {
        follower: Follower,
        /// The last event that was taken.
        seen: u64,
        /// There are events after that one which were not heard of.
        is_behind: bool,
        /// Where what was not heard of can be read.
        store: Arc<dyn Store>,
        until: Until,
    },
}

/// What a source has next.
#[derive(Default)]
struct NextEvents {
    gap: Option<Gap>,
    events: Vec<Logged>,
    is_last: bool,
}

impl NextEvents {
    /// Events of one message, as far as its stream goes.
    fn of(mut events: Vec<Logged>, until: Until) -> Self {
        let mut all = events.iter();
        let last = all.position(|event| until.is_reached_by(event.kind));
        let is_last = last.is_some();
        events.truncate(last.map_or(events.len(), |last| last + 1));
        Self {
            gap: None,
            events,
            is_last,
        }
    }
}

impl EventSource {
    /// Cancel-safe: nothing is taken before it is returned.
    async fn next(&mut self) -> Result<NextEvents, StoreError> {
        match self {
            Self::Log(subscription) => {
                let page = subscription.next().await?;
                Ok(NextEvents {
                    gap: page.gap,
                    events: page.events,
                    is_last: false,
                })
            }
            Self::Message {
                follower,
                seen,
                is_behind,
                store,
                until,
            } => loop {
                if *is_behind {
                    let page = store.events_of(follower.id(), *seen, CHUNK).await?;
                    *seen = page.scanned_to;
                    *is_behind = page.is_cut;
                    if !page.events.is_empty() {
                        return Ok(NextEvents::of(page.events, *until));
                    }
                }
                match follower.next().await.ok_or(StoreError::Closed)? {
                    Heard::Event(event) if event.seq > *seen => {
                        *seen = event.seq;
                        return Ok(NextEvents::of(vec![event], *until));
                    }
                    // It was read from the log before.
                    Heard::Event(_) => {}
                    Heard::Missed => *is_behind = true,
                }
            },
        }
    }

    /// Durable events that were not given yet, without waiting for more. Part of it, or nothing.
    async fn rest(&mut self) -> Result<NextEvents, StoreError> {
        match self {
            Self::Log(subscription) => {
                let page = subscription.rest().await?;
                Ok(NextEvents {
                    gap: page.gap,
                    events: page.events,
                    is_last: false,
                })
            }
            Self::Message {
                follower,
                seen,
                store,
                until,
                ..
            } => {
                let page = store.events_of(follower.id(), *seen, CHUNK).await?;
                *seen = page.scanned_to;
                Ok(NextEvents::of(page.events, *until))
            }
        }
    }

    /// Where the client is, when it has taken everything; in the log only, because the events of
    /// one message are few.
    fn position(&self) -> Option<EventId> {
        match self {
            Self::Log(subscription) => Some(subscription.position()),
            Self::Message { .. } => None,
        }
    }
}

struct EventStream {
    source: EventSource,
    epoch: u64,
    /// What goes before the events.
    head: BytesMut,
    waiting: VecDeque<Logged>,
    /// Nothing follows what waits.
    is_over: bool,
    /// Of one message: when nothing more is waited for.
    end: StreamEnd,
    /// Of one message: the comment while nothing happens.
    waits: Option<WaitComment>,
    heartbeat: Duration,
    /// When the client was given something last.
    given: Instant,
    closing: CancellationToken,
    permit: StreamPermit,
}

impl EventStream {
    fn new(api: &Api, source: EventSource, permit: StreamPermit) -> Self {
        Self {
            source,
            epoch: api.feed.epoch(),
            head: BytesMut::from(&*head()),
            waiting: VecDeque::new(),
            is_over: false,
            end: StreamEnd::default(),
            waits: None,
            heartbeat: api.settings.heartbeat,
            given: Instant::now(),
            closing: api.closing.clone(),
            permit,
        }
    }

    fn into_response(self) -> Response {
        let chunks = stream::unfold(self, |mut stream| async move {
            let chunk = stream.chunk().await?;
            stream.given = Instant::now();
            Some((Ok::<_, Infallible>(chunk), stream))
        });
        response(chunks)
    }

    /// What to give the client next: everything that gathered, as far as it goes into one chunk.
    /// Begins when the client has taken the chunk before.
    async fn chunk(&mut self) -> Option<Bytes> {
        if self.given.elapsed() > STALL {
            return None;
        }
        loop {
            if !self.head.is_empty() || !self.waiting.is_empty() {
                return Some(self.gathered());
            }
            if self.is_over || self.end.is_past() {
                return None;
            }
            // Before the message has ended its end is waited for.
            let in_time = self.end.at.filter(|_| self.end.has_ended);
            let end = in_time.unwrap_or(self.given);
            let waits = self.waits.as_ref().filter(|_| !self.end.has_ended);
            let told_at = waits.map(WaitComment::due);
            tokio::select! {
                biased;
                () = self.permit.revoked.cancelled() => {
                    self.is_over = true;
                    return Some(farewell());
                }
                () = self.closing.cancelled() => match self.source.rest().await {
                    // Nothing new happens any more, so this comes to an end.
                    Ok(rest) if rest.gap.is_some() || !rest.events.is_empty() => self.take(rest),
                    Ok(_) | Err(_) => {
                        self.is_over = true;
                        return Some(farewell());
                    }
                },
                next = self.source.next() => match next {
                    Ok(next) => self.take(next),
                    // The log cannot be read now. The client comes back where it is.
                    Err(error) => {
                        tracing::debug!(%error, "an event stream ended");
                        return None;
                    }
                },
                () = tokio::time::sleep_until(end), if in_time.is_some() => return None,
                () = tokio::time::sleep_until(told_at.unwrap_or(self.given)), if told_at.is_some() => {
                    let heartbeat = self.heartbeat;
                    let comment = self.waits.as_mut().map(|waits| waits.comment(heartbeat));
                    return Some(comment?.await.into());
                }
                () = tokio::time::sleep_until(self.given + self.heartbeat) => {
                    return Some(self.comment());
                }
            }
        }
    }

    fn take(&mut self, next: NextEvents) {
        if let Some(gap) = &next.gap {
            put_gap(gap, &mut self.head);
        }
        if let Some(waits) = &mut self.waits {
            waits.postpone();
        }
        let mut events = next.events.iter();
        self.end.has_ended |= events.any(|event| event.kind.is_terminal());
        self.waiting.extend(next.events);
        self.is_over = next.is_last;
    }

    fn gathered(&mut self) -> Bytes {
        let head = std::mem::take(&mut self.head);
        let (mut size, mut count) = (head.len(), 0);
        for event in &self.waiting {
            let with_event = size + event.json.len() + FRAME;
            if count > 0 && with_event > CHUNK.bytes {
                break;
            }
            (size, count) = (with_event, count + 1);
        }
        // All at once: a buffer that grows may be twice as large as its contents.
        let mut chunk = BytesMut::with_capacity(size);
        chunk.extend_from_slice(&head);
        for event in self.waiting.drain(..count) {
            put_event(self.epoch, &event, &mut chunk);
        }
        chunk.freeze()
    }

    /// A sign of life; it also moves the client on over what a filter held back, so that it never
    /// comes back from further away than it was.
    fn comment(&self) -> Bytes {
        let mut chunk = BytesMut::from(&b":\n"[..]);
        if let Some(position) = self.source.position() {
            chunk.put_slice(b"id: ");
            put_id(position, &mut chunk);
            chunk.put_u8(b'\n');
        }
        chunk.put_u8(b'\n');
        chunk.freeze()
    }
}

/// What every stream begins with.
pub(super) fn head() -> Bytes {
    format!("retry: {RETRY}\n\n").into()
}

/// An answer whose body is these chunks.
pub(super) fn response(
    chunks: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
) -> Response {
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    let event_stream = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, event_stream);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Sends clients away for different times, so that they do not all come back at once.
pub(super) fn farewell() -> Bytes {
    let retry = rand::rng().random_range(RETRY / 3..RETRY * 2);
    Bytes::from(format!("retry: {retry}\n\n"))
}

fn put_gap(gap: &Gap, chunk: &mut BytesMut) {
    // Strings and numbers are always JSON.
    let data = serde_json::to_string(gap).unwrap_or_default();
    let id = gap.resumed_from;
    let block = format!("id: {id}\nevent: gap\ndata: {data}\n\n");
    chunk.extend_from_slice(block.as_bytes());
}

/// The JSON of an event was written once, when it was recorded; here it is only copied.
fn put_event(epoch: u64, event: &Logged, chunk: &mut BytesMut) {
    let seq = event.seq;
    chunk.reserve(event.json.len() + FRAME);
    chunk.put_slice(b"id: ");
    put_id(EventId { epoch, seq }, chunk);
    chunk.put_slice(b"\nevent: ");
    chunk.put_slice(event.kind.as_str().as_bytes());
    chunk.put_slice(b"\ndata: ");
    chunk.put_slice(&event.json);
    chunk.put_slice(b"\n\n");
}

fn put_id(id: EventId, chunk: &mut BytesMut) {
    use std::fmt::Write as _;
    // Writing to memory cannot fail.
    let _ = write!(chunk, "{id}");
}
