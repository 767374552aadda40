//! `…/sip`: the SIP messages of a message, of one that came in, and of an agent as they pass.

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::Caller;
use super::error::ApiError;
use super::negotiate::TraceForm;
use super::params::{Id, Nothing, Query};
use super::{Api, StreamPermit, agents, json, messages, negotiate, received, sse};
use crate::message::{Frame, MessageId, Timestamp};
use crate::trace::{Passed, TapReader, capture, ladder};

/// A frame as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FrameView<'f> {
    time: Timestamp,
    direction: &'static str,
    agent: &'f str,
    local: String,
    remote: String,
    frame: Cow<'f, str>,
    /// `base64` for bytes that are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_encoding: Option<&'static str>,
}

#[derive(Serialize)]
struct FramesView<'f> {
    data: Vec<FrameView<'f>>,
}

/// How many frames a stream was too slow for.
#[derive(Serialize)]
struct MissedView {
    frames: u64,
}

impl<'f> FrameView<'f> {
    fn of(frame: &'f Frame) -> Self {
        let (text, encoding) = match std::str::from_utf8(&frame.bytes) {
            Ok(text) => (Cow::Borrowed(text), None),
            Err(_) => (Cow::Owned(STANDARD.encode(&frame.bytes)), Some("base64")),
        };
        Self {
            time: frame.time(),
            direction: frame.direction.as_str(),
            agent: &frame.agent,
            local: frame.local.to_string(),
            remote: frame.remote.to_string(),
            frame: text,
            frame_encoding: encoding,
        }
    }
}

/// `GET /messages/{id}/sip`.
pub(super) async fn of_message(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let form = negotiate::trace_form(&headers)?;
    let id = messages::parse_id(&id)?;
    messages::find(&api, &caller, id).await?;
    trace(&api, id, form).await
}

/// `GET /received/{id}/sip`.
pub(super) async fn of_received(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let form = negotiate::trace_form(&headers)?;
    let event = received::find(&api, &caller, &id).await?;
    trace(&api, event.message_id, form).await
}

async fn trace(api: &Api, id: MessageId, form: TraceForm) -> Result<Response, ApiError> {
    let frames = api.traces.of_message(id).await?;
    Ok(match form {
        TraceForm::Json => json::ok(&FramesView {
            data: frames.iter().map(FrameView::of).collect(),
        }),
        TraceForm::Capture => {
            let file = capture::write(&frames);
            let mut response = given(file.into(), "application/vnd.tcpdump.pcap");
            let name = format!("attachment; filename=\"{id}.pcap\"");
            // An id is a UUID.
            if let Ok(name) = HeaderValue::from_str(&name) {
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_DISPOSITION, name);
            }
            response
        }
        TraceForm::Ladder => given(ladder::draw(&frames).into(), "text/plain; charset=utf-8"),
    })
}

fn given(body: Body, media_type: &'static str) -> Response {
    let mut response = Response::new(body);
    let media_type = HeaderValue::from_static(media_type);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type);
    response
}

/// `GET /agents/{id}/sip`: a stream of what passes from now on.
pub(super) async fn of_agent(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    negotiate::only_stream(&headers)?;
    let agent = agents::find(&api, &caller, &id)?;
    if !api.agents.list().any(|other| other.id == agent.id) {
        return Err(ApiError::OtherReplica);
    }
    let permit = api.stream_permit(&caller)?;
    let reader = api.traces.read(&agent.id);
    Ok(FrameStream::new(&api, reader, permit).into_response())
}

/// Frames of an agent on their way to a client. They are read when the client has room: a client
/// that reads slowly misses some, learns how many, and delays no agent.
struct FrameStream {
    reader: TapReader,
    heartbeat: Duration,
    /// When the client was given something last; `None` before the first time.
    given: Option<Instant>,
    is_over: bool,
    closing: CancellationToken,
    permit: StreamPermit,
}

impl FrameStream {
    fn new(api: &Api, reader: TapReader, permit: StreamPermit) -> Self {
        Self {
            reader,
            heartbeat: api.settings.heartbeat,
            given: None,
            is_over: false,
            closing: api.closing.clone(),
            permit,
        }
    }

    fn into_response(self) -> Response {
        sse::response(stream::unfold(self, |mut stream| async move {
            let chunk = stream.chunk().await?;
            stream.given = Some(Instant::now());
            Some((Ok::<_, Infallible>(chunk), stream))
        }))
    }

    /// What to give the client next. Begins when the client has taken the chunk before.
    async fn chunk(&mut self) -> Option<Bytes> {
        let Some(given) = self.given else {
            // The head of the answer goes out with it, so that the client knows that it listens.
            return Some(sse::head());
        };
        if self.is_over || given.elapsed() > sse::STALL {
            return None;
        }
        tokio::select! {
            biased;
            () = self.permit.revoked.cancelled() => {
                self.is_over = true;
                Some(sse::farewell())
            }
            () = self.closing.cancelled() => {
                self.is_over = true;
                Some(sse::farewell())
            }
            passed = self.reader.next() => Some(block(&passed)),
            () = tokio::time::sleep_until(given + self.heartbeat) => {
                Some(Bytes::from_static(b":\n\n"))
            }
        }
    }
}

fn block(passed: &Passed) -> Bytes {
    let (kind, data) = match passed {
        Passed::Frame(frame) => ("frame", serde_json::to_string(&FrameView::of(frame))),
        Passed::Missed(frames) => {
            let frames = *frames;
            ("missed", serde_json::to_string(&MissedView { frames }))
        }
    };
    // Strings and numbers are always JSON.
    let data = data.unwrap_or_default();
    format!("event: {kind}\ndata: {data}\n\n").into()
}
