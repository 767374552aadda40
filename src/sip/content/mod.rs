//! What a MESSAGE carries: decoded, taken out of its envelope, and judged (RFC 3261 §8.2.3).
//!
//! The body is decoded first, then an envelope is opened; the inner part's type decides:
//!
//! | the type                           | becomes                                              |
//! |------------------------------------|------------------------------------------------------|
//! | `application/im-iscomposing+xml`   | [`Content::Typing`]                                  |
//! | `message/imdn+xml`                 | [`Content::Receipt`], or [`Content::UnreadableReceipt`] |
//! | another that `accepts` lists       | [`Content::Message`]                                 |
//! | another                            | [`ContentError::Type`]                               |
//!
//! An envelope that cannot be read is a message of type `message/cpim`, as it is: a person may have
//! written its contents. A body that cannot be decoded is refused: nothing could read it.

use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::Read as _;

use super::cpim::Envelope;
use super::imdn::Imdn;
use super::parse::Message;
use super::settings::ReceiveSettings;
use super::{cpim, imdn, parse};

/// The codings that are decoded, as Accept-Encoding lists them.
pub(super) const ACCEPT_ENCODING: &str = "identity, deflate, gzip";

/// Codings on top of each other that are taken off.
const MAX_CODINGS: usize = 2;

/// What a MESSAGE carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// A message.
    Message {
        /// Of the body, as written; `text/plain` where the request does not say.
        content_type: String,
        /// Decoded, and otherwise as it came.
        body: Vec<u8>,
    },
    /// A receipt.
    Receipt(Imdn),
}

/// The content of a MESSAGE, also where it is not handed over.
#[derive(Debug)]
pub(super) enum Carried {
    /// To be handed over.
    Content(Content),
    /// An indication of typing (RFC 3994).
    Typing,
    /// A receipt that cannot be read.
    UnreadableReceipt,
}

/// Why a MESSAGE is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ContentError {
    /// Its type is not accepted.
    Type,
    /// It has a coding that is not known.
    Encoding,
    /// It is larger than it may be.
    TooLarge,
    /// It cannot be decoded.
    Malformed,
}

/// Reads what a MESSAGE carries, and the envelope that it was in.
pub(super) fn read(
    message: &Message<'_>,
    settings: &ReceiveSettings,
) -> Result<(Option<Envelope>, Carried), ContentError> {
    let body = decoded(message, settings.max_body)?;
    let content_type = match message.first("Content-Type") {
        Some(value) if !value.is_empty() => parse::text(value),
        Some(_) | None => "text/plain".to_owned(),
    };
    if is_type(&content_type, cpim::MEDIA_TYPE)
        && let Ok(unwrapped) = cpim::unwrap(&body)
    {
        let inner = unwrapped.body.into_owned();
        let carried = carried(unwrapped.content_type, inner, settings)?;
        return Ok((Some(unwrapped.envelope), carried));
    }
    Ok((None, carried(content_type, body, settings)?))
}

fn carried(
    content_type: String,
    body: Vec<u8>,
    settings: &ReceiveSettings,
) -> Result<Carried, ContentError> {
    if is_type(&content_type, "application/im-iscomposing+xml") {
        return Ok(Carried::Typing);
    }
    if is_type(&content_type, imdn::MEDIA_TYPE) {
        return Ok(match imdn::parse(&body) {
            Ok(receipt) => Carried::Content(Content::Receipt(receipt)),
            Err(_) => Carried::UnreadableReceipt,
        });
    }
    if settings.accepts(&content_type) {
        return Ok(Carried::Content(Content::Message { content_type, body }));
    }
    Err(ContentError::Type)
}

/// Whether a Content-Type has this type, whatever its parameters are.
fn is_type(content_type: &str, media_type: &str) -> bool {
    essence(content_type).eq_ignore_ascii_case(media_type)
}

/// A media type without its parameters.
pub(super) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The body without its codings (RFC 3261 §20.12), which were put on in the order in which they are
/// listed.
fn decoded(message: &Message<'_>, max: usize) -> Result<Vec<u8>, ContentError> {
    if message.body.len() > max {
        return Err(ContentError::TooLarge);
    }
    let lines: Vec<_> = message.all("Content-Encoding").map(parse::text).collect();
    let codings = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    let codings: Vec<_> = codings
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
        .take(MAX_CODINGS + 1)
        .collect();
    if codings.len() > MAX_CODINGS {
        return Err(ContentError::Encoding);
    }
    let known = ["deflate", "gzip", "x-gzip"];
    let is_known = |coding: &&str| known.iter().any(|known| known.eq_ignore_ascii_case(coding));
    if !codings.iter().all(is_known) {
        return Err(ContentError::Encoding);
    }
    let mut body = message.body.to_vec();
    for coding in codings.iter().rev() {
        if body.is_empty() {
            break;
        }
        body = if coding.eq_ignore_ascii_case("deflate") {
            inflate(&body, max)?
        } else {
            gunzip(&body, max)?
        };
    }
    Ok(body)
}

/// `deflate` is the zlib format (RFC 9110 §8.4.1.2), and some peers leave out its wrapper.
fn inflate(data: &[u8], max: usize) -> Result<Vec<u8>, ContentError> {
    let may_be_zlib = match data {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    };
    if may_be_zlib {
        match inflate_as(true, data, max) {
            Err(ContentError::Malformed) => {}
            decided => return decided,
        }
    }
    inflate_as(false, data, max)
}

fn inflate_as(has_wrapper: bool, data: &[u8], max: usize) -> Result<Vec<u8>, ContentError> {
    let mut inflater = Decompress::new(has_wrapper);
    let mut body = Vec::with_capacity(data.len().saturating_mul(4).min(max));
    loop {
        if body.len() > max {
            return Err(ContentError::TooLarge);
        }
        if body.len() == body.capacity() {
            // One byte more than there may be, to see whether there is more.
            let more = body.len().max(1_024).min(max + 1 - body.len());
            body.reserve_exact(more);
        }
        let (read, written) = (inflater.total_in(), body.len());
        // It cannot have read more than there is.
        let rest = usize::try_from(read).ok().and_then(|read| data.get(read..));
        let status = inflater
            .decompress_vec(rest.unwrap_or_default(), &mut body, FlushDecompress::None)
            .map_err(|_| ContentError::Malformed)?;
        let is_stuck = inflater.total_in() == read && body.len() == written;
        match status {
            Status::StreamEnd if inflater.total_in() < data.len() as u64 => {
                return Err(ContentError::Malformed);
            }
            Status::StreamEnd if body.len() > max => return Err(ContentError::TooLarge),
            Status::StreamEnd => return Ok(body),
            // It wants more than there is.
            Status::Ok | Status::BufError if is_stuck => return Err(ContentError::Malformed),
            Status::Ok | Status::BufError => {}
        }
    }
}

fn gunzip(data: &[u8], max: usize) -> Result<Vec<u8>, ContentError> {
    let mut decoder = GzDecoder::new(data);
    let mut body = Vec::new();
    // One byte more than there may be, to see whether there is more.
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let read = decoder.by_ref().take(limit).read_to_end(&mut body);
    read.map_err(|_| ContentError::Malformed)?;
    if body.len() > max {
        return Err(ContentError::TooLarge);
    }
    if decoder.into_inner().is_empty() {
        Ok(body)
    } else {
        Err(ContentError::Malformed)
    }
}

#[cfg(test)]
mod tests;
