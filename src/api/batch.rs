//! `POST /messages/batch`: up to a thousand messages, all or none.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Api;
use super::access::Caller;
use super::error::ApiError;
use super::extract;
use super::json;
use super::members::MAX_MISTAKES;
use super::negotiate;
use super::new_message;
use super::params::Nothing;
use super::params::Query;
use super::post;
use super::trace::TraceOf;
use super::view::MessageView;
use crate::dispatch::Admission;
use crate::message::Message;
use crate::message::Trace;
use crate::message::Violation;

/// Messages in one batch at most.
const MAX_BATCH: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct BatchView<'a> {
    data: Vec<MessageView<'a>>,
}

/// Takes in every message of the batch, or none when one is not accepted.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    TraceOf(trace): TraceOf,
    _: Query<Nothing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let settings = &api.settings;
    let key = negotiate::idempotency_key(&headers)?;
    let (limit, time) = (settings.max_batch_request, settings.request_timeout);
    let bytes = extract::body(&headers, body, limit, time).await?;
    let messages = messages(&api, &caller, &bytes, trace)?;
    let key = key.map(|key| post::key(&caller, key, &bytes));
    caller.charge(messages.len().saturating_sub(1));
    match api.dispatch.accept(messages, key).await? {
        Admission::Accepted(accepted) => Ok(answer(&accepted)),
        Admission::Replayed(ids) => {
            let mut response = answer(&api.store.load(ids).await?);
            post::mark_replayed(&mut response);
            Ok(response)
        }
    }
}

/// Reads every message, or lists what is wrong with any.
fn messages(
    api: &Api,
    caller: &Caller,
    bytes: &[u8],
    trace: Option<Trace>,
) -> Result<Vec<Message>, ApiError> {
    let batch: Batch<'_> = extract::json(bytes, "")?;
    let count = batch.messages.len();
    if !(1..=MAX_BATCH).contains(&count) {
        let words = format!("1 to {MAX_BATCH} messages, not {count}");
        return Err(ApiError::invalid("/messages", words));
    }
    let now = api.clock.now();
    let mut messages = Vec::with_capacity(count);
    let mut violations: Vec<Violation> = Vec::new();
    for (index, raw) in batch.messages.iter().enumerate() {
        let at = format!("/messages/{index}");
        let draft = new_message::read(raw.get().as_bytes(), &at)
            .and_then(|reading| post::draft(api, caller, reading, &at));
        match draft {
            Ok(draft) => messages.push(draft.accept(api.new_id(now), now, trace)),
            Err(ApiError::Invalid(found)) => violations.extend(found),
            Err(other) => return Err(other),
        }
        if violations.len() >= MAX_MISTAKES {
            break;
        }
    }
    match violations.is_empty() {
        true => Ok(messages),
        false => Err(ApiError::Invalid(violations)),
    }
}

/// The messages as they were accepted, in their order.
fn answer(messages: &[Arc<Message>]) -> Response {
    json::accepted(&BatchView {
        data: messages
            .iter()
            .map(|message| MessageView::accepted(message))
            .collect(),
    })
}
