//! Answers in JSON, written once.

use std::iter;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Serialize;

use super::bytes::{ByteRoom, FREE};
use super::error::ApiError;

/// What an answer takes, as a rule: a message with its result.
const USUAL: usize = 1024;

/// A page of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<T, C> {
    pub(super) data: Vec<T>,
    /// Where the next page begins; `None` when there is none.
    pub(super) next_cursor: Option<C>,
}

/// 200.
pub(super) fn ok(value: &impl Serialize) -> Response {
    answer(StatusCode::OK, value)
}

/// 200, with a list of everything there is, written as the client takes it: what is in memory of
/// it is one piece, for which there is `room`.
pub(super) fn ok_all<T: Serialize>(
    items: impl Iterator<Item = T> + Send + 'static,
    mut room: ByteRoom,
) -> Response {
    let mut pieces = ListPieces::new(items);
    let first = pieces.next().transpose().map(Option::unwrap_or_default);
    let first = match first {
        Ok(first) if !pieces.is_over => first,
        whole => return answer_bytes(StatusCode::OK, whole),
    };
    if !room.grow(first.len()) {
        return ApiError::TooManyAnswers.into_response();
    }
    let rest = pieces.inspect(move |piece| room.set(piece.as_ref().map_or(0, Bytes::len)));
    let whole = iter::once(Ok(first)).chain(rest);
    as_json(StatusCode::OK, Body::from_stream(stream::iter(whole)))
}

/// 201.
pub(super) fn created(value: &impl Serialize) -> Response {
    answer(StatusCode::CREATED, value)
}

/// 202.
pub(super) fn accepted(value: &impl Serialize) -> Response {
    answer(StatusCode::ACCEPTED, value)
}

/// 200, in JSON that is written already.
pub(super) fn ok_written(written: serde_json::Result<Vec<u8>>) -> Response {
    answer_written(StatusCode::OK, written)
}

fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(USUAL);
    let written = serde_json::to_writer(&mut bytes, value);
    answer_written(status, written.map(|()| bytes))
}

fn answer_written(status: StatusCode, written: serde_json::Result<Vec<u8>>) -> Response {
    let written = written.map(|mut bytes| {
        // A prompt after the answer begins on a line of its own.
        bytes.push(b'\n');
        // While it was written it grew to up to twice its size.
        bytes.shrink_to_fit();
        bytes.into()
    });
    answer_bytes(status, written)
}

fn answer_bytes(status: StatusCode, written: serde_json::Result<Bytes>) -> Response {
    match written {
        Ok(bytes) => as_json(status, Body::from(bytes)),
        Err(error) => ApiError::Internal(error.to_string()).into_response(),
    }
}

fn as_json(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The bytes of `{"data": […]}`, piece by piece.
struct ListPieces<I> {
    items: I,
    is_begun: bool,
    is_over: bool,
}

/// A piece ends before an item that may not fit any more: so much is left for the last one.
const FOR_THE_LAST: usize = 2 * 1024;

impl<I> ListPieces<I> {
    fn new(items: I) -> Self {
        Self {
            items,
            is_begun: false,
            is_over: false,
        }
    }
}

impl<I: Iterator<Item: Serialize>> Iterator for ListPieces<I> {
    type Item = serde_json::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let mut piece = Vec::with_capacity(FREE);
        let mut separator = ",";
        if !self.is_begun {
            self.is_begun = true;
            piece.extend_from_slice(br#"{"data":["#);
            separator = "";
        }
        while piece.len() < FREE - FOR_THE_LAST {
            let Some(item) = self.items.next() else {
                self.is_over = true;
                piece.extend_from_slice(b"]}\n");
                piece.shrink_to_fit();
                break;
            };
            piece.extend_from_slice(separator.as_bytes());
            separator = ",";
            if let Err(error) = serde_json::to_writer(&mut piece, &item) {
                self.is_over = true;
                return Some(Err(error));
            }
        }
        Some(Ok(piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{HttpBody as _, to_bytes};
    use serde_json::{Value, json};

    use super::*;
    use crate::api::bytes::{ByteBudget, ClientKey};

    /// Of a budget in which nothing has room but what needs none.
    fn no_room() -> ByteRoom {
        let budget = ByteBudget::new(0);
        let mut other = budget.room(ClientKey::Token("other".into()));
        other.set(2 * FREE);
        std::mem::forget(other);
        budget.room(ClientKey::Token("own".into()))
    }

    async fn text(response: Response) -> String {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.into()).unwrap()
    }

    #[tokio::test]
    async fn a_short_list_is_one_answer_of_a_known_length() {
        for items in [vec![], vec![json!({"a": 1})], vec![json!(1), json!("]")]] {
            let response = ok_all(items.clone().into_iter(), no_room());
            let expected = format!("{}\n", json!({ "data": items }));
            let size = response.body().size_hint().exact();
            assert_eq!(size, Some(expected.len() as u64));
            assert_eq!(text(response).await, expected);
        }
    }

    #[tokio::test]
    async fn a_long_list_is_given_whole_whatever_its_length() {
        for count in [3, 57, 58, 59, 60, 500, 5_000] {
            let items = move || (0..count).map(|n| json!({"n": n, "x": "x".repeat(n % 1_000)}));
            let all: Value = serde_json::from_str(&text(ok_all(items(), no_room())).await).unwrap();
            assert_eq!(all, json!({ "data": items().collect::<Vec<_>>() }));
        }
    }

    #[test]
    fn a_piece_that_needs_room_is_counted_until_the_list_was_taken() {
        let items = || (0..3).map(|_| "x".repeat(FREE));
        assert_eq!(ok_all(items(), no_room()).status(), 503);
        let budget = ByteBudget::new(4 * FREE);
        let room = || budget.room(ClientKey::Token("own".into()));
        let response = ok_all(items(), room());
        assert_eq!(response.status(), 200);
        assert!(budget.used() > 0);
        drop(response);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn no_piece_needs_more_than_is_free() {
        let items = (0..5_000).map(|n| "x".repeat(n % 1_900));
        let sizes: Vec<_> = ListPieces::new(items)
            .map(|piece| piece.unwrap().len())
            .collect();
        assert!(sizes.len() > 100);
        assert!(sizes.iter().all(|size| *size <= FREE), "{sizes:?}");
        let (_, all_but_the_last) = sizes.split_last().unwrap();
        assert!(all_but_the_last.iter().all(|size| *size >= FREE / 2));
    }
}
