//! `/messages`: send one, look at them, cancel one.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use uuid::Uuid;

use super::Api;
use super::error::ApiError;
use super::extract;
use super::middleware::Caller;
use super::negotiate;
use super::new_message::NewMessageJson;
use super::query::Query;
use super::query::limit;
use super::sse;
use super::view::MessageView;
use crate::dispatch::Admission;
use crate::events::Follower;
use crate::message::Draft;
use crate::message::Message;
use crate::message::MessageId;
use crate::message::NewMessage;
use crate::message::Status;
use crate::message::Violation;
use crate::store::IdempotencyKey;
use crate::store::MessageFilter;
use crate::store::Stored;

/// `POST /messages`: makes a message durable and sets it on its way.
///
/// Answers when it is durable (202), with its event stream (200, `Accept: text/event-stream`), or
/// when it has ended (200, `Prefer: wait=N`).
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    extract::check_json_type(&headers)?;
    let key = negotiate::idempotency_key(&headers)?;
    let bytes = extract::body(&headers, body, api.settings.max_request).await?;
    let json: NewMessageJson = extract::json(&bytes, "")?;
    let draft = draft(&api, json.into(), "")?;
    let now = api.clock.now();
    let message = draft.accept(MessageId::new(Uuid::now_v7()), now);
    let key = key.map(|key| self::key(&caller, key, &bytes));

    // Before it is handed over, so that none of its events is missed.
    let wait = negotiate::wait(&headers);
    let stream = negotiate::wants_stream(&headers);
    let follower = (stream || wait.is_some()).then(|| api.feed.follow(message.id));
    let (message, replayed) = match api.dispatch.accept(vec![message], key).await? {
        Admission::Accepted(mut messages) => (messages.pop(), false),
        Admission::Replayed(ids) => {
            return replay(&api, ids.first().copied(), stream, wait).await;
        }
    };
    let message = message.ok_or_else(|| ApiError::Internal("nothing was accepted".to_owned()))?;
    match (follower, wait) {
        (Some(follower), _) if stream => Ok(sse::of_message(&api, follower, Vec::new(), replayed)),
        (Some(follower), Some(wait)) => wait_for_end(&api, &message, follower, wait).await,
        _ => Ok(accepted(&message, false)),
    }
}

/// Checks a message; `at` is its pointer within the request.
pub(super) fn draft(api: &Api, new: NewMessage, at: &str) -> Result<Draft, ApiError> {
    let now = api.clock.now();
    let draft = Draft::parse(new, &*api.addressing, &api.limits, now).map_err(|violations| {
        let placed = |Violation { pointer, detail }| Violation {
            pointer: format!("{at}{pointer}"),
            detail,
        };
        ApiError::Invalid(violations.into_iter().map(placed).collect())
    })?;
    let max = api.limits.max_body;
    if draft.body_len() > max {
        return Err(ApiError::TooLarge(format!(
            "{at}/body: at most {max} bytes, decoded"
        )));
    }
    Ok(draft)
}

pub(super) fn key(caller: &Caller, key: &str, body: &[u8]) -> IdempotencyKey {
    IdempotencyKey {
        owner: caller.name(),
        key: key.into(),
        fingerprint: sha2::Sha256::digest(body).into(),
    }
}

/// 202 and the message as it was accepted.
fn accepted(message: &Message, replayed: bool) -> Response {
    let location = format!("/messages/{}", message.id);
    let mut response = json(StatusCode::ACCEPTED, &MessageView::accepted(message));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    mark_replayed(&mut response, replayed);
    response
}

pub(super) fn mark_replayed(response: &mut Response, replayed: bool) {
    if replayed {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert("idempotent-replayed", yes);
    }
}

/// The first answer again.
async fn replay(
    api: &Api,
    id: Option<MessageId>,
    stream: bool,
    wait: Option<Duration>,
) -> Result<Response, ApiError> {
    let gone = ApiError::NotFound("the message of this Idempotency-Key is not kept any more");
    let id = id.ok_or_else(|| gone.clone())?;
    let follower = api.feed.follow(id);
    let stored = api.store.message(id).await?.ok_or(gone)?;
    let mut response = if stream {
        let before = api.store.events_of(id).await?;
        sse::of_message(api, follower, before, true)
    } else {
        match wait {
            Some(_) if stored.status.is_final() => finished(api, &stored),
            Some(wait) => wait_for_end(api, &stored.message, follower, wait).await?,
            None => accepted(&stored.message, true),
        }
    };
    mark_replayed(&mut response, true);
    Ok(response)
}

