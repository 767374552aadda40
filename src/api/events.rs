//! `/events` and `/messages/{id}/events`: the log, as a stream or in pages.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::access::Caller;
use super::error::ApiError;
use super::negotiate::Form;
use super::params::{Id, Query};
use super::until::{StreamEnd, Until};
use super::{Api, json, messages, negotiate, params, sse, view};
use crate::events::{CHUNK, FeedPage, FeedStart, Gap};
use crate::message::{EventId, EventKind, EventKinds};
use crate::store::EventFilter;

/// What `GET /events` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct LogQuery {
    r#type: Option<String>,
    message_id: Option<String>,
    target: Option<String>,
    from: Option<String>,
    after: Option<String>,
    before: Option<String>,
    limit: Option<String>,
    last_event_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    data: Vec<&'a RawValue>,
    next_cursor: EventId,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<&'a Gap>,
}

impl<'a> PageView<'a> {
    fn of(page: &'a FeedPage) -> Self {
        Self {
            data: page.events.iter().filter_map(view::raw).collect(),
            next_cursor: page.next,
            gap: page.gap.as_ref(),
        }
    }
}

/// `GET /events`: the log as a stream when the client asks for one, else a page of it.
pub(super) async fn log(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let form = negotiate::form(&headers)?;
    let filter = filter(&api, &caller, &query)?;
    let limit = params::limit(query.limit.as_deref())?;
    let after = params::after(query.after.as_deref())?;
    // The header is newer than the address that the client was given once.
    let seen = negotiate::last_event_id(&headers).or(query.last_event_id);
    let start = seen.map(|seen| FeedStart::resume(&seen)).or(after);
    if let Some(before) = query.before {
        if form == Form::Stream || start.is_some() {
            let words = "before: cannot be combined with a stream, after or lastEventId";
            return Err(ApiError::Query(words.to_owned()));
        }
        return page_before(&api, &before, filter, limit).await;
    }
    match form {
        Form::Stream => {
            let permit = api.stream_permit(&caller)?;
            let start = start.unwrap_or(FeedStart::Now);
            let subscription = api.feed.subscribe(start, filter).await?;
            Ok(sse::of_log(&api, subscription, permit))
        }
        Form::Json => {
            let start = start.unwrap_or(FeedStart::Earliest);
            let page = api.feed.page(start, filter, limit).await?;
            Ok(json::ok(&PageView::of(&page)))
        }
    }
}

/// The page that leads back from an event, or from the end of the log.
async fn page_before(
    api: &Api,
    before: &str,
    filter: EventFilter,
    limit: usize,
) -> Result<Response, ApiError> {
    let before = match before {
        "latest" => None,
        id => Some(params::before(id)?),
    };
    let page = api.feed.page_before(before, filter, limit).await?;
    Ok(json::ok(&PageView::of(&page)))
}

fn filter(api: &Api, caller: &Caller, query: &LogQuery) -> Result<EventFilter, ApiError> {
    let message_id = query.message_id.as_deref().map(|id| {
        let words = "messageId: not the id of a message";
        id.parse().map_err(|_| ApiError::Query(words.to_owned()))
    });
    Ok(EventFilter {
        kinds: kinds(query.r#type.as_deref())?,
        message_id: message_id.transpose()?,
        uri: params::uri(api, query.target.as_deref())?,
        accounts: params::accounts(api, caller, "from", query.from.as_deref())?,
        has_webhook: false,
    })
}

/// `type=`. A list has as many words as there are types, or is a mistake. Events of agents are for
/// those who name them.
fn kinds(list: Option<&str>) -> Result<EventKinds, ApiError> {
    let Some(list) = list else {
        return Ok(EventKinds::of_messages());
    };
    let words = list.split(',');
    let mut count = 0;
    let kinds = words.map(|word| {
        count += 1;
        EventKind::from_word(word.trim()).filter(|_| count <= EventKind::ALL.len())
    });
    let kinds: Option<EventKinds> = kinds.collect();
    let words = EventKind::WORDS;
    kinds.ok_or_else(|| ApiError::Query(format!("type: expected {words}; several with commas")))
}

/// What `GET /messages/{id}/events` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct MessageLogQuery {
    until: Option<String>,
    after: Option<String>,
    limit: Option<String>,
    last_event_id: Option<String>,
}

/// `GET /messages/{id}/events`: the events of one message; a stream goes to its end, or to what
/// `until` asks for.
pub(super) async fn of_message(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    Query(query): Query<MessageLogQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let form = negotiate::form(&headers)?;
    let until = Until::read(query.until.as_deref(), form)?;
    let id = messages::parse_id(&id)?;
    let size = match form {
        Form::Json => params::limit_or(query.limit.as_deref(), params::MAX_LIMIT)?.into(),
        Form::Stream => CHUNK,
    };
    let after = params::after(query.after.as_deref())?;
    let epoch = api.feed.epoch();
    let seen = negotiate::last_event_id(&headers).or(query.last_event_id);
    let seen = seen.map(|seen| FeedStart::resume(&seen)).or(after);
    let seen = seen.map_or(0, |start| start.in_epoch(epoch));
    // Before the look, so that what happens meanwhile is not missed.
    let follower = api.feed.follow(id);
    let page = api.store.events_of(id, seen, size).await?;
    let (mut end, mut has_seen_the_end) = (StreamEnd::default(), false);
    let first = page.events.first().map(|event| event.kind);
    // What began at its first event and was not received has not been to its end.
    let is_plain = first.is_some_and(|kind| kind != EventKind::Received) && seen == 0;
    if !is_plain || caller.accounts().is_some() || until != Until::End {
        let stored = messages::find(&api, &caller, id).await?;
        end = StreamEnd::after(&api, &stored, until, seen);
        has_seen_the_end = match until {
            Until::End => end.has_ended,
            Until::Delivered | Until::Displayed => {
                let is_past = page.events.is_empty() && end.is_past();
                is_past || until.is_reached_at(&api, id, seen).await?
            }
        };
    }
    match form {
        Form::Json => Ok(json::ok(&json::List {
            data: page.events.iter().filter_map(view::raw).collect(),
            next_cursor: page.is_cut.then_some(EventId {
                epoch,
                seq: page.scanned_to,
            }),
        })),
        // A reader that has seen the end stops reconnecting at 204.
        Form::Stream if has_seen_the_end => Ok(StatusCode::NO_CONTENT.into_response()),
        Form::Stream => {
            let permit = api.stream_permit(&caller)?;
            Ok(sse::of_message(&api, follower, page, end, permit))
        }
    }
}
