//! Bodies, as they arrive. [`super::value`] reads what they say.

use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use axum::body::to_bytes;
use axum::http::HeaderMap;
use axum::http::header;

use super::error::ApiError;

/// Reads a body of at most `limit` bytes that says it is JSON, within `time`. Whether it is JSON
/// is told by [`super::value`].
pub(super) async fn body(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    time: Duration,
) -> Result<Bytes, ApiError> {
    check_type(headers)?;
    let stated = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    let too_large = || ApiError::TooLarge(format!("a request has at most {limit} bytes here"));
    if stated.is_some_and(|stated| stated > limit) {
        return Err(too_large());
    }
    let arrived = tokio::time::timeout(time, to_bytes(body, limit)).await;
    let bytes = arrived.map_err(|_| ApiError::Timeout)?;
    bytes.map(without_mark).map_err(|error| {
        let over = std::error::Error::source(&error)
            .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if over {
            too_large()
        } else {
            ApiError::Malformed("the body ended before it was complete".to_owned())
        }
    })
}

/// A byte order mark, which some editors and shells put first, is no mistake (RFC 8259 §8.1).
fn without_mark(bytes: Bytes) -> Bytes {
    match bytes.starts_with(b"\xef\xbb\xbf") {
        true => bytes.slice(3..),
        false => bytes,
    }
}

/// Refuses bodies of another type. A request without the header has no body ([`super::origin`]).
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let encoded = headers.get(header::CONTENT_ENCODING);
    if encoded.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(ApiError::MediaType("the body must not be compressed"));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if is_json(essence) {
        Ok(())
    } else {
        Err(ApiError::MediaType(
            "the body must be JSON and say so: Content-Type: application/json (curl --json does)",
        ))
    }
}

fn is_json(essence: &str) -> bool {
    let suffix = essence.len().checked_sub("+json".len());
    essence.eq_ignore_ascii_case("application/json")
        || suffix
            .and_then(|at| essence.get(at..))
            .is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_passed_over_once() {
        for (written, read) in [
            ("\u{feff}{}", "{}"),
            ("{}", "{}"),
            ("\u{feff}\u{feff}", "\u{feff}"),
        ] {
            assert_eq!(without_mark(Bytes::from(written)), read.as_bytes());
        }
    }

    #[test]
    fn json_is_known_by_its_type() {
        for essence in [
            "application/json",
            "Application/JSON",
            "application/vnd.x+json",
        ] {
            assert!(is_json(essence), "{essence}");
        }
        for essence in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "json",
            "é+jso",
        ] {
            assert!(!is_json(essence), "{essence}");
        }
    }
}
