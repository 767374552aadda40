//! Streams that go on where they were.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{BoxStream, try_unfold};
use reqwest::{RequestBuilder, Response, StatusCode};

use crate::error::Error;
use crate::http::Call;
use crate::sse::{Parser, ServerSentEvent};

/// A connection that says nothing for so long is lost: the gateway sends a comment every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// After a connection that had brought something.
const SHORT_WAIT: Duration = Duration::from_millis(250);

struct State {
    request: RequestBuilder,
    last_event_id: Option<String>,
    /// `None` once there was a connection: later ones are tried until they succeed.
    retries: Option<u32>,
    open: Option<(Response, Parser)>,
    ready: VecDeque<ServerSentEvent>,
}

/// The events of a stream, over as many connections as it takes. It ends when the gateway says that
/// nothing follows (204).
pub(crate) fn events(
    request: RequestBuilder,
    last_event_id: Option<String>,
    retries: u32,
) -> BoxStream<'static, Result<ServerSentEvent, Error>> {
    let state = State {
        request,
        last_event_id,
        retries: Some(retries),
        open: None,
        ready: VecDeque::new(),
    };
    let events = try_unfold(state, |mut state| async move {
        let next = state.next().await?;
        Ok(next.map(|event| (event, state)))
    });
    Box::pin(events)
}

impl State {
    async fn next(&mut self) -> Result<Option<ServerSentEvent>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some((response, parser)) = &mut self.open else {
                if !self.connect().await? {
                    return Ok(None);
                }
                continue;
            };
            // A lost connection is taken up like one that has ended.
            match tokio::time::timeout(SILENCE, response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.ready.extend(parser.push(&chunk)?),
                Ok(Ok(None) | Err(_)) | Err(_) => self.pause().await,
            }
        }
    }

    /// Whether the stream goes on.
    async fn connect(&mut self) -> Result<bool, Error> {
        let request = self.request.try_clone();
        let mut request = request.unwrap_or_else(|| unreachable!("there is no body"));
        if let Some(last) = &self.last_event_id {
            request = request.header("last-event-id", last);
        }
        let call = Call {
            request: request.header("accept", "text/event-stream"),
            is_repeatable: true,
            retries: self.retries,
        };
        let response = call.answer().await?;
        self.retries = None;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(false);
        }
        self.open = Some((response, Parser::default()));
        Ok(true)
    }

    /// Closes the connection, and waits. A stream that was cut before its first event is not taken
    /// up in a tight loop.
    async fn pause(&mut self) {
        let Some((_, parser)) = self.open.take() else {
            return;
        };
        let wait = if parser.last_event_id.is_some() {
            SHORT_WAIT
        } else {
            parser.retry.unwrap_or(SHORT_WAIT)
        };
        self.last_event_id = parser.last_event_id.or(self.last_event_id.take());
        tokio::time::sleep(wait).await;
    }
}
