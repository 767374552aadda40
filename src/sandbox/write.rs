//! Responses, and requests and responses on their way through.

use std::net::IpAddr;

use crate::sip::StatusCode;
use crate::sip::headers::{NameAddr, find_outside};
use crate::sip::parse::{Message, StartLine};
use crate::sip::uri::Uri;

/// What the sandbox calls itself in Server.
const SERVER: &str = concat!("sipost-sandbox/", env!("CARGO_PKG_VERSION"));

/// What every response to a request repeats (RFC 3261 §8.2.6.2): lines with Via, From, To, Call-ID
/// and CSeq. `None` if the request lacks one of them.
pub(super) fn reply_lines(request: &Message<'_>, peer: IpAddr, tag: u64) -> Option<Vec<u8>> {
    let mut lines = Vec::with_capacity(512);
    for (index, via) in request.all("Via").enumerate() {
        match index {
            0 => line(&mut lines, "Via", &with_received(via, peer)),
            _ => line(&mut lines, "Via", via),
        }
    }
    line(&mut lines, "From", request.from?);
    let to = request.to?;
    let has_tag = std::str::from_utf8(to).ok().and_then(NameAddr::parse)?;
    match has_tag.tag() {
        Some(_) => line(&mut lines, "To", to),
        None => line(
            &mut lines,
            "To",
            &[to, format!(";tag={tag:016x}").as_bytes()].concat(),
        ),
    }
    line(&mut lines, "Call-ID", request.call_id?);
    line(&mut lines, "CSeq", request.cseq?);
    Some(lines)
}

/// A response without a body. `headers` are complete lines.
pub(super) fn response(status: StatusCode, reply_lines: &[u8], headers: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128 + reply_lines.len() + headers.len());
    frame.extend_from_slice(b"SIP/2.0 ");
    frame.extend_from_slice(status.as_u16().to_string().as_bytes());
    frame.push(b' ');
    frame.extend_from_slice(status.reason_phrase().as_bytes());
    frame.extend_from_slice(b"\r\n");
    frame.extend_from_slice(reply_lines);
    frame.extend_from_slice(headers);
    line(&mut frame, "Server", SERVER.as_bytes());
    frame.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    frame
}

/// What changes in a request that passes through (RFC 3261 §16.6).
pub(super) struct Passage<'a> {
    /// The new Request-URI.
    pub target: &'a str,
    /// Of the Via that is added.
    pub branch: &'a str,
    /// Of the proxy: where its Via says it is, and whose Route and credentials are its own.
    pub domain: &'a str,
    /// What is left of Max-Forwards.
    pub max_forwards: u32,
    /// Where the request came from.
    pub peer: IpAddr,
}

impl Passage<'_> {
    /// The request as it goes on.
    pub(super) fn request(&self, method: &str, request: &Message<'_>) -> Vec<u8> {
        let Self {
            target,
            branch,
            domain,
            max_forwards,
            peer,
        } = self;
        let mut frame = Vec::with_capacity(1024 + request.body.len());
        frame.extend_from_slice(
            format!(
                "{method} {target} SIP/2.0\r\nVia: SIP/2.0/WS {domain};branch={branch}\r\n\
                 Max-Forwards: {max_forwards}\r\n"
            )
            .as_bytes(),
        );
        let (mut via, mut route) = (0, 0);
        for (name, value) in request.headers() {
            let is = |long: &str| name.eq_ignore_ascii_case(long.as_bytes());
            if is("Via") || is("v") {
                via += 1;
                if via == 1 {
                    line(&mut frame, "Via", &with_received(value, *peer));
                    continue;
                }
            }
            route += u32::from(is("Route"));
            let is_own_route = is("Route") && route == 1 && names(value, domain);
            // Ours were verified; the next proxy's are none of our business (RFC 3261 §22.3).
            let is_own_answer = is("Proxy-Authorization") && is_for_realm(value, domain);
            if !is("Max-Forwards") && !is_own_route && !is_own_answer {
                frame.extend_from_slice(name);
                frame.extend_from_slice(b": ");
                frame.extend_from_slice(value);
                frame.extend_from_slice(b"\r\n");
            }
        }
        frame.extend_from_slice(b"\r\n");
        frame.extend_from_slice(request.body);
        frame
    }
}

/// A response on its way back, without the Via that brought it here (RFC 3261 §16.7 step 3).
pub(super) fn response_without_via(response: &Message<'_>) -> Option<Vec<u8>> {
    let StartLine::Response { status, reason } = response.start else {
        return None;
    };
    let mut frame = Vec::with_capacity(1024 + response.body.len());
    frame.extend_from_slice(format!("SIP/2.0 {} ", status.as_u16()).as_bytes());
    frame.extend_from_slice(reason);
    frame.extend_from_slice(b"\r\n");
    let mut is_first = true;
    for (name, value) in response.headers() {
        let is_via = name.eq_ignore_ascii_case(b"Via") || name.eq_ignore_ascii_case(b"v");
        if is_via && std::mem::take(&mut is_first) {
            let text = std::str::from_utf8(value).ok()?;
            if let Some(comma) = find_outside(text, ',') {
                line(&mut frame, "Via", text[comma + 1..].trim().as_bytes());
            }
            continue;
        }
        frame.extend_from_slice(name);
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value);
        frame.extend_from_slice(b"\r\n");
    }
    frame.extend_from_slice(b"\r\n");
    frame.extend_from_slice(response.body);
    Some(frame)
}

/// RFC 3261 §18.2.1: the topmost Via says where the request really came from. The `.invalid` host
/// of a WebSocket client never does (RFC 7118 §5).
fn with_received(via: &[u8], peer: IpAddr) -> Vec<u8> {
    let end = std::str::from_utf8(via)
        .ok()
        .and_then(|text| find_outside(text, ','))
        .unwrap_or(via.len());
    let (first, rest) = via.split_at(end);
    let mut out = first.to_vec();
    out.extend_from_slice(format!(";received={peer}").as_bytes());
    out.extend_from_slice(rest);
    out
}

/// Whether the first address of a Route is at this domain.
fn names(route: &[u8], domain: &str) -> bool {
    let text = std::str::from_utf8(route).unwrap_or_default();
    let address = NameAddr::parse(text);
    address.is_some_and(|address| {
        find_outside(text, ',').is_none()
            && Uri::parse(address.uri).is_ok_and(|uri| uri.host() == domain)
    })
}

fn is_for_realm(value: &[u8], realm: &str) -> bool {
    let text = String::from_utf8_lossy(value);
    text.contains(&format!("realm=\"{realm}\""))
}

fn line(frame: &mut Vec<u8>, name: &str, value: &[u8]) {
    frame.extend_from_slice(name.as_bytes());
    frame.extend_from_slice(b": ");
    frame.extend_from_slice(value);
    frame.extend_from_slice(b"\r\n");
}
