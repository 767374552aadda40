//! Bodies, as they arrive. [`super::value`] reads what they say.

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use http_body_util::BodyExt as _;

use super::Api;
use super::access::Caller;
use super::bytes::ByteRoom;
use super::error::ApiError;

/// A body in memory; its room is given back when it is dropped.
pub(super) struct RequestBody {
    bytes: Bytes,
    _room: ByteRoom,
}

impl std::ops::Deref for RequestBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// How large a request may be, and the setting that says so.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    setting: &'static str,
    bytes: usize,
}

impl Limit {
    pub(super) fn of_request(api: &Api) -> Self {
        Self {
            setting: "http.max_request",
            bytes: api.settings.max_request,
        }
    }

    pub(super) fn of_batch(api: &Api) -> Self {
        Self {
            setting: "http.max_batch_request",
            bytes: api.settings.max_batch_request,
        }
    }

    fn exceeded(self) -> ApiError {
        let Self { setting, bytes } = self;
        ApiError::TooLarge(format!(
            "a request has at most {bytes} bytes here ({setting})"
        ))
    }
}

/// Reads a body within `limit` that says it is JSON, while there is room for what
/// arrives. [`super::value`] checks that it is JSON.
pub(super) async fn body(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
    limit: Limit,
) -> Result<RequestBody, ApiError> {
    check_type(headers)?;
    let stated = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if stated.is_some_and(|stated| stated > limit.bytes) {
        return Err(limit.exceeded());
    }
    let read = read(body, limit, api.0.bodies.room(caller.key().clone()));
    let arrived = tokio::time::timeout(api.settings.request_timeout, read).await;
    arrived.map_err(|_| ApiError::Timeout)?
}

async fn read(mut body: Body, limit: Limit, mut room: ByteRoom) -> Result<RequestBody, ApiError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| ApiError::Malformed("the body ended before it was complete".to_owned()))?;
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        let size = whole.len().saturating_add(chunk.len());
        if size > limit.bytes {
            return Err(limit.exceeded());
        }
        if !room.grow(size) {
            return Err(ApiError::TooManyBytes);
        }
        // As a rule a body comes at once, and nothing is copied.
        if whole.is_empty() && body.is_end_stream() {
            let bytes = without_mark(chunk);
            return Ok(RequestBody { bytes, _room: room });
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(RequestBody {
        bytes: without_mark(whole.freeze()),
        _room: room,
    })
}

/// A byte order mark, which some editors and shells put first, is no mistake (RFC 8259 §8.1).
fn without_mark(bytes: Bytes) -> Bytes {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.slice(3..)
    } else {
        bytes
    }
}

/// Refuses bodies of another type. A request without the header has no body ([`super::origin`]).
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let encoded = headers.get(header::CONTENT_ENCODING);
    if encoded.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(ApiError::MediaType("the body must not be compressed"));
    }
    let mut coded = headers.get_all(header::TRANSFER_ENCODING).iter();
    if coded.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(ApiError::MediaType(
            "the body must not be compressed on its way either",
        ));
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
    use std::sync::Arc;

    use super::*;
    use crate::api::bytes::{ByteBudget, ClientKey, FREE};

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

    fn of_chunks(chunks: usize, bytes: usize) -> Body {
        let chunk = Bytes::from(vec![b' '; bytes]);
        let chunks = (0..chunks).map(move |_| Ok::<_, std::convert::Infallible>(chunk.clone()));
        Body::from_stream(futures_util::stream::iter(chunks))
    }

    fn limit(bytes: usize) -> Limit {
        Limit {
            setting: "http.max_request",
            bytes,
        }
    }

    fn room(budget: &Arc<ByteBudget>, name: &str) -> ByteRoom {
        budget.room(ClientKey::Token(name.into()))
    }

    #[tokio::test]
    async fn what_is_in_memory_of_all_bodies_is_bounded_and_given_back() {
        let budget = ByteBudget::new(2 * FREE);
        let read = async |name, chunks, bytes| {
            read(
                of_chunks(chunks, bytes),
                limit(64 * FREE),
                room(&budget, name),
            )
            .await
        };
        let one = read("a", 2, FREE).await.unwrap();
        assert_eq!((one.len(), budget.used()), (2 * FREE, FREE));
        let two = read("b", 20, FREE / 10).await.unwrap();
        assert!(budget.used() > 2 * FREE - FREE / 4);
        // What breaks off for want of room gives back what it had.
        let before = budget.used();
        let refused = read("c", 64, FREE).await;
        assert!(matches!(refused, Err(ApiError::TooManyBytes)));
        assert_eq!(budget.used(), before);
        // A message comes through all the same.
        assert_eq!(read("a", 1, FREE).await.unwrap().len(), FREE);
        drop((one, two));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_body_is_left_at_its_limit() {
        let budget = ByteBudget::new(usize::MAX);
        let endless = of_chunks(usize::MAX, 1_000);
        let refused = read(endless, limit(100_000), room(&budget, "a")).await;
        assert!(matches!(refused, Err(ApiError::TooLarge(_))));
        assert_eq!(budget.used(), 0);
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
