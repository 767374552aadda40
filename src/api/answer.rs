//! Answers on their way: what they hold in memory until their client has taken them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};

use super::Api;
use super::access::Caller;
use super::bytes::ByteRoom;
use super::error::ApiError;

/// Room for an answer to a request that changes something, made before it does.
#[derive(Clone)]
struct Prepared(Arc<ByteRoom>);

impl Api {
    /// Room for an answer of about so many bytes to a request that is about to change something:
    /// afterwards it is too late to refuse it.
    pub(super) fn answer_room(&self, caller: &Caller, size: usize) -> Result<ByteRoom, ApiError> {
        let mut room = self.empty_answer_room(caller);
        if room.grow(size) {
            Ok(room)
        } else {
            Err(ApiError::TooManyAnswers)
        }
    }

    /// Room for an answer that has no bytes yet.
    pub(super) fn empty_answer_room(&self, caller: &Caller) -> ByteRoom {
        self.0.answers.room(caller.key().clone())
    }
}

/// Gives an answer the room that was made for it.
pub(super) fn prepared(mut response: Response, room: ByteRoom) -> Response {
    if !room.is_free() {
        response.extensions_mut().insert(Prepared(Arc::new(room)));
    }
    response
}

/// Counts an answer until it was taken. When there is no room for it, a client that only looks is
/// refused, and an answer about a change is always given.
pub(super) fn counted(
    api: &Api,
    caller: &Caller,
    only_looks: bool,
    mut response: Response,
) -> Response {
    let prepared = response.extensions_mut().remove::<Prepared>();
    // A stream has no size. It counts what it holds itself, where that is more than is free.
    let size = response.body().size_hint().exact();
    let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
        return response;
    };
    let room = prepared.and_then(|Prepared(room)| Arc::into_inner(room));
    let mut room = room.unwrap_or_else(|| api.empty_answer_room(caller));
    if only_looks && !room.grow(size) {
        return ApiError::TooManyAnswers.into_response();
    }
    room.set(size);
    if room.is_free() {
        return response;
    }
    response.map(|body| Body::new(CountedBody { body, _room: room }))
}

/// The body of an answer, with its room.
struct CountedBody {
    body: Body,
    _room: ByteRoom,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
