//! Reads one SIP message (RFC 3261 §7) from one WebSocket frame (RFC 7118 §5), without copying.
//!
//! The parser is strict about what routing and matching depend on, and tolerant about the rest: a
//! peer's odd spelling in a header that is not needed must not lose an answer. So it finds the
//! start line and the header lines, remembers where the few headers are that matching needs, and
//! leaves every value unread until it is wanted.
//!
//! Taken although RFC 3261 does not allow it: LF alone as a line end, empty lines before the start
//! line (§7.5 asks for that), a missing last empty line, a header line without a colon (skipped),
//! bytes that are not UTF-8, a reason phrase with any characters, `sip/2.0` in any case.
//!
//! A message that can be read but should not be taken has a [`Flaw`]: a server refuses such a
//! request with the code that fits, a client reads such a response all the same.

mod lines;

pub(in crate::sip) use lines::split_line;
pub use lines::trim;

use self::lines::{HeaderLines, body_after, compact_form, long_name};
use super::status::StatusCode;

/// The largest message that is read, so that no peer decides how much work one frame makes.
#[derive(Clone, Copy, Debug)]
pub struct ParseLimits {
    /// Bytes of the whole frame.
    pub frame: usize,
    /// Header lines.
    pub headers: usize,
    /// Bytes of one header, with its continuation lines.
    pub header: usize,
}

impl Default for ParseLimits {
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
    /// The frame is longer than [`ParseLimits::frame`].
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
    /// A response of another version than SIP/2.0.
    #[error("the version is not SIP/2.0")]
    Version,
    /// A response with more header lines than [`ParseLimits::headers`].
    #[error("too many headers")]
    TooManyHeaders,
    /// A response with a header longer than [`ParseLimits::header`].
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
        /// The Request-URI, as written: whatever stands between the method and the version.
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

/// Why a message that can be read is no good as a request. The first that was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// It is of another version than SIP/2.0 (RFC 3261 §21.5.6).
    Version,
    /// The request line has blanks where none may be, or bytes that no URI has (RFC 3261 §7.1).
    RequestLine,
    /// From, To, Call-ID, CSeq or Content-Length is there twice and says two things.
    Contradiction,
    /// A header is longer than [`ParseLimits::header`], and left out; or there are more than
    /// [`ParseLimits::headers`], and what follows these is not read.
    HeadTooLarge,
    /// Content-Length is no number.
    ContentLength,
    /// The body is shorter than Content-Length says (RFC 3261 §18.3). A longer one is cut.
    BodyTooShort,
}

/// A SIP message, borrowed from its frame.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The first line.
    pub start: StartLine<'a>,
    /// The first Via line, with everything it lists.
    pub via: Option<&'a [u8]>,
    /// The first From line.
    pub from: Option<&'a [u8]>,
    /// The first To line.
    pub to: Option<&'a [u8]>,
    /// The first Call-ID line.
    pub call_id: Option<&'a [u8]>,
    /// The first CSeq line.
    pub cseq: Option<&'a [u8]>,
    /// As many bytes as Content-Length says, or all there are. Without the header: all there are,
    /// since a frame carries one message (RFC 7118 §5).
    pub body: &'a [u8],
    /// Why it should not be taken, as a request.
    pub flaw: Option<Flaw>,
    head: &'a [u8],
}

