//! Answers in JSON, written once.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

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
    let bytes = match written {
        Ok(mut bytes) => {
            // A prompt after the answer begins on a line of its own.
            bytes.push(b'\n');
            // While it was written it grew to up to twice its size.
            bytes.shrink_to_fit();
            bytes
        }
        Err(error) => return ApiError::Internal(error.to_string()).into_response(),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
