//! `POST /messages/batch`: up to a thousand messages, all or none.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Api;
use super::error::ApiError;
use super::extract;
use super::messages;
use super::middleware::Caller;
use super::negotiate;
use super::new_message::NewMessageJson;
use super::view::MessageView;
use crate::dispatch::Admission;
use crate::message::MessageId;

/// Messages in one batch at most.
const MAX_BATCH: usize = 1_000;
/// Violations told of one batch at most.
const MAX_VIOLATIONS: usize = 100;

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
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    extract::check_json_type(&headers)?;
    let key = negotiate::idempotency_key(&headers)?;
    let bytes = extract::body(&headers, body, api.settings.max_batch_request).await?;
    let batch: Batch<'_> = extract::json(&bytes, "")?;
    if batch.messages.is_empty() || batch.messages.len() > MAX_BATCH {
        return Err(ApiError::invalid(
            "/messages",
            format!("1 to {MAX_BATCH} messages"),
        ));
    }
    let key = key.map(|key| messages::key(&caller, key, &bytes));
    let now = api.clock.now();
    let (mut accepted, mut violations) = (Vec::with_capacity(batch.messages.len()), Vec::new());
    for (index, raw) in batch.messages.iter().enumerate() {
        let at = format!("/messages/{index}");
        let draft = extract::json::<NewMessageJson>(raw.get().as_bytes(), &at)
            .and_then(|new| messages::draft(&api, new.into(), &at));
        match draft {
            Ok(draft) => accepted.push(draft.accept(MessageId::new(Uuid::now_v7()), now)),
            Err(ApiError::Invalid(found)) => violations.extend(found),
            Err(other) => return Err(other),
        }
    }
    if !violations.is_empty() {
        violations.truncate(MAX_VIOLATIONS);
        return Err(ApiError::Invalid(violations));
    }
    match api.dispatch.accept(accepted, key).await? {
        Admission::Accepted(accepted) => {
            let data = accepted
                .iter()
                .map(|message| MessageView::accepted(message))
                .collect();
            Ok(messages::json(StatusCode::ACCEPTED, &BatchView { data }))
        }
        Admission::Replayed(ids) => {
            let loaded = api.store.load(ids).await?;
            let data = loaded
                .iter()
                .map(|message| MessageView::accepted(message))
                .collect();
            let mut response = messages::json(StatusCode::ACCEPTED, &BatchView { data });
            messages::mark_replayed(&mut response, true);
            Ok(response)
        }
    }
}
