//! Reads an event stream, as a browser's `EventSource` does.

use std::collections::VecDeque;

use serde_json::Value;

use super::soon;

/// An open event stream.
pub(crate) struct Stream {
    response: reqwest::Response,
    rest: Vec<u8>,
    waiting: VecDeque<Event>,
    /// Where the client would come back to.
    pub(crate) last_id: String,
    /// How long it would stay away first, in milliseconds.
    pub(crate) retry: Option<u64>,
    /// Comments heard so far.
    pub(crate) comments: usize,
}

/// An event of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Stream {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        let kind = response.headers()["Content-Type"].to_str().unwrap();
        assert_eq!(kind, "text/event-stream");
        Self {
            response,
            rest: Vec::new(),
            waiting: VecDeque::new(),
            last_id: String::new(),
            retry: None,
            comments: 0,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next event; `None` when the stream has ended, in whatever way.
    pub(crate) async fn try_next(&mut self) -> Option<Event> {
        while self.waiting.is_empty() {
            if !self.read().await {
                return None;
            }
        }
        self.waiting.pop_front()
    }

    /// The next event, which must come.
    pub(crate) async fn next(&mut self) -> Event {
        let next = soon("another event", self.try_next()).await;
        next.expect("the stream goes on")
    }

    /// Every event to the end of the stream, which must come.
    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = soon("the end of the stream", self.try_next()).await {
            events.push(event);
        }
        events
    }

    /// Waits until so many comments were heard.
    pub(crate) async fn comments(&mut self, count: usize) {
        soon("a comment", async {
            while self.comments < count {
                assert!(self.read().await, "the stream ended");
            }
        })
        .await;
    }

    /// Takes the next bytes; false when there are no more.
    async fn read(&mut self) -> bool {
        let Ok(Some(bytes)) = self.response.chunk().await else {
            return false;
        };
        self.rest.extend_from_slice(&bytes);
        while let Some(end) = self.rest.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = self.rest.drain(..end + 2).collect();
            self.take(std::str::from_utf8(&block).unwrap());
        }
        true
    }

    fn take(&mut self, block: &str) {
        let (mut name, mut data) = (String::new(), None);
        for line in block.lines().filter(|line| !line.is_empty()) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => self.comments += 1,
                "id" => value.clone_into(&mut self.last_id),
                "event" => value.clone_into(&mut name),
                "data" => data = Some(serde_json::from_str(value).unwrap()),
                "retry" => self.retry = Some(value.parse().unwrap()),
                other => panic!("no field of an event stream: {other}"),
            }
        }
        if let Some(data) = data {
            let id = self.last_id.clone();
            self.waiting.push_back(Event { id, name, data });
        }
    }
}
