//! What a client prefers: an answer, a stream, or to wait.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header;

use super::error::ApiError;

/// The longest `Prefer: wait`.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Whether the client would rather have an event stream than JSON (RFC 9110 §12.5.1).
pub(super) fn wants_stream(headers: &HeaderMap) -> bool {
    let (mut stream, mut json) = (0.0_f32, 0.0_f32);
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';');
            let media = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let quality = parts
                .find_map(|part| part.trim().strip_prefix("q=")?.parse().ok())
                .unwrap_or(1.0_f32);
            match media.as_str() {
                "text/event-stream" => stream = stream.max(quality),
                "application/json" | "application/*" => json = json.max(quality),
                _ => {}
            }
        }
    }
    stream > 0.0 && stream >= json
}

/// How long the client wants to wait for the end of its message (RFC 7240 §4.3), at most
/// [`MAX_WAIT`].
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all("prefer")
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .find_map(|preference| {
            let token = preference.split(';').next()?.trim();
            let (name, value) = token.split_once('=')?;
            let seconds = value.trim().trim_matches('"').parse().ok()?;
            name.trim()
                .eq_ignore_ascii_case("wait")
                .then(|| Duration::from_secs(seconds))
        })
        .map(|wait| wait.min(MAX_WAIT))
}

/// The client's `Idempotency-Key`, 1 to 255 characters of what a header may carry.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().trim();
    let fits = (1..=255).contains(&key.len()) && values.next().is_none();
    match fits {
        true => Ok(Some(key)),
        false => Err(ApiError::Header(
            "Idempotency-Key has 1 to 255 visible ASCII characters, once".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(name),
            value.parse().unwrap(),
        )])
    }

    #[test]
    fn a_stream_is_given_to_who_prefers_it() {
        for (accept, expected) in [
            ("text/event-stream", true),
            ("TEXT/Event-Stream", true),
            ("text/event-stream, application/json", true),
            ("text/event-stream;q=0.5, application/json", false),
            ("application/json", false),
            ("*/*", false),
            ("text/event-stream, */*;q=0.1", true),
            ("text/event-stream;q=0", false),
        ] {
            assert_eq!(
                wants_stream(&headers("accept", accept)),
                expected,
                "{accept}"
            );
        }
        assert!(!wants_stream(&HeaderMap::new()));
    }

    #[test]
    fn waiting_is_bounded() {
        let wait_of = |value| wait(&headers("prefer", value)).map(|wait| wait.as_secs());
        assert_eq!(wait_of("wait=10"), Some(10));
        assert_eq!(wait_of("respond-async, WAIT = 5; x"), Some(5));
        assert_eq!(wait_of("wait=3600"), Some(30));
        assert_eq!(wait_of("wait=soon"), None);
        assert_eq!(wait_of("return=minimal"), None);
    }
}
