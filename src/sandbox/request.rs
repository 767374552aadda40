//! A request that came in, and what is wrong with it whoever it is for.

use std::net::IpAddr;

use crate::sip::headers::{CSeq, NameAddr};
use crate::sip::parse::{Flaw, Message};
use crate::sip::uri::Uri;
use crate::sip::{StatusCode, parse};

use super::ConnectionId;

/// The methods that are served.
pub(super) const ALLOW: &str = "REGISTER, MESSAGE, OPTIONS";

/// The extensions that are understood (RFC 3261 §20.32).
const KNOWN_EXTENSIONS: [&str; 2] = ["path", "outbound"];

/// A request, as far as every answer needs it.
pub(super) struct Request<'a> {
    pub connection: ConnectionId,
    pub peer: IpAddr,
    pub method: &'a str,
    pub uri_text: &'a str,
    pub uri: Uri,
    pub cseq: CSeq<'a>,
    pub message: &'a Message<'a>,
    pub reply_lines: Vec<u8>,
}

/// A status with the complete header lines that go with it.
pub(super) type Reply = (StatusCode, Vec<u8>);

/// What is wrong with a request whoever it is for; else what is left of its Max-Forwards.
pub(super) fn check(request: &Request<'_>) -> Result<u32, Reply> {
    let message = request.message;
    if message.flaw == Some(Flaw::Version) {
        return Err(plain(StatusCode::VERSION_NOT_SUPPORTED));
    }
    if request.cseq.method != request.method || message.flaw.is_some() {
        return Err(plain(StatusCode::BAD_REQUEST));
    }
    let max_forwards = match message.first_text("Max-Forwards") {
        // RFC 3261 §16.6 step 3.
        None => 71,
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| plain(StatusCode::BAD_REQUEST))?,
    };
    let Some(max_forwards) = u32::checked_sub(max_forwards, 1) else {
        return Err(plain(StatusCode::TOO_MANY_HOPS));
    };
    let required = message.all("Proxy-Require").chain(match request.method {
        "REGISTER" => message.first("Require"),
        // What the recipient has to understand is not the proxy's business.
        _ => None,
    });
    let required: Vec<String> = required.map(parse::text).collect();
    let extensions = required.iter().flat_map(|line| line.split(','));
    let unknown: Vec<&str> = extensions
        .map(str::trim)
        .filter(|extension| !KNOWN_EXTENSIONS.contains(extension))
        .collect();
    match unknown.is_empty() {
        true => Ok(max_forwards),
        false => {
            let line = format!("Unsupported: {}\r\n", unknown.join(", "));
            Err((StatusCode::BAD_EXTENSION, line.into_bytes()))
        }
    }
}

/// The URI of a From or To, if it is one of SIP's.
pub(super) fn address(value: Option<&[u8]>) -> Option<Uri> {
    let text = parse::text(value?);
    Uri::parse(NameAddr::parse(&text)?.uri).ok()
}

/// A status without more headers.
pub(super) fn plain(status: StatusCode) -> Reply {
    (status, Vec::new())
}

/// A status with the methods that are served.
pub(super) fn allow(status: StatusCode) -> Reply {
    (status, format!("Allow: {ALLOW}\r\n").into_bytes())
}