/// Reads the message of a frame.
pub fn parse(frame: &[u8], limits: ParseLimits) -> Result<Message<'_>, ParseError> {
    if frame.len() > limits.frame {
        return Err(ParseError::FrameTooLong);
    }
    let begin = frame
        .iter()
        .position(|b| !matches!(b, b'\r' | b'\n'))
        .ok_or(ParseError::Empty)?;
    let (line, mut rest) = split_line(&frame[begin..]);
    // The start line has no continuation, so what looks like one is no header either.
    while matches!(rest.first(), Some(b' ' | b'\t')) {
        rest = split_line(rest).1;
    }
    let (start, flaw) = start_line(line)?;
    let mut message = Message {
        start,
        via: None,
        from: None,
        to: None,
        call_id: None,
        cseq: None,
        body: &[],
        flaw,
        head: rest,
    };
    let mut lines = HeaderLines { rest };
    let mut content_length = None;
    let mut count = 0;
    for (name, value) in lines.by_ref() {
        count += 1;
        if count > limits.headers {
            message.exceed(ParseError::TooManyHeaders)?;
            return Ok(message);
        }
        if name.len() + value.len() > limits.header {
            message.exceed(ParseError::HeaderTooLong)?;
            continue;
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
        // The topmost Via is ours; of the others there is one, and if not, the first counts.
        let is_via = matches!(name, [b'v' | b'V'] | [_, _, _]);
        match slot {
            None => *slot = Some(value),
            Some(first) if !is_via && *first != value => self.notice(Flaw::Contradiction),
            Some(_) => {}
        }
    }

    /// A limit is exceeded: a request can be answered all the same.
    fn exceed(&mut self, error: ParseError) -> Result<(), ParseError> {
        match self.start {
            StartLine::Request { .. } => self.notice(Flaw::HeadTooLarge),
            StartLine::Response { .. } => return Err(error),
        }
        Ok(())
    }

    fn notice(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }

    fn take_body(&mut self, rest: &'a [u8], content_length: Option<&[u8]>) {
        self.body = rest;
        match content_length.map(number) {
            None => {}
            Some(None) => self.notice(Flaw::ContentLength),
            Some(Some(length)) => match rest.get(..length) {
                Some(body) => self.body = body,
                None => self.notice(Flaw::BodyTooShort),
            },
        }
    }

    /// Every header line in order: name and value as written, the value without blanks around it
    /// and with its continuation lines.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        HeaderLines { rest: self.head }
    }

    /// Every header as text: long names and values.
    pub fn header_texts(&self) -> Vec<(String, String)> {
        let headers = self.headers().map(|(name, value)| {
            let name = String::from_utf8_lossy(name);
            (long_name(&name).to_owned(), text(value))
        });
        headers.collect()
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

/// A value as text: continuation lines joined by one blank (RFC 3261 §7.3.1), bytes that are not
/// UTF-8 replaced.
pub fn text(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
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

fn start_line(line: &[u8]) -> Result<(StartLine<'_>, Option<Flaw>), ParseError> {
    if line.len() >= 8 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        return Ok((status_line(line)?, None));
    }
    let text = std::str::from_utf8(line).map_err(|_| ParseError::StartLine)?;
    let blanks = [' ', '\t'];
    let (method, rest) = text.split_once(blanks).ok_or(ParseError::StartLine)?;
    let (uri, version) = rest
        .trim_end_matches(blanks)
        .rsplit_once(blanks)
        .ok_or(ParseError::StartLine)?;
    let is_method = !method.is_empty() && method.bytes().all(is_token);
    let is_sip = version.len() > 4 && version.as_bytes()[..4].eq_ignore_ascii_case(b"SIP/");
    if !is_method || !is_sip {
        return Err(ParseError::StartLine);
    }
    let spaces = line.iter().filter(|byte| **byte == b' ').count();
    let is_neat = spaces == 2 && !uri.is_empty() && uri.bytes().all(|b| b.is_ascii_graphic());
    let flaw = match (version.eq_ignore_ascii_case("SIP/2.0"), is_neat) {
        (false, _) => Some(Flaw::Version),
        (true, false) => Some(Flaw::RequestLine),
        (true, true) => None,
    };
    let uri = uri.trim_matches(blanks);
    Ok((StartLine::Request { method, uri }, flaw))
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

/// A number of digits alone; too large a one is no number.
fn number(text: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(text).ok()?;
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok())?
}

/// RFC 3261 §25.1, `token`.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

#[cfg(test)]
mod tests;
