//! Messages in an envelope: `message/cpim` (RFC 3862), with the headers of IMDN (RFC 5438 §6).
//!
//! ```text
//! From: "Bob" <sip:bob@example.com>            the envelope: headers that are not folded
//! NS: imdn <urn:ietf:params:imdn>
//! imdn.Message-ID: 34jk324j
//!
//! Content-Type: text/plain                     the inner part: MIME, whose headers may be folded
//!
//! Yes, at noon.
//! ```
//!
//! One layer is read; an envelope inside is the inner part's business. Nothing that an envelope
//! says is authenticated, so nothing depends on it.
//!
//! Read although RFC 3862 does not allow it: names in any case, the prefix `imdn` without its `NS`,
//! addresses without angle brackets, LF alone as a line end. The inner part ends with the body, as
//! RFC 3862 §2.4 has it: its Content-Length, which some peers count in characters, is only believed
//! where nothing but line ends follows.

mod write;

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::headers::{NameAddr, split};
use super::parse::{split_line, text, trim};

pub use write::{WrappedBody, without_port};

/// The media type of an envelope.
pub const MEDIA_TYPE: &str = "message/cpim";

/// What the namespace of receipts is called (RFC 5438 §6).
pub(super) const IMDN_NAMESPACE: &str = "urn:ietf:params:imdn";

/// Lines of the envelope, and of the inner part's head, that are read.
const MAX_LINES: usize = 64;

/// Bytes of a line that are read.
const MAX_LINE: usize = 2_048;

/// Why a body is no envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CpimError {
    /// A line has no colon, or an empty line is missing.
    #[error("the headers cannot be read")]
    Headers,
    /// More lines than are read, or a longer one.
    #[error("the headers are too long")]
    TooLong,
    /// The inner part is encoded in a way that is not known, or not as it says.
    #[error("the inner part cannot be decoded")]
    TransferEncoding,
}

/// A body that was taken out of its envelope.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unwrapped<'a> {
    /// What the envelope says.
    pub envelope: Envelope,
    /// The inner part's; `text/plain` where it does not say (RFC 2045 §5.2).
    pub content_type: String,
    /// The inner part.
    pub body: Cow<'a, [u8]>,
}

/// What an envelope says. Addresses are bare URIs, as written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Envelope {
    /// `From`.
    pub from: Option<String>,
    /// The first `To`.
    pub to: Option<String>,
    /// `DateTime`, as written.
    pub date_time: Option<String>,
    /// The first `Subject`, without its escapes.
    pub subject: Option<String>,
    /// `imdn.Message-ID`: what receipts name.
    pub message_id: Option<String>,
    /// Whether `imdn.Disposition-Notification` asks for `positive-delivery`.
    pub wants_delivered: bool,
    /// Whether it asks for `display`.
    pub wants_displayed: bool,
}

/// Takes a body out of its envelope.
pub fn unwrap(body: &[u8]) -> Result<Unwrapped<'_>, CpimError> {
    let mut lines = Vec::new();
    let rest = read_head(body, |name, value| lines.push((name, value)))?;
    let envelope = envelope(&lines);

    let mut part = Part::default();
    let inner = read_head(rest, |name, value| part.take(name, value))?;
    let inner = part.trim(inner);
    let body = match part.transfer_encoding {
        TransferEncoding::Identity => Cow::Borrowed(inner),
        TransferEncoding::Base64 => Cow::Owned(decode_base64(inner)?),
        TransferEncoding::Unknown => return Err(CpimError::TransferEncoding),
    };
    Ok(Unwrapped {
        envelope,
        content_type: part.content_type.unwrap_or_else(|| "text/plain".to_owned()),
        body,
    })
}

/// Reads headers up to and including the empty line; what follows it.
fn read_head<'a>(
    mut rest: &'a [u8],
    mut take: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<&'a [u8], CpimError> {
    for _ in 0..=MAX_LINES {
        if rest.is_empty() {
            return Err(CpimError::Headers);
        }
        let whole = rest;
        let (line, mut after) = split_line(rest);
        if line.is_empty() {
            return Ok(after);
        }
        let mut end = line.len();
        while matches!(after.first(), Some(b' ' | b'\t')) && end <= MAX_LINE {
            let (continuation, next) = split_line(after);
            end = whole.len() - after.len() + continuation.len();
            after = next;
        }
        if end > MAX_LINE {
            return Err(CpimError::TooLong);
        }
        let line = &whole[..end];
        let colon = memchr::memchr(b':', line).ok_or(CpimError::Headers)?;
        take(trim(&line[..colon]), trim(&line[colon + 1..]));
        rest = after;
    }
    Err(CpimError::TooLong)
}

