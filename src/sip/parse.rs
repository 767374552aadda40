//! Reads one SIP message (RFC 3261 §7) from one WebSocket frame (RFC 7118 §5), without copying.
//!
//! The parser is strict about what routing and matching depend on, and tolerant about the rest: a
//! peer's odd spelling in a header nobody asked for must not lose an answer. So it finds the start
//! line and the header lines, remembers where the few headers are that matching needs, and leaves
//! every value unread until somebody wants it.
//!
//! Taken although RFC 3261 does not allow it: LF alone as a line end, empty lines before the start
//! line (§7.5 asks for that), a missing last empty line, a header line without a colon (skipped),
//! bytes that are not UTF-8, a reason phrase with any characters, `sip/2.0` in any case.

use memchr::memchr;

use super::status::StatusCode;

/// What is read at most. Beyond it the message is refused, so that no peer decides how much work
/// one frame makes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole frame.
    pub frame: usize,
    /// Header lines.
    pub headers: usize,
    /// Bytes of one header, with its continuation lines.
    pub header: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 65_536,
            headers: 256,
            header: 8_192,
        }
    }
}

/// Why bytes are not a SIP message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// The frame is longer than [`Limits::frame`].
    #[error("the frame is too long")]
    FrameTooLong,
    /// Nothing but line ends.
    #[error("the frame is empty")]
    Empty,
    /// The first line is neither a request line nor a status line.
    #[error("the start line cannot be read")]
    StartLine,
    /// The status line has a code outside 100 to 699.
    #[error("the status code is not one")]
    StatusCode,
    /// The message is of another version than SIP/2.0.
    #[error("the version is not SIP/2.0")]
    Version,
    /// More header lines than [`Limits::headers`].
    #[error("too many headers")]
    TooManyHeaders,
    /// A header longer than [`Limits::header`].
    #[error("a header is too long")]
    HeaderTooLong,
}

/// The first line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartLine<'a> {
    /// RFC 3261 §7.1.
    Request {
        /// A token, as written: methods are case-sensitive.
        method: &'a str,
        /// The Request-URI, as written.
        uri: &'a str,
    },
    /// RFC 3261 §7.2.
    Response {
        /// The code.
        status: StatusCode,
        /// Whatever follows the code, as written.
        reason: &'a [u8],
    },
}

/// A SIP message, borrowed from its frame.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The first line.
    pub start: StartLine<'a>,
    /// The first Via line, with everything it lists.
    pub via: Option<&'a [u8]>,
    /// The last From line.
    pub from: Option<&'a [u8]>,
    /// The last To line.
    pub to: Option<&'a [u8]>,
    /// The last Call-ID line.
    pub call_id: Option<&'a [u8]>,
    /// The last CSeq line.
    pub cseq: Option<&'a [u8]>,
    /// As many bytes as Content-Length says, or all there are. Without the header: all there are,
    /// since a frame carries one message (RFC 7118 §5).
    pub body: &'a [u8],
    /// Whether Content-Length is there and says something else than how many bytes there are: a
    /// request is refused for it (RFC 3261 §18.3), a response is read all the same.
    pub body_mismatch: bool,
    head: &'a [u8],
}

/// Reads the message of a frame.
pub fn parse(frame: &[u8], limits: Limits) -> Result<Message<'_>, ParseError> {
    if frame.len() > limits.frame {
        return Err(ParseError::FrameTooLong);
    }
    let begin = frame
        .iter()
        .position(|b| !matches!(b, b'\r' | b'\n'))
        .ok_or(ParseError::Empty)?;
    let (line, rest) = split_line(&frame[begin..]);
    let mut message = Message {
        start: start_line(line)?,
        via: None,
        from: None,
        to: None,
        call_id: None,
        cseq: None,
        body: &[],
        body_mismatch: false,
        head: rest,
    };
    let mut lines = Lines { rest };
    let mut content_length = None;
    let mut count = 0;
    for (name, value) in lines.by_ref() {
        count += 1;
        if count > limits.headers {
            return Err(ParseError::TooManyHeaders);
        }
        if name.len() + value.len() > limits.header {
            return Err(ParseError::HeaderTooLong);
        }
        message.remember(name, value, &mut content_length);
    }
    message.head = &rest[..rest.len() - lines.rest.len()];
    message.take_body(body_after(lines.rest), content_length);
    Ok(message)
}

impl<'a> Message<'a> {
    fn remember(&mut self, name: &[u8], value: &'a [u8], content_length: &mut Option<&'a [u8]>) {
        let slot = match name.len() {
            1 => match name[0].to_ascii_lowercase() {
                b'v' => &mut self.via,
                b'f' => &mut self.from,
                b't' => &mut self.to,
                b'i' => &mut self.call_id,
                b'l' => content_length,
                _ => return,
            },
            2 if name.eq_ignore_ascii_case(b"To") => &mut self.to,
            3 if name.eq_ignore_ascii_case(b"Via") => &mut self.via,
            4 if name.eq_ignore_ascii_case(b"From") => &mut self.from,
            4 if name.eq_ignore_ascii_case(b"CSeq") => &mut self.cseq,
            7 if name.eq_ignore_ascii_case(b"Call-ID") => &mut self.call_id,
            14 if name.eq_ignore_ascii_case(b"Content-Length") => content_length,
            _ => return,
        };
        // The topmost Via is ours; of the others there is one, and if not, the last counts.
        let is_via = matches!(name, [b'v' | b'V'] | [_, _, _]);
        if !(is_via && slot.is_some()) {
            *slot = Some(value);
        }
    }

