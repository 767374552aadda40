//! Event streams (the `text/event-stream` of the HTML standard).
//!
//! Each stream has a task that reads the log and hands chunks over through a short queue. When the
//! client takes nothing for [`STALL`], the task gives up and the stream ends: the client comes back
//! with its `Last-Event-ID`, and has held nobody up meanwhile.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::Response;
use bytes::BufMut as _;
use bytes::Bytes;
use bytes::BytesMut;
use futures_util::stream;
use rand::RngExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;

use super::Api;
use super::messages;
use crate::events::EventId;
use crate::events::Follower;
use crate::events::Gap;
use crate::events::Subscription;
use crate::store::Logged;

/// How long a client may take nothing.
const STALL: Duration = Duration::from_secs(20);
/// Chunks that wait for a client, each of at most [`MAX_CHUNK`] and one event.
const QUEUE: usize = 8;
/// Bytes gathered into one chunk.
const MAX_CHUNK: usize = 64 * 1024;
/// How long a client waits before it comes back, in milliseconds.
const RETRY: u64 = 3_000;

/// The stream of one message: what there was, then what comes, to its terminal event.
pub(super) fn of_message(
    api: &Api,
    mut follower: Follower,
    before: Vec<Logged>,
    replayed: bool,
) -> Response {
    let (writer, response) = open(api, None);
    let (epoch, closing) = (api.store.epoch(), api.closing.clone());
    tokio::spawn(async move {
        let mut writer = writer;
        let mut seen = before.last().map_or(0, |event| event.seq);
        let has_ended = before.last().is_some_and(|event| event.kind.is_terminal());
        if writer.events(epoch, &before).await.is_err() || has_ended {
            return;
        }
        loop {
            tokio::select! {
                event = follower.next() => {
                    let Some(event) = event else { return };
                    if event.seq <= seen {
                        continue;
                    }
                    seen = event.seq;
                    let is_last = event.kind.is_terminal();
                    if writer.events(epoch, &[event]).await.is_err() || is_last {
                        return;
                    }
                }
                () = tokio::time::sleep(writer.heartbeat) => {
                    if writer.comment().await.is_err() {
                        return;
                    }
                }
                () = closing.cancelled() => return writer.farewell().await,
                () = writer.chunks.closed() => return,
            }
        }
    });
    let mut response = response;
    messages::mark_replayed(&mut response, replayed);
    response
}

/// The stream of the whole log.
pub(super) fn of_log(
    api: &Api,
    mut subscription: Subscription,
    gap: Option<Gap>,
    permit: OwnedSemaphorePermit,
) -> Response {
    let (writer, response) = open(api, Some(permit));
    let (epoch, closing) = (api.store.epoch(), api.closing.clone());
    tokio::spawn(async move {
        let mut writer = writer;
        if let Some(gap) = gap
            && writer.gap(&gap).await.is_err()
        {
            return;
        }
        loop {
            tokio::select! {
                events = subscription.next() => {
                    // The store is gone, or cannot be read now: the client comes back.
                    let Ok(events) = events else { return };
                    if writer.events(epoch, &events).await.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(writer.heartbeat) => {
                    if writer.comment().await.is_err() {
                        return;
                    }
                }
                () = closing.cancelled() => return writer.farewell().await,
                () = writer.chunks.closed() => return,
            }
        }
    });
    response
}

struct Writer {
    chunks: mpsc::Sender<Bytes>,
    heartbeat: Duration,
    /// Held as long as the stream is open.
    _permit: Option<OwnedSemaphorePermit>,
}

/// The client is gone, or takes nothing.
struct Gone;

fn open(api: &Api, permit: Option<OwnedSemaphorePermit>) -> (Writer, Response) {
    let (chunks, queue) = mpsc::channel(QUEUE);
    // The queue is empty, so there is room.
    let _ = chunks.try_send(Bytes::from(format!("retry: {RETRY}\n\n")));
    let body = stream::unfold(queue, |mut queue| async move {
        let chunk = queue.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), queue))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    (
        Writer {
            chunks,
            heartbeat: api.settings.heartbeat,
            _permit: permit,
        },
        response,
    )
}

impl Writer {
    async fn send(&self, chunk: Bytes) -> Result<(), Gone> {
        self.chunks
            .send_timeout(chunk, STALL)
            .await
            .map_err(|_| Gone)
    }

    async fn events(&mut self, epoch: u64, events: &[Logged]) -> Result<(), Gone> {
        let mut chunk = BytesMut::new();
        for event in events {
            frame(epoch, event, &mut chunk);
            if chunk.len() >= MAX_CHUNK {
                self.send(chunk.split().freeze()).await?;
            }
        }
        if chunk.is_empty() {
            return Ok(());
        }
        self.send(chunk.freeze()).await
    }

    async fn comment(&self) -> Result<(), Gone> {
        self.send(Bytes::from_static(b":\n\n")).await
    }

    async fn gap(&self, gap: &Gap) -> Result<(), Gone> {
        // Strings and numbers are always JSON.
        let data = serde_json::to_string(gap).unwrap_or_default();
        let id = gap.resumed_from;
        self.send(Bytes::from(format!(
            "id: {id}\nevent: gap\ndata: {data}\n\n"
        )))
        .await
    }

    /// Sends clients away for different times, so that they do not all come back at once.
    async fn farewell(&self) {
        let retry = rand::rng().random_range(RETRY / 3..RETRY * 2);
        let _ = self.send(Bytes::from(format!("retry: {retry}\n\n"))).await;
    }
}

fn frame(epoch: u64, event: &Logged, chunk: &mut BytesMut) {
    let id = EventId {
        epoch,
        seq: event.seq,
    };
    let head = format!("id: {id}\nevent: {}\ndata: ", event.kind.as_str());
    chunk.reserve(head.len() + event.json.len() + 2);
    chunk.put_slice(head.as_bytes());
    chunk.put_slice(&event.json);
    chunk.put_slice(b"\n\n");
}
