//! Server-Sent Events, as the HTML standard reads them.

use std::time::Duration;

use crate::error::Error;

/// Longer lines are refused: an event of the gateway is far smaller.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// An event of a stream.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct ServerSentEvent {
    pub(crate) event: String,
    pub(crate) data: String,
}

/// Turns the chunks of a stream into its events, and keeps where the stream is.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The `id` of the last event, or of a comment that said where the stream is.
    pub(crate) last_event_id: Option<String>,
    /// How long to wait before the next connection.
    pub(crate) retry: Option<Duration>,
    rest: Vec<u8>,
    id: Option<String>,
    event: String,
    data: Vec<String>,
}

impl Parser {
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<Vec<ServerSentEvent>, Error> {
        let mut events = Vec::new();
        let mut parts = chunk.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            if self.rest.len() + part.len() > MAX_LINE {
                return Err(Error::LineTooLong);
            }
            self.rest.extend_from_slice(part);
            if parts.peek().is_some() {
                let line = String::from_utf8_lossy(&self.rest).into_owned();
                self.rest.clear();
                events.extend(self.line(line.strip_suffix('\r').unwrap_or(&line)));
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<ServerSentEvent> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => self.data.push(value.to_owned()),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<ServerSentEvent> {
        if self.id.is_some() {
            self.last_event_id.clone_from(&self.id);
        }
        let event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        (!data.is_empty()).then(|| ServerSentEvent {
            event,
            data: data.join("\n"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_however_it_is_cut() {
        let text =
            "retry: 3000\r\n\r\n:\nid: 1-1\n\nid: 1-2\nevent: failed\ndata: {\ndata: }\n\ndata: x";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                events.extend(parser.push(chunk).expect("the lines are short"));
            }
            let event = ServerSentEvent {
                event: "failed".to_owned(),
                data: "{\n}".to_owned(),
            };
            assert_eq!(events, [event]);
            assert_eq!(parser.last_event_id.as_deref(), Some("1-2"));
            assert_eq!(parser.retry, Some(Duration::from_secs(3)));
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut parser = Parser::default();
        assert!(parser.push(&vec![b'x'; MAX_LINE]).is_ok());
        assert!(matches!(parser.push(b"x"), Err(Error::LineTooLong)));
    }
}
