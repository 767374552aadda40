//! An event stream that is resumed where it broke off.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;

use super::client::{GatewayClient, Trouble};
use super::sse::{ServerSentEvent, SseParser};

/// An event stream over as many connections as it takes.
#[derive(Debug)]
pub(super) struct EventFollower {
    client: GatewayClient,
    path: String,
    query: Vec<(&'static str, String)>,
    /// The id to begin after, until the stream has sent one.
    since: Option<String>,
    parser: SseParser,
    arrived: VecDeque<ServerSentEvent>,
    response: Option<Response>,
    /// Failed connections since the last good one.
    failures: u32,
    /// Whether a connection was ever open: before that, trouble ends the command.
    begun: bool,
}

/// What the stream gives next.
#[derive(Debug)]
pub(super) enum NextEvent {
    Event(ServerSentEvent),
    /// A comment: what the message waits for.
    Comment(String),
    /// The stream broke off, and is resumed after this time.
    Waiting(Duration, String),
    /// The stream has ended for good.
    Over,
}

/// The first wait when the server does not say, and the longest.
const WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl EventFollower {
    pub(super) fn new(
        client: GatewayClient,
        path: String,
        query: Vec<(&'static str, String)>,
        since: Option<String>,
    ) -> Self {
        Self {
            client,
            path,
            query,
            since,
            parser: SseParser::default(),
            arrived: VecDeque::new(),
            response: None,
            failures: 0,
            begun: false,
        }
    }

    /// Opens the stream, so that trouble is known at once.
    pub(super) async fn begin(&mut self) -> Result<(), Trouble> {
        self.connect().await.map(drop)
    }

    /// What comes next. After [`NextEvent::Waiting`] the caller waits and asks again.
    pub(super) async fn next(&mut self) -> Result<NextEvent, Trouble> {
        loop {
            if let Some(event) = self.arrived.pop_front() {
                return Ok(NextEvent::Event(event));
            }
            if let Some(comment) = self.parser.take_comment() {
                return Ok(NextEvent::Comment(comment));
            }
            let Some(response) = &mut self.response else {
                match self.connect().await {
                    Ok(true) => continue,
                    Ok(false) => return Ok(NextEvent::Over),
                    Err(trouble) if self.begun && trouble.may_pass => {
                        return Ok(self.wait(trouble.to_string()));
                    }
                    Err(trouble) => return Err(trouble),
                }
            };
            match response.chunk().await {
                Ok(Some(bytes)) => match self.parser.read(&bytes) {
                    Ok(events) => {
                        self.failures = 0;
                        self.arrived.extend(events);
                    }
                    Err(error) => return Err(Trouble::lasting(error)),
                },
                Ok(None) => return Ok(self.wait("the gateway ended the stream".to_owned())),
                Err(_) => return Ok(self.wait("the connection was lost".to_owned())),
            }
        }
    }

    /// Whether there was a stream to open.
    async fn connect(&mut self) -> Result<bool, Trouble> {
        self.parser.begin_again();
        let last_id = self.parser.last_id().or(self.since.as_deref());
        let opened = self.client.stream(&self.path, &self.query, last_id).await?;
        self.begun = true;
        self.response = opened;
        Ok(self.response.is_some())
    }

    fn wait(&mut self, reason: String) -> NextEvent {
        self.response = None;
        let first = self.parser.retry().unwrap_or(WAIT);
        // At random, so that clients of one gateway do not come back together.
        let jitter = 0.5 + rand::random::<f64>() / 2.0;
        let longest = LONGEST_WAIT.max(first);
        let doubled = first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        NextEvent::Waiting(doubled.min(longest).mul_f64(jitter), reason)
    }
}
