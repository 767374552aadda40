//! Bodies, read: JSON, with the place of every mistake.

use axum::body::Body;
use axum::body::Bytes;
use axum::body::to_bytes;
use axum::http::HeaderMap;
use axum::http::header;
use serde::Deserialize;

use super::error::ApiError;

/// Reads a body of at most `limit` bytes. Whether it is JSON is told by [`json`].
pub(super) async fn body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let stated = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    let too_large = || ApiError::TooLarge(format!("a request has at most {limit} bytes"));
    if stated.is_some_and(|stated| stated > limit) {
        return Err(too_large());
    }
    to_bytes(body, limit).await.map_err(|error| {
        let over = std::error::Error::source(&error)
            .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        match over {
            true => too_large(),
            false => ApiError::Malformed("the body ended before it was complete".to_owned()),
        }
    })
}

/// Refuses bodies of another type. Without the header a body is taken for JSON.
pub(super) fn check_json_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence.to_ascii_lowercase().ends_with("+json");
    if is_json {
        Ok(())
    } else {
        Err(ApiError::MediaType)
    }
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
                push(&mut pointer, segment);
            }
            let inner = error.into_inner().to_string();
            let detail = inner
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned();
            // The path of a missing or unknown member ends at its parent.
            if let Some(name) = named(&detail)
                && !pointer.ends_with(&format!("/{name}"))
            {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            ApiError::invalid(pointer, detail)
        }
    }
}

fn named(detail: &str) -> Option<&str> {
    let rest = detail
        .strip_prefix("missing field `")
        .or_else(|| detail.strip_prefix("unknown field `"))?;
    rest.split('`').next()
}

fn push(pointer: &mut String, segment: &serde_path_to_error::Segment) {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
        Segment::Map { key } | Segment::Enum { variant: key } => {
            pointer.push('/');
            pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        }
        Segment::Unknown => {}
    }
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
        for (text, pointer) in [
            (r#"{"body": ""}"#, "/target"),
            (r#"{"target": 1, "body": ""}"#, "/target"),
            (r#"{"target": "a", "body": "", "bodyy": 1}"#, "/bodyy"),
            (r#"{"target": "a", "body": "", "ttl": -1}"#, "/ttl"),
            (
                r#"{"target": "a", "body": "", "extraHeaders": ["a: b", 1]}"#,
                "/extraHeaders/1",
            ),
            (
                r#"{"target": "a", "body": "", "extraHeaders": {"X-A": 1}}"#,
                "/extraHeaders/X-A",
            ),
            (
                r#"{"target": "a", "body": "", "extraHeaders": "x"}"#,
                "/extraHeaders",
            ),
            (
                r#"{"target": "a", "body": "", "metadata": {"a": 1}}"#,
                "/metadata/a",
            ),
            (r"[]", ""),
        ] {
            let (found, detail) = violation(text);
            assert_eq!(found, pointer, "{text}: {detail}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in [
            "",
            "{",
            "nonsense",
            r#"{"target": "a", "body": "b"} x"#,
            "\u{0}",
        ] {
            let read = json::<NewMessageJson>(text.as_bytes(), "");
            assert!(matches!(read, Err(ApiError::Malformed(_))), "{text}");
        }
    }
}
