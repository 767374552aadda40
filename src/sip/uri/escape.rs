//! Which characters a URI escapes, part by part (RFC 3261 §25.1).

use super::UriError;

/// `unreserved`: means the same with and without an escape, so it is written without one.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte)
}

/// Literal in `user`.
pub(in crate::sip) fn in_user(byte: u8) -> bool {
    b"&=+$,;?/".contains(&byte)
}

/// Literal in `password`.
pub(in crate::sip) fn in_password(byte: u8) -> bool {
    // `?` and `/` are not in the grammar's password. JsSIP writes them there, peers take them.
    b"&=+$,?/".contains(&byte)
}

/// Literal in `paramchar`.
pub(super) fn in_param(byte: u8) -> bool {
    b"[]/:&+$".contains(&byte)
}

/// Literal in `hname` and `hvalue`.
pub(super) fn in_header(byte: u8) -> bool {
    b"[]/?:+$".contains(&byte)
}

/// Appends `part` in its canonical form: unreserved characters without an escape, literal ones as
/// written, all others escaped in upper case.
pub(in crate::sip) fn push(
    out: &mut String,
    part: &str,
    literal: fn(u8) -> bool,
) -> Result<(), UriError> {
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let byte = escaped_byte(bytes.next(), bytes.next()).ok_or(UriError::Escape)?;
            if is_unreserved(byte) {
                out.push(char::from(byte));
            } else {
                push_escaped(out, byte);
            }
        } else if is_unreserved(byte) || literal(byte) {
            out.push(char::from(byte));
        } else {
            push_escaped(out, byte);
        }
    }
    Ok(())
}

/// Appends `bytes` so that none of them is syntax: all are escaped but unreserved and literal ones.
pub(in crate::sip) fn push_bytes(out: &mut String, bytes: &[u8], literal: fn(u8) -> bool) {
    for &byte in bytes {
        if is_unreserved(byte) || literal(byte) {
            out.push(char::from(byte));
        } else {
            push_escaped(out, byte);
        }
    }
}

/// Every escape replaced by its byte; one that is broken stays as it is.
pub(super) fn unescape(part: &str) -> Vec<u8> {
    try_unescape(part).unwrap_or_else(|_| part.as_bytes().to_vec())
}

/// Every escape replaced by its byte.
pub(in crate::sip) fn try_unescape(part: &str) -> Result<Vec<u8>, UriError> {
    let mut bytes = part.bytes();
    let mut out = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => escaped_byte(bytes.next(), bytes.next()).ok_or(UriError::Escape)?,
            _ => byte,
        });
    }
    Ok(out)
}

fn push_escaped(out: &mut String, byte: u8) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 0xf)]);
}

fn escaped_byte(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
