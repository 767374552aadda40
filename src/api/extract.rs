//! Bodies, read: JSON, with the place of every mistake.

use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use axum::body::to_bytes;
use axum::http::HeaderMap;
use axum::http::header;
use serde::Deserialize;

use super::error::ApiError;

/// Reads a body of at most `limit` bytes that says it is JSON, within `time`. Whether it is JSON
/// is told by [`json`].
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

/// Refuses bodies of another type. Without the header a body is taken for JSON.
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

/// Reads JSON; `at` is the pointer of the value within the request.
pub(super) fn json<'de, T: Deserialize<'de>>(bytes: &'de [u8], at: &str) -> Result<T, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        // Only now the slower way that knows where it is.
        Err(error) if error.is_data() => Err(misfit::<T>(bytes, at)),
        Err(error) => Err(ApiError::Malformed(format!(
            "the body is not JSON: {error}"
        ))),
    }
}

/// Where JSON is something else than was expected.
fn misfit<'de, T: Deserialize<'de>>(bytes: &'de [u8], at: &str) -> ApiError {
    let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, T>(deserializer) {
        Ok(_) => ApiError::Malformed("the body has something after its JSON".to_owned()),
        Err(error) => {
            let mut pointer = at.to_owned();
            for segment in error.path() {
                push_segment(&mut pointer, segment);
            }
            let whole = error.into_inner().to_string();
            let detail = whole.split(" at line ").next().unwrap_or_default();
            // The path of a member that is missing, unknown or doubled may end at its parent.
            if let Some(name) = named(detail) {
                let last = pointer_token(name);
                if !pointer.ends_with(&last) {
                    pointer.push_str(&last);
                }
            }
            ApiError::invalid(pointer, detail)
        }
    }
}

/// The member that the sentence of serde is about.
fn named(detail: &str) -> Option<&str> {
    let about = ["missing field `", "unknown field `", "duplicate field `"];
    let rest = about.iter().find_map(|words| detail.strip_prefix(words))?;
    // The name is the client's and may have backticks; what follows it is serde's and does not,
    // unless it lists what was expected.
    let end = rest.find("`, expected").or_else(|| rest.rfind('`'))?;
    rest.get(..end)
}

fn push_segment(pointer: &mut String, segment: &serde_path_to_error::Segment) {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
        Segment::Map { key } | Segment::Enum { variant: key } => {
            pointer.push_str(&pointer_token(key));
        }
        Segment::Unknown => {}
    }
}

/// A step of a JSON pointer (RFC 6901 §3).
pub(super) fn pointer_token(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::super::new_message::NewMessageJson;
    use super::*;

    fn violation(text: &str) -> (String, String) {
        match json::<NewMessageJson>(text.as_bytes(), "") {
            Err(ApiError::Invalid(mut list)) => {
                let one = list.remove(0);
                (one.pointer, one.detail)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_mistake_in_json_is_pointed_at() {
        for (members, pointer) in [
            (r#""bodyy": 1"#, "/bodyy"),
            (r#""a/b~`c": 1"#, "/a~1b~0`c"),
            (r#""body": """#, "/body"),
            (r#""ttl": -1"#, "/ttl"),
            (r#""ttl": 1.5"#, "/ttl"),
            (r#""attempts": "3""#, "/attempts"),
            (r#""extraHeaders": ["a: b", 1]"#, "/extraHeaders/1"),
            (r#""extraHeaders": {"X-A": 1}"#, "/extraHeaders/X-A"),
            (
                r#""extraHeaders": {"X-A": ["b", {}]}"#,
                "/extraHeaders/X-A/1",
            ),
            (r#""extraHeaders": "x""#, "/extraHeaders"),
            (r#""metadata": {"a": 1}"#, "/metadata/a"),
            (r#""metadata": []"#, "/metadata"),
        ] {
            let text = format!(r#"{{"target": "a", "body": "", {members}}}"#);
            let (found, detail) = violation(&text);
            assert_eq!(found, pointer, "{text}: {detail}");
        }
        assert_eq!(violation(r#"{"body": ""}"#).0, "/target");
        assert_eq!(violation(r#"{"target": 1, "body": ""}"#).0, "/target");
        assert_eq!(violation("[]").0, "");
        assert_eq!(violation("null").0, "");
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in [
            "",
            "{",
            "nonsense",
            r#"{"target": "a", "body": "b"} x"#,
            r#"{"target": "\ud800", "body": ""}"#,
            "\u{0}",
        ] {
            let read = json::<NewMessageJson>(text.as_bytes(), "");
            assert!(matches!(read, Err(ApiError::Malformed(_))), "{text}");
        }
        let latin = json::<NewMessageJson>(b"{\"target\": \"\xe9\", \"body\": \"\"}", "");
        assert!(matches!(latin, Err(ApiError::Malformed(_))));
    }

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
