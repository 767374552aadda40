//! Parses `text/event-stream` (WHATWG HTML §9.2.6) as it arrives, in pieces of any size. No
//! crate with several users bounds the length of an event.

use std::time::Duration;

/// The longest line and the longest event accepted. A gateway stays far below.
const MAX_LENGTH: usize = 4 << 20;

/// One event of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ServerSentEvent {
    /// Its type; `message` where the stream names none.
    pub(super) name: String,
    /// Its data, lines joined by line feeds.
    pub(super) data: String,
}

/// An event is longer than [`MAX_LENGTH`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the stream has an event of more than {MAX_LENGTH} bytes")]
pub(super) struct TooLong;

/// Parses a stream piece by piece.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    line: Vec<u8>,
    /// The last byte ended a line with CR, so that an LF now belongs to it.
    after_cr: bool,
    /// Whether the first line, which may begin with a byte order mark, is over.
    begun: bool,
    name: String,
    data: String,
    last_id: Option<String>,
    retry: Option<Duration>,
    /// The latest comment that says something.
    comment: Option<String>,
}

impl SseParser {
    /// Parses the next bytes into the events that they complete.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<ServerSentEvent>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
            if self.line.len() > MAX_LENGTH || self.data.len() > MAX_LENGTH {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    /// Drops an incomplete event, for a new connection; the last id stays.
    pub(super) fn begin_again(&mut self) {
        *self = Self {
            last_id: self.last_id.take(),
            retry: self.retry,
            ..Self::default()
        };
    }

    /// The latest comment that says something and was not taken yet.
    pub(super) fn take_comment(&mut self) -> Option<String> {
        self.comment.take()
    }

    /// What `Last-Event-ID` of the next connection says.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server asks to wait before the next connection.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn end_line(&mut self) -> Option<ServerSentEvent> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let mut line = line.as_ref();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            "retry" if value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry = value.parse().map(Duration::from_millis).ok();
            }
            // A heartbeat is a comment that says nothing.
            "" if !value.is_empty() => self.comment = Some(value.to_owned()),
            // Unknown fields are ignored.
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<ServerSentEvent> {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        // The line feed after the last line is not part of the data; no line at all is no event.
        data.pop()?;
        let name = if name.is_empty() {
            "message".to_owned()
        } else {
            name
        };
        Some(ServerSentEvent { name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<(String, String)> {
        let mut reader = SseParser::default();
        let events = reader.read(text.as_bytes()).unwrap();
        events.into_iter().map(|e| (e.name, e.data)).collect()
    }

    fn pair(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn an_event_is_fields_up_to_an_empty_line() {
        let stream = "retry: 3000\n\n: a comment\nid: 1-2\nevent: sending\ndata: {}\n\ndata:x\n\n";
        assert_eq!(
            events(stream),
            [pair("sending", "{}"), pair("message", "x")]
        );
    }

    #[test]
    fn a_comment_that_says_something_is_kept_until_it_is_taken() {
        let mut reader = SseParser::default();
        reader.read(b": waiting for agent: x\n\n:\n\n").unwrap();
        assert_eq!(
            reader.take_comment().as_deref(),
            Some("waiting for agent: x")
        );
        assert_eq!(reader.take_comment(), None);
    }

    #[test]
    fn an_event_that_never_ends_is_none() {
        assert_eq!(events("event: sending\ndata: {}\n"), []);
    }

    #[test]
    fn lines_of_data_are_joined_and_one_blank_is_removed() {
        let stream = "data: a\ndata:  b\ndata\ndata:c\n\n";
        assert_eq!(events(stream), [pair("message", "a\n b\n\nc")]);
    }

    #[test]
    fn lines_end_with_cr_lf_or_both_wherever_the_stream_is_cut() {
        let stream = "\u{feff}data: ä\r\ndata: b\rdata: c\n\r\nevent: x\rdata: d\r\r";
        let expected = [pair("message", "ä\nb\nc"), pair("x", "d")];
        assert_eq!(events(stream), expected);
        for size in 1..5 {
            let mut reader = SseParser::default();
            let mut found = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                found.extend(reader.read(piece).unwrap());
            }
            let found: Vec<_> = found.into_iter().map(|e| (e.name, e.data)).collect();
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn the_last_id_and_retry_stay_over_connections_and_the_rest_does_not() {
        let mut reader = SseParser::default();
        reader
            .read(b"retry: 3000\nretry: soon\nid: 1-7\n\nid: a\0b\nevent: half")
            .unwrap();
        reader.begin_again();
        assert_eq!(reader.last_id(), Some("1-7"));
        assert_eq!(reader.retry(), Some(Duration::from_secs(3)));
        let events = reader.read(b"data: x\n\nid\n").unwrap();
        assert_eq!(events[0].name, "message");
        assert_eq!(reader.last_id(), Some(""));
    }

    #[test]
    fn a_stream_without_end_is_given_up() {
        let mut reader = SseParser::default();
        let piece = vec![b'x'; 1 << 20];
        let result = (0..5).try_for_each(|_| reader.read(&piece).map(drop));
        assert_eq!(result, Err(TooLong));
        let mut reader = SseParser::default();
        let line = [b"data:".as_slice(), &piece, b"\n"].concat();
        let result = (0..5).try_for_each(|_| reader.read(&line).map(drop));
        assert_eq!(result, Err(TooLong));
    }
}