    fn take_body(&mut self, rest: &'a [u8], content_length: Option<&[u8]>) {
        let stated = content_length.map(|text| {
            std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse::<usize>().ok())
        });
        self.body = match stated {
            Some(Some(length)) if length <= rest.len() => &rest[..length],
            _ => rest,
        };
        self.body_mismatch = stated.is_some_and(|length| length != Some(rest.len()));
    }

    /// Every header line in order: name and value as written, the value without blanks around it
    /// and with its continuation lines.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        Lines { rest: self.head }
    }

    /// Every value of this header, by its long name or its compact form (RFC 3261 §7.3.3).
    pub fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let compact = compact_form(name);
        self.headers().filter_map(move |(given, value)| {
            let same = given.eq_ignore_ascii_case(name.as_bytes())
                || matches!((given, compact), ([byte], Some(c)) if byte.eq_ignore_ascii_case(&c));
            same.then_some(value)
        })
    }

    /// The first value of this header.
    pub fn first(&self, name: &'static str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The first value of this header as text, when it is UTF-8.
    pub fn first_text(&self, name: &'static str) -> Option<&'a str> {
        std::str::from_utf8(self.first(name)?).ok()
    }
}

/// The long name of a compact form, or the name itself.
pub fn long_name(name: &str) -> &str {
    match name.as_bytes() {
        [byte] => match byte.to_ascii_lowercase() {
            b'c' => "Content-Type",
            b'e' => "Content-Encoding",
            b'f' => "From",
            b'i' => "Call-ID",
            b'k' => "Supported",
            b'l' => "Content-Length",
            b'm' => "Contact",
            b's' => "Subject",
            b't' => "To",
            b'v' => "Via",
            _ => name,
        },
        _ => name,
    }
}

fn compact_form(name: &str) -> Option<u8> {
    match name {
        "Call-ID" => Some(b'i'),
        "Contact" => Some(b'm'),
        "Content-Encoding" => Some(b'e'),
        "Content-Length" => Some(b'l'),
        "Content-Type" => Some(b'c'),
        "From" => Some(b'f'),
        "Subject" => Some(b's'),
        "Supported" => Some(b'k'),
        "To" => Some(b't'),
        "Via" => Some(b'v'),
        _ => None,
    }
}

/// A value as text: continuation lines joined by one blank (RFC 3261 §7.3.1), bytes that are not
/// UTF-8 replaced.
pub fn text(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    if !text.contains(['\r', '\n']) {
        return text.into_owned();
    }
    let lines = text
        .split(['\r', '\n'])
        .map(|line| line.trim_matches([' ', '\t']));
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn start_line(line: &[u8]) -> Result<StartLine<'_>, ParseError> {
    if line.len() >= 8 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        return status_line(line);
    }
    let text = std::str::from_utf8(line).map_err(|_| ParseError::StartLine)?;
    let mut parts = text.splitn(3, ' ');
    let (Some(method), Some(uri), Some(version)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(ParseError::StartLine);
    };
    let is_method = !method.is_empty() && method.bytes().all(is_token);
    let is_uri = !uri.is_empty() && uri.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_method || !is_uri {
        return Err(ParseError::StartLine);
    }
    match version.eq_ignore_ascii_case("SIP/2.0") {
        true => Ok(StartLine::Request { method, uri }),
        false if version.len() > 4 && version.as_bytes()[..4].eq_ignore_ascii_case(b"SIP/") => {
            Err(ParseError::Version)
        }
        false => Err(ParseError::StartLine),
    }
}

fn status_line(line: &[u8]) -> Result<StartLine<'_>, ParseError> {
    if !line[4..].starts_with(b"2.0 ") {
        return Err(ParseError::Version);
    }
    let rest = &line[8..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ends = rest.get(digits).is_none_or(|byte| *byte == b' ');
    if digits != 3 || !ends {
        return Err(if digits == 0 {
            ParseError::StartLine
        } else {
            ParseError::StatusCode
        });
    }
    let code = rest[..3]
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let status = StatusCode::new(code).ok_or(ParseError::StatusCode)?;
    Ok(StartLine::Response {
        status,
        reason: rest.get(4..).unwrap_or_default(),
    })
}

/// RFC 3261 §25.1, `token`.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// The first line without its end, and what follows it.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'\n', text) {
        Some(at) => {
            let line = &text[..at];
            (line.strip_suffix(b"\r").unwrap_or(line), &text[at + 1..])
        }
        None => (text.strip_suffix(b"\r").unwrap_or(text), &[]),
    }
}

