//! A request that came in, and the checks that do not depend on its recipient.

use std::net::IpAddr;

use crate::sip::headers::{CSeq, NameAddr};
use crate::sip::parse::{Flaw, Message};
use crate::sip::uri::Uri;
use crate::sip::{StatusCode, parse};

use super::connection::ConnectionId;
use super::options::Reply;

/// The methods that are served.
pub(super) const ALLOW: &str = "REGISTER, MESSAGE, OPTIONS";

/// The extensions that are understood (RFC 3261 §20.32).
const KNOWN_EXTENSIONS: [&str; 2] = ["path", "outbound"];

/// A request, as far as every response needs it.
pub(super) struct ServedRequest<'a> {
    pub connection: ConnectionId,
    pub peer: IpAddr,
    pub method: &'a str,
    pub uri_text: &'a str,
    pub uri: Uri,
    pub cseq: CSeq<'a>,
    pub message: &'a Message<'a>,
    pub reply_lines: Vec<u8>,
}

/// The checks that do not depend on the recipient. Returns Max-Forwards, less this hop.
pub(super) fn check(request: &ServedRequest<'_>) -> Result<u32, Reply> {
    let message = request.message;
    if message.flaw == Some(Flaw::Version) {
        return Err(Reply::new(StatusCode::VERSION_NOT_SUPPORTED));
    }
    if request.cseq.method != request.method || message.flaw.is_some() {
        return Err(Reply::new(StatusCode::BAD_REQUEST));
    }
    let max_forwards = match message.first_text("Max-Forwards") {
        // RFC 3261 §16.6 step 3.
        None => 71,
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| Reply::new(StatusCode::BAD_REQUEST))?,
    };
    let Some(max_forwards) = u32::checked_sub(max_forwards, 1) else {
        return Err(Reply::new(StatusCode::TOO_MANY_HOPS));
    };
    let required = message.all("Proxy-Require").chain(match request.method {
        "REGISTER" => message.first("Require"),
        // A proxy ignores what the recipient has to understand (RFC 3261 §16.3).
        _ => None,
    });
    let required: Vec<String> = required.map(parse::text).collect();
    let extensions = required.iter().flat_map(|line| line.split(','));
    let unknown: Vec<&str> = extensions
        .map(str::trim)
        .filter(|extension| !KNOWN_EXTENSIONS.contains(extension))
        .collect();
    if unknown.is_empty() {
        return Ok(max_forwards);
    }
    let line = format!("Unsupported: {}\r\n", unknown.join(", "));
    Err(Reply::new(StatusCode::BAD_EXTENSION).with(line))
}

/// The URI of a From or To, if it is one of SIP's.
pub(super) fn address(value: Option<&[u8]>) -> Option<Uri> {
    let text = parse::text(value?);
    Uri::parse(NameAddr::parse(&text)?.uri).ok()
}

/// A response with the methods that are served.
pub(super) fn allow(status: StatusCode) -> Reply {
    Reply::new(status).with(format!("Allow: {ALLOW}\r\n"))
}
