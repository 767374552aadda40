//! `/events` and `/messages/{id}/events`: the log, as a stream or in pages.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::Api;
use super::error::ApiError;
use super::messages;
use super::messages::json;
use super::negotiate;
use super::query::Query;
use super::query::limit;
use super::sse;
use super::view;
use crate::events::EventId;
use crate::events::Gap;
use crate::events::Start;
use crate::message::EventKind;
use crate::store::EventFilter;

/// How many streams of the log may be open. Shared by all requests.
#[derive(Clone, Debug)]
pub(super) struct Streams(pub(super) Arc<Semaphore>);

/// What `GET /events` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct LogQuery {
    r#type: Option<String>,
    message_id: Option<String>,
    target: Option<String>,
    from: Option<String>,
    after: Option<String>,
    limit: Option<String>,
    last_event_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    data: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<Gap>,
}

/// `GET /events`: the log as a stream when the client asks for one, else a page of it.
pub(super) async fn log(
    State(api): State<Api>,
    axum::Extension(streams): axum::Extension<Streams>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let filter = filter(&api, &query)?;
    if !negotiate::wants_stream(&headers) {
        return page(&api, &query, filter).await;
    }
    let last = last_event_id(&headers)?.or(query.last_event_id);
    let start = match last.as_deref().or(query.after.as_deref()) {
        None => Start::Now,
        Some(text) => start(text)?,
    };
    let permit = streams
        .0
        .try_acquire_owned()
        .map_err(|_| ApiError::TooManyStreams)?;
    let (after, gap) = api.feed.position(start).await?;
    let subscription = api.feed.subscribe(after, filter);
    Ok(sse::of_log(&api, subscription, gap, permit))
}

async fn page(api: &Api, query: &LogQuery, filter: EventFilter) -> Result<Response, ApiError> {
    let from = query.after.as_deref().or(query.last_event_id.as_deref());
    let start = from.map_or(Ok(Start::Earliest), start)?;
    let limit = limit(query.limit.as_deref())?;
    let (after, gap) = api.feed.position(start).await?;
    let page = api.store.events(after, filter, limit).await?;
    let next = EventId {
        epoch: api.store.epoch(),
        seq: page.scanned_to,
    };
    let data = page.events.iter().filter_map(view::raw).collect();
    Ok(json(
        StatusCode::OK,
        &PageView {
            data,
            next_cursor: Some(next),
            gap,
        },
    ))
}

fn filter(api: &Api, query: &LogQuery) -> Result<EventFilter, ApiError> {
    let mut kinds = Vec::new();
    for word in query.r#type.iter().flat_map(|list| list.split(',')) {
        let words = "type: sending, deferred, succeeded or failed, several with commas";
        let kind = EventKind::from_word(word.trim());
        kinds.push(kind.ok_or_else(|| ApiError::Query(words.to_owned()))?);
    }
    let message_id = query.message_id.as_deref().map(|id| {
        id.parse()
            .map_err(|_| ApiError::Query("messageId: not an id of a message".to_owned()))
    });
    Ok(EventFilter {
        kinds,
        message_id: message_id.transpose()?,
        uri: query
            .target
            .as_deref()
            .map(|target| messages::uri(api, target))
            .transpose()?,
        account: query
            .from
            .as_deref()
            .map(|from| messages::account(api, from))
            .transpose()?,
    })
}

fn start(text: &str) -> Result<Start, ApiError> {
    if text == "earliest" {
        return Ok(Start::Earliest);
    }
    // An id that is none of ours at all is like one of another log: it is told by a gap.
    Ok(Start::After(
        text.parse().unwrap_or(EventId { epoch: 0, seq: 0 }),
    ))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| ApiError::Header("Last-Event-ID: not the id of an event".to_owned()))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// What `GET /messages/{id}/events` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct MessageLogQuery {
    last_event_id: Option<String>,
}

/// `GET /messages/{id}/events`: the events of one message, to its end when it is a stream.
pub(super) async fn of_message(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<MessageLogQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = messages::parse_id(&id)?;
    // Before the look, so that what happens meanwhile is not missed.
    let follower = api.feed.follow(id);
    let mut events = api.store.events_of(id).await?;
    if events.is_empty() {
        messages::find(&api, &id.to_string()).await?;
    }
    if !negotiate::wants_stream(&headers) {
        let data = events.iter().filter_map(view::raw).collect();
        return Ok(json(
            StatusCode::OK,
            &PageView {
                data,
                next_cursor: None,
                gap: None,
            },
        ));
    }
    let last = last_event_id(&headers)?.or(query.last_event_id);
    let seen = last
        .and_then(|text| text.parse::<EventId>().ok())
        .filter(|id| id.epoch == api.store.epoch())
        .map_or(0, |id| id.seq);
    // Who has seen the end is told to stop asking.
    if events
        .last()
        .is_some_and(|event| event.kind.is_terminal() && event.seq <= seen)
    {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    events.retain(|event| event.seq > seen);
    Ok(sse::of_message(&api, follower, events, false))
}