/// Header lines, continuation lines included. What is left in `rest` afterwards begins with the
/// empty line.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let whole = self.rest;
            let (first, mut after) = split_line(whole);
            if first.is_empty() {
                return None;
            }
            let mut end = first.len();
            while matches!(after.first(), Some(b' ' | b'\t')) {
                let (continuation, next) = split_line(after);
                end = whole.len() - after.len() + continuation.len();
                after = next;
            }
            self.rest = after;
            let line = &whole[..end];
            if let Some(colon) = memchr(b':', line) {
                return Some((trim(&line[..colon]), trim(&line[colon + 1..])));
            }
        }
    }
}

fn body_after(rest: &[u8]) -> &[u8] {
    rest.strip_prefix(b"\r\n")
        .or_else(|| rest.strip_prefix(b"\n"))
        .unwrap_or(rest)
}

/// Without blanks and line ends around it.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(frame: &str) -> Message<'_> {
        parse(frame.as_bytes(), Limits::default()).unwrap()
    }

    fn refusal(frame: &str) -> ParseError {
        parse(frame.as_bytes(), Limits::default()).unwrap_err()
    }

    #[test]
    fn a_response_is_read_where_it_matters() {
        let message = read(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK1\r\nv: second\r\n\
             f: <sip:a@b>;tag=1\r\nTO : <sip:c@d>\r\ni: x@y\r\nCSeq: 1 MESSAGE\r\nl: 2\r\n\r\nhi",
        );
        assert_eq!(
            message.start,
            StartLine::Response {
                status: StatusCode::OK,
                reason: b"OK"
            }
        );
        assert_eq!(
            message.via.unwrap(),
            b"SIP/2.0/WS a.invalid;branch=z9hG4bK1"
        );
        assert_eq!(message.to.unwrap(), b"<sip:c@d>");
        assert_eq!(message.call_id.unwrap(), b"x@y");
        assert_eq!((message.body, message.body_mismatch), (&b"hi"[..], false));
        assert_eq!(message.all("Via").count(), 2);
    }

    #[test]
    fn p5_a_reason_phrase_may_say_anything() {
        for reason in ["[call released]", "50%", "<>#\"", "", "Grüße", "a  b "] {
            let frame = format!("SIP/2.0 480 {reason}\r\n\r\n");
            let StartLine::Response {
                status,
                reason: read,
            } = read(&frame).start
            else {
                panic!("a request");
            };
            assert_eq!((status.as_u16(), read), (480, reason.as_bytes()));
        }
        assert!(matches!(
            read("SIP/2.0 480\r\n\r\n").start,
            StartLine::Response { .. }
        ));
    }

    #[test]
    fn codes_that_do_not_exist_are_not_answers() {
        for line in [
            "SIP/2.0 099 X",
            "SIP/2.0 700 X",
            "SIP/2.0 2000 X",
            "SIP/2.0 20 X",
        ] {
            assert_eq!(
                refusal(&format!("{line}\r\n\r\n")),
                ParseError::StatusCode,
                "{line}"
            );
        }
        assert_eq!(refusal("SIP/2.0 abc X\r\n\r\n"), ParseError::StartLine);
        assert_eq!(refusal("SIP/3.0 200 OK\r\n\r\n"), ParseError::Version);
    }

    #[test]
    fn folded_lines_belong_to_their_header() {
        let message = read("OPTIONS sip:a@b SIP/2.0\nSubject: one\n two\r\n\tthree\nX: y\n\n");
        assert_eq!(text(message.first("Subject").unwrap()), "one two three");
        assert_eq!(message.first("X").unwrap(), b"y");
    }

    #[test]
    fn what_is_only_odd_is_taken() {
        let message = read("\r\n\r\nMESSAGE sip:a@b SIP/2.0\r\nno colon here\r\nCall-ID: 1");
        assert_eq!(message.call_id.unwrap(), b"1");
        assert_eq!(message.body, b"");
        let message = read("SIP/2.0 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        assert_eq!((message.body, message.body_mismatch), (&b"abc"[..], true));
        let message = read("SIP/2.0 200 OK\r\nContent-Length: -1\r\n\r\nabc");
        assert_eq!((message.body, message.body_mismatch), (&b"abc"[..], true));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let many = format!("SIP/2.0 200 OK\r\n{}\r\n", "A: b\r\n".repeat(300));
        assert_eq!(refusal(&many), ParseError::TooManyHeaders);
        let long = format!("SIP/2.0 200 OK\r\nA: {}\r\n\r\n", "x".repeat(9_000));
        assert_eq!(refusal(&long), ParseError::HeaderTooLong);
        assert_eq!(refusal(&"x".repeat(70_000)), ParseError::FrameTooLong);
        assert_eq!(refusal("\r\n\r\n"), ParseError::Empty);
        assert_eq!(refusal("GET / HTTP/1.1\r\n\r\n"), ParseError::StartLine);
        assert_eq!(
            refusal("MESSAGE sip:a@b SIP/7.0\r\n\r\n"),
            ParseError::Version
        );
    }
}
