//! The client's half of the opening handshake (RFC 6455 §4.1) for SIP (RFC 7118 §4).
//!
//! Done here because tungstenite compares `Connection` and `Upgrade` of the answer as a whole:
//! they are lists of tokens (RFC 9110 §7.6.1 and §7.8), in several lines even (§5.3), and servers
//! write `keep-alive, Upgrade`.
//!
//! | server   | wants                                                                                |
//! |----------|--------------------------------------------------------------------------------------|
//! | OpenSIPS | `Origin`, unless `require_origin` of its `proto_ws` is off: 400 without               |
//! | Kamailio | what its script tests before `ws_handle_handshake`: `Host`, and in some `Origin`      |
//! | each     | the subprotocol `sip` (RFC 7118 §4)                                                   |

use std::time::Duration;

use http::header;
use http::{HeaderName, HeaderValue, StatusCode};
use httparse::{Header, Status};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// How many bytes the heads of a server's answer may have in all.
const MAX_HEAD: usize = 16 * 1024;

/// How many header lines an answer may have.
const MAX_HEADERS: usize = 64;

/// The longest `Retry-After` of a refused upgrade that is believed.
const LONGEST_REFUSAL: Duration = Duration::from_secs(3_600);

/// Why a connection did not become a SIP WebSocket.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection during the handshake")]
    Closed,
    #[error("the server's answer to the handshake is longer than {MAX_HEAD} bytes")]
    TooLong,
    #[error("the server's answer to the handshake is no HTTP: {0}")]
    Parse(#[from] httparse::Error),
    #[error("the server refused the handshake: HTTP error: {status}")]
    Refused {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    #[error("the server's answer to the handshake has a {0} that does not fit")]
    Header(&'static str),
    #[error("the server did not take the subprotocol sip")]
    Subprotocol,
}

/// Sends the request, reads the answer, and returns what followed it.
pub(super) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    url: &url::Url,
    extra: &[(HeaderName, HeaderValue)],
) -> Result<Vec<u8>, UpgradeError> {
    let key = generate_key();
    stream.write_all(&request(url, &key, extra)).await?;
    stream.flush().await?;
    let mut read = Vec::with_capacity(1024);
    let mut parsed = 0;
    loop {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(UpgradeError::Closed);
        }
        let before = read.len();
        read.extend_from_slice(&chunk[..count]);
        // A server that writes byte by byte must not have each of them parsed all over again.
        if !ends_a_head(&read[before.saturating_sub(2)..]) && read.len() < 2 * parsed {
            continue;
        }
        parsed = read.len();
        if let Some(length) = answer(&read, &key)? {
            read.drain(..length);
            return Ok(read);
        }
        if read.len() > MAX_HEAD {
            return Err(UpgradeError::TooLong);
        }
    }
}

/// Whether there is an empty line, as lenient readers see one (RFC 9112 §2.2).
fn ends_a_head(bytes: &[u8]) -> bool {
    let has = |line_end: &[u8]| bytes.windows(line_end.len()).any(|part| part == line_end);
    has(b"\n\n") || has(b"\n\r\n")
}