async fn wait_for_end(
    api: &Api,
    message: &Arc<Message>,
    mut follower: Follower,
    wait: Duration,
) -> Result<Response, ApiError> {
    let ended = tokio::select! {
        ended = tokio::time::timeout(wait, follower.terminal()) => ended.ok().flatten(),
        // A stop is no reason to keep a client waiting.
        () = api.closing.cancelled() => None,
    };
    let mut response = match ended {
        None => accepted(message, false),
        Some(event) => {
            let (attempt, completed_at) = event.facts();
            let status = match event.kind {
                crate::message::EventKind::Succeeded => Status::Succeeded,
                _ => Status::Failed,
            };
            finished(
                api,
                &Stored {
                    message: message.clone(),
                    status,
                    attempt,
                    completed_at,
                    not_before: None,
                    result: Some(event),
                },
            )
        }
    };
    let applied = HeaderValue::from_str(&format!("wait={}", wait.as_secs()));
    if let Ok(applied) = applied {
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

fn finished(api: &Api, stored: &Stored) -> Response {
    let location = format!("/messages/{}", stored.message.id);
    let mut response = json(
        StatusCode::OK,
        &MessageView::stored(stored, api.clock.now()),
    );
    if let Ok(location) = HeaderValue::from_str(&location) {
        response
            .headers_mut()
            .insert(header::CONTENT_LOCATION, location);
    }
    response
}

/// `GET /messages/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let stored = find(&api, &id).await?;
    Ok(json(
        StatusCode::OK,
        &MessageView::stored(&stored, api.clock.now()),
    ))
}

/// `DELETE /messages/{id}`: cancels one that is not being sent yet.
pub(super) async fn cancel(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    api.dispatch.cancel(id).await?;
    let stored = api.store.message(id).await?.ok_or(NO_MESSAGE)?;
    Ok(json(
        StatusCode::OK,
        &MessageView::stored(&stored, api.clock.now()),
    ))
}

/// What `GET /messages` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    status: Option<String>,
    target: Option<String>,
    from: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListView<'a> {
    data: Vec<MessageView<'a>>,
    next_cursor: Option<MessageId>,
}

/// `GET /messages`, newest first.
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let status = query.status.as_deref().map(|word| {
        let words = "status: scheduled, queued, sending, succeeded or failed";
        Status::from_word(word).ok_or_else(|| ApiError::Query(words.to_owned()))
    });
    let filter = MessageFilter {
        status: status.transpose()?,
        uri: query
            .target
            .as_deref()
            .map(|target| uri(&api, target))
            .transpose()?,
        account: query
            .from
            .as_deref()
            .map(|from| account(&api, from))
            .transpose()?,
    };
    let cursor = query.cursor.as_deref().map(|cursor| {
        let parsed = cursor.parse::<MessageId>();
        parsed.map_err(|_| ApiError::Query("cursor: not one of ours".to_owned()))
    });
    let page = api
        .store
        .messages(filter, cursor.transpose()?, limit(query.limit.as_deref())?)
        .await?;
    let now = api.clock.now();
    let view = ListView {
        data: page
            .messages
            .iter()
            .map(|stored| MessageView::stored(stored, now))
            .collect(),
        next_cursor: page.next,
    };
    Ok(json(StatusCode::OK, &view))
}

/// The normalized form of a target in a query.
pub(super) fn uri(api: &Api, target: &str) -> Result<Arc<str>, ApiError> {
    let recipient = api.addressing.resolve(target, None);
    recipient
        .map(|recipient| recipient.uri)
        .map_err(|error| ApiError::Query(format!("target: {error}")))
}

/// The account of a sender in a query.
pub(super) fn account(api: &Api, from: &str) -> Result<Arc<str>, ApiError> {
    let unknown = || ApiError::Query("from: not the address of a configured account".to_owned());
    api.addressing.account(from).ok_or_else(unknown)
}

pub(super) const NO_MESSAGE: ApiError = ApiError::NotFound("no message has this id");

pub(super) fn parse_id(id: &str) -> Result<MessageId, ApiError> {
    id.parse().map_err(|_| NO_MESSAGE)
}

pub(super) async fn find(api: &Api, id: &str) -> Result<Stored, ApiError> {
    api.store.message(parse_id(id)?).await?.ok_or(NO_MESSAGE)
}

/// An answer in JSON, written once.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(error) => {
            axum::response::IntoResponse::into_response(ApiError::Internal(error.to_string()))
        }
    }
}
