//! Writes lines of SIP messages (RFC 3261 §7).

// From `core`: this room opens no socket.
use core::net::IpAddr;

use super::StatusCode;
use super::headers::{NameAddr, find_byte_outside};
use super::parse::Message;

/// The first line of a response.
pub(crate) fn status_line(frame: &mut Vec<u8>, status: StatusCode) {
    frame.extend_from_slice(b"SIP/2.0 ");
    number(frame, status.as_u16().into());
    frame.push(b' ');
    line(frame, status.reason_phrase().as_bytes());
}

/// A header with a value that has no line end but those of its continuation lines.
pub(crate) fn header(frame: &mut Vec<u8>, name: impl AsRef<[u8]>, value: &[u8]) {
    frame.extend_from_slice(name.as_ref());
    frame.extend_from_slice(b": ");
    line(frame, value);
}

/// The text of a line, and its end.
pub(crate) fn line(frame: &mut Vec<u8>, text: &[u8]) {
    frame.extend_from_slice(text);
    frame.extend_from_slice(b"\r\n");
}

/// The lines that a response repeats: Via, From, To, Call-ID and CSeq as they came, To with this
/// tag of ours if it has none (RFC 3261 §8.2.6.2). With `received`, the topmost Via says where the
/// request came from (§18.2.1).
pub(crate) fn repeated(message: &Message<'_>, tag: u64, received: Option<IpAddr>) -> Vec<u8> {
    let mut lines = Vec::with_capacity(256);
    for (index, via) in message.all("Via").enumerate() {
        match received.filter(|_| index == 0) {
            Some(peer) => header(&mut lines, "Via", &with_received(via, peer)),
            None => header(&mut lines, "Via", via),
        }
    }
    if let Some(from) = message.from {
        header(&mut lines, "From", from);
    }
    if let Some(to) = message.to {
        match NameAddr::read(Some(to)).and_then(|address| address.tag()) {
            Some(_) => header(&mut lines, "To", to),
            None => {
                let tag = format!(";tag={tag:016x}");
                header(&mut lines, "To", &[to, tag.as_bytes()].concat());
            }
        }
    }
    if let Some(call_id) = message.call_id {
        header(&mut lines, "Call-ID", call_id);
    }
    if let Some(cseq) = message.cseq {
        header(&mut lines, "CSeq", cseq);
    }
    lines
}

/// A Via line whose topmost entry says where the request came from (RFC 3261 §18.2.1): the
/// `.invalid` host of a WebSocket client does not (RFC 7118 §5).
pub(crate) fn with_received(via: &[u8], peer: IpAddr) -> Vec<u8> {
    let end = find_byte_outside(via, b',').unwrap_or(via.len());
    let received = format!(";received={peer}");
    [&via[..end], received.as_bytes(), &via[end..]].concat()
}

/// A number in decimal digits.
pub(crate) fn number(frame: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    let mut rest = number;
    loop {
        begin -= 1;
        digits[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break frame.extend_from_slice(&digits[begin..]);
        }
    }
}

pub(crate) fn hex64(number: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| DIGITS[(number >> (60 - 4 * at)) as usize & 15])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in [0, 7, 10, 4_294_967_295, u64::MAX] {
            let mut text = Vec::new();
            number(&mut text, value);
            assert_eq!(text, value.to_string().as_bytes());
            assert_eq!(hex64(value), *format!("{value:016x}").as_bytes());
        }
    }
}