/// RFC 6455 §4.1. `Origin` is what a browser's page of the server would send (RFC 6454 §6.2).
fn request(url: &url::Url, key: &str, extra: &[(HeaderName, HeaderValue)]) -> Vec<u8> {
    let host = url.host_str().unwrap_or_default();
    let authority = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let query = url.query().map(|query| format!("?{query}"));
    let mut out = format!(
        "GET {}{} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: sip\r\n",
        url.path(),
        query.unwrap_or_default(),
    )
    .into_bytes();
    if !extra.iter().any(|(name, _)| *name == header::ORIGIN) {
        let scheme = match url.scheme() {
            "wss" => "https",
            _ => "http",
        };
        out.extend_from_slice(format!("Origin: {scheme}://{authority}\r\n").as_bytes());
    }
    for (name, value) in extra {
        let name = if *name == header::ORIGIN {
            "Origin"
        } else {
            name.as_str()
        };
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// How long the head of the final answer is, with what precedes it; `None` until it is complete.
fn answer(read: &[u8], key: &str) -> Result<Option<usize>, UpgradeError> {
    let mut config = httparse::ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    let mut start = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match config.parse_response(&mut response, &read[start..])? {
            Status::Partial => return Ok(None),
            Status::Complete(length) => length,
        };
        let status = response
            .code
            .and_then(|code| StatusCode::from_u16(code).ok());
        start += length;
        match status {
            Some(StatusCode::SWITCHING_PROTOCOLS) => {
                accept(response.headers, key)?;
                return Ok(Some(start));
            }
            // RFC 9110 §15.2: others may precede the final answer.
            Some(status) if status.is_informational() => {}
            status => {
                return Err(UpgradeError::Refused {
                    status: status.unwrap_or_default(),
                    retry_after: retry_after(response.headers),
                });
            }
        }
    }
}

/// RFC 6455 §4.1, what the client checks in a 101.
fn accept(headers: &[Header<'_>], key: &str) -> Result<(), UpgradeError> {
    let has = |name, token: &str| elements(headers, name).any(|e| e.eq_ignore_ascii_case(token));
    if !has("Upgrade", "websocket") {
        return Err(UpgradeError::Header("Upgrade"));
    }
    if !has("Connection", "upgrade") {
        return Err(UpgradeError::Header("Connection"));
    }
    let expected = derive_accept_key(key.as_bytes());
    if !is_only(elements(headers, "Sec-WebSocket-Accept"), |accept| {
        accept == expected
    }) {
        return Err(UpgradeError::Header("Sec-WebSocket-Accept"));
    }
    // None was asked for.
    if elements(headers, "Sec-WebSocket-Extensions")
        .next()
        .is_some()
    {
        return Err(UpgradeError::Header("Sec-WebSocket-Extensions"));
    }
    let is_sip = |protocol: &str| protocol.eq_ignore_ascii_case("sip");
    if is_only(elements(headers, "Sec-WebSocket-Protocol"), is_sip) {
        Ok(())
    } else {
        Err(UpgradeError::Subprotocol)
    }
}

fn is_only<'a>(mut elements: impl Iterator<Item = &'a str>, is: impl Fn(&str) -> bool) -> bool {
    elements.next().is_some_and(is) && elements.next().is_none()
}

/// The elements of a list over all of its lines; empty ones do not count (RFC 9110 §5.6.1.2).
fn elements<'a>(headers: &'a [Header<'_>], name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    lines
        .filter_map(|header| str::from_utf8(header.value).ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

/// When a server that refused wants to be asked again (RFC 9110 §10.2.3).
fn retry_after(headers: &[Header<'_>]) -> Option<Duration> {
    let seconds = elements(headers, "Retry-After").next()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_REFUSAL))
}

impl UpgradeError {
    /// When the server wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Io(_)
            | Self::Closed
            | Self::TooLong
            | Self::Parse(_)
            | Self::Header(_)
            | Self::Subprotocol => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    /// The answer to it in RFC 6455 §1.3.
    const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn switching(lines: &str) -> Result<Option<usize>, UpgradeError> {
        answer(
            format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n\r\n").as_bytes(),
            KEY,
        )
    }

    #[test]
    fn the_tokens_of_an_answer_are_found_in_lists_lines_and_any_case() {
        for (connection, upgrade, protocol) in [
            ("Connection: Upgrade", "Upgrade: websocket", "sip"),
            (
                "connection: keep-alive, Upgrade",
                "upgrade: WebSocket",
                "sip",
            ),
            (
                "Connection: keep-alive\r\nConnection: UPGRADE",
                "Upgrade: h2c, websocket",
                "SIP",
            ),
            ("Connection: ,upgrade ,", "Upgrade:websocket", " sip "),
        ] {
            let lines = format!(
                "{connection}\r\n{upgrade}\r\n{ACCEPT}\r\nSec-WebSocket-Protocol: {protocol}"
            );
            assert!(matches!(switching(&lines), Ok(Some(_))), "{lines}");
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_is_refused_by_what_does_not() {
        let good = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            ACCEPT,
            "Sec-WebSocket-Protocol: sip",
        ];
        for (at, line, told) in [
            (0, "Connection: keep-alive", "Connection"),
            (0, "X: upgrade", "Connection"),
            (1, "Upgrade: websockets", "Upgrade"),
            (2, "Sec-WebSocket-Accept: x", "Accept"),
            (3, "Sec-WebSocket-Protocol: sip, xmpp", "subprotocol"),
            (3, "Sec-WebSocket-Protocol: xmpp", "subprotocol"),
            (3, "X: sip", "subprotocol"),
        ] {
            let mut lines = good;
            lines[at] = line;
            let error = switching(&lines.join("\r\n")).unwrap_err().to_string();
            assert!(error.contains(told), "{line}: {error}");
        }
        let deflate = "\r\nSec-WebSocket-Extensions: permessage-deflate";
        let error = switching(&(good.join("\r\n") + deflate)).unwrap_err();
        assert!(error.to_string().contains("Extensions"), "{error}");
    }

    #[test]
    fn what_precedes_the_answer_is_passed_over_and_what_follows_is_left() {
        let head = format!(
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101 Go\r\nConnection: upgrade\r\n\
             Upgrade: websocket\r\n{ACCEPT}\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
        );
        let read = format!("{head}early");
        assert_eq!(answer(read.as_bytes(), KEY).unwrap(), Some(head.len()));
        assert_eq!(
            answer(&head.as_bytes()[..head.len() - 1], KEY).unwrap(),
            None
        );
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let refused = answer(b"HTTP/1.1 503 Busy\r\nRetry-After: 7200\r\n\r\n", KEY).unwrap_err();
        assert_eq!(refused.retry_after(), Some(LONGEST_REFUSAL));
        assert!(refused.to_string().contains("503"), "{refused}");
    }

    #[test]
    fn origin_is_that_of_a_page_of_the_server_unless_it_is_configured() {
        for (url, origin) in [
            (
                "wss://edge.example.com/ws?token=x",
                "https://edge.example.com",
            ),
            ("wss://edge.example.com:443/", "https://edge.example.com"),
            (
                "wss://edge.example.com:8443/",
                "https://edge.example.com:8443",
            ),
            ("ws://[::1]:5066", "http://[::1]:5066"),
            ("ws://127.0.0.1", "http://127.0.0.1"),
        ] {
            let url = url::Url::parse(url).unwrap();
            let text = String::from_utf8(request(&url, KEY, &[])).unwrap();
            assert!(
                text.contains(&format!("\r\nOrigin: {origin}\r\n")),
                "{text}"
            );
        }
        let own = [(
            header::ORIGIN,
            HeaderValue::from_static("https://app.example"),
        )];
        let url = url::Url::parse("ws://b.com/a%20b?c").unwrap();
        let text = String::from_utf8(request(&url, KEY, &own)).unwrap();
        assert!(text.starts_with("GET /a%20b?c HTTP/1.1\r\nHost: b.com\r\n"));
        assert_eq!(text.matches("Origin").count(), 1);
        assert!(text.contains("\r\nOrigin: https://app.example\r\n"));
    }
}