fn envelope(lines: &[(&[u8], &[u8])]) -> Envelope {
    let prefix = imdn_prefix(lines);
    let mut envelope = Envelope::default();
    for (name, value) in lines {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let slot = if is("From") {
            envelope.from.get_or_insert_with(|| address(value));
            continue;
        } else if is("To") {
            envelope.to.get_or_insert_with(|| address(value));
            continue;
        } else if is("DateTime") {
            &mut envelope.date_time
        } else if is("Subject") {
            &mut envelope.subject
        } else {
            match imdn_name(name, &prefix) {
                Some(name) if name.eq_ignore_ascii_case(b"Message-ID") => &mut envelope.message_id,
                Some(name) if name.eq_ignore_ascii_case(b"Disposition-Notification") => {
                    take_dispositions(&mut envelope, value);
                    continue;
                }
                Some(_) | None => continue,
            }
        };
        slot.get_or_insert_with(|| plain(value));
    }
    envelope
}

/// The prefix that `NS` gives to the headers of receipts (RFC 3862 §3.4).
fn imdn_prefix(lines: &[(&[u8], &[u8])]) -> String {
    let spaces = lines
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"NS"));
    let mut prefixes = spaces.filter_map(|(_, value)| {
        let value = text(value);
        let (prefix, urn) = value.split_once('<')?;
        let is_imdn = urn.trim_end().strip_suffix('>')? == IMDN_NAMESPACE;
        is_imdn.then(|| prefix.trim().to_owned())
    });
    prefixes.next().unwrap_or_else(|| "imdn".to_owned())
}

/// What follows the prefix, or the whole name where receipts' is the default namespace.
fn imdn_name<'a>(name: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    if prefix.is_empty() {
        return Some(name);
    }
    let (given, rest) = name.split_at_checked(prefix.len())?;
    let is_same = given.eq_ignore_ascii_case(prefix.as_bytes());
    rest.strip_prefix(b".").filter(|_| is_same)
}

/// RFC 5438 §6.2; unknown ones are left out.
fn take_dispositions(envelope: &mut Envelope, value: &[u8]) {
    let value = text(value);
    for one in split(&value, ',') {
        let word = one.split(';').next().unwrap_or_default().trim();
        envelope.wants_delivered |= word.eq_ignore_ascii_case("positive-delivery");
        envelope.wants_displayed |= word.eq_ignore_ascii_case("display");
    }
}

/// The URI of an address, or the whole value where there is none to be read.
fn address(value: &[u8]) -> String {
    let value = text(value);
    match NameAddr::parse(&value) {
        Some(address) => address.uri.to_owned(),
        None => value,
    }
}

/// A value without the parameters before it, and without escapes (RFC 3862 §2.3.1).
fn plain(value: &[u8]) -> String {
    let value = text(value);
    let value = match value.strip_prefix(';') {
        Some(params) => params.split_once(' ').map_or("", |(_, value)| value),
        None => value.as_str(),
    };
    if !value.contains('\\') {
        return value.to_owned();
    }
    let mut plain = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('u') => {
                let digits: String = rest.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                plain.push(code.and_then(char::from_u32).unwrap_or('\u{fffd}'));
            }
            Some('b') => plain.push('\u{8}'),
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

/// What the head of the inner part says.
#[derive(Debug, Default)]
struct Part {
    content_type: Option<String>,
    content_length: Option<usize>,
    transfer_encoding: TransferEncoding,
}

#[derive(Clone, Copy, Debug, Default)]
enum TransferEncoding {
    #[default]
    Identity,
    Base64,
    Unknown,
}

impl Part {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"Content-Type") {
            self.content_type.get_or_insert_with(|| text(value));
        } else if name.eq_ignore_ascii_case(b"Content-Length") {
            self.content_length = text(value).parse().ok();
        } else if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
            let word = text(value).to_ascii_lowercase();
            self.transfer_encoding = match word.as_str() {
                "7bit" | "8bit" | "binary" => TransferEncoding::Identity,
                "base64" => TransferEncoding::Base64,
                _ => TransferEncoding::Unknown,
            };
        }
    }

    /// Without line ends that its Content-Length does not count.
    fn trim<'a>(&self, inner: &'a [u8]) -> &'a [u8] {
        let length = self.content_length.unwrap_or(inner.len());
        match inner.split_at_checked(length) {
            Some((body, rest)) if rest.iter().all(|byte| b"\r\n".contains(byte)) => body,
            Some(_) | None => inner,
        }
    }
}

/// RFC 2045 §6.8: line ends and blanks do not count.
fn decode_base64(inner: &[u8]) -> Result<Vec<u8>, CpimError> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let digits: Vec<u8> = inner
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    LENIENT
        .decode(digits)
        .map_err(|_| CpimError::TransferEncoding)
}

#[cfg(test)]
mod tests;
