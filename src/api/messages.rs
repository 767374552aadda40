//! `/messages`: look at them, cancel one. [`super::post`] takes them in.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::access::Caller;
use super::error::ApiError;
use super::params::{Id, Nothing, Query};
use super::view::MessageView;
use super::waiting::Waiting;
use super::{Api, answer, json, params};
use crate::dispatch::CancelError;
use crate::message::{Cause, MessageId, Status};
use crate::store::{Logged, MessageFilter, Stored};

/// `GET /messages/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let stored = find(&api, &caller, id).await?;
    let waiting = Waiting::of(&api, &stored).await?;
    let now = api.clock.now();
    let json = MessageView::explained_json(&stored, now, waiting.as_ref());
    Ok(json::ok_written(json))
}

/// `DELETE /messages/{id}`: cancels one that is not being sent yet.
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    let size = match find(&api, &caller, id).await {
        Ok(stored) => stored.message.weight(),
        // Whether it is there is for the dispatcher to say.
        Err(ApiError::NotFound(_)) if caller.accounts().is_none() => 0,
        Err(error) => return Err(error),
    };
    let room = api.answer_room(&caller, size)?;
    match api.dispatch.cancel(id).await {
        Err(CancelError::TooLate) => {
            let stored = find(&api, &caller, id).await?;
            return Err(ApiError::TooLate(why_too_late(&stored)));
        }
        done => done?,
    }
    let stored = find(&api, &caller, id).await?;
    let json = MessageView::stored_json(&stored, api.clock.now());
    Ok(answer::prepared(json::ok_written(json), room))
}

/// Why a message that the dispatcher did not cancel cannot be canceled.
fn why_too_late(stored: &Stored) -> String {
    let attempt = stored.attempt;
    match stored.status {
        Status::Sending => format!("the message is being sent: attempt {attempt} is under way"),
        Status::Succeeded => format!("the message was sent: it succeeded with attempt {attempt}"),
        Status::Failed => match stored.result.as_ref().and_then(cause_of).as_deref() {
            Some(cause) if cause == Cause::Canceled.as_str() => {
                "the message was canceled already".to_owned()
            }
            Some(cause) => format!("the message has ended: it failed, {cause}"),
            None => "the message has ended: it failed".to_owned(),
        },
        // Its `sending` is not durable yet, or another replica has it.
        Status::Scheduled | Status::Queued => {
            "the message is about to be sent, or another replica has it: see `waitingFor`"
                .to_owned()
        }
    }
}

/// The cause that an event has in its JSON.
fn cause_of(event: &Logged) -> Option<String> {
    #[derive(Deserialize)]
    struct Ended {
        cause: String,
    }
    let ended = serde_json::from_slice::<Ended>(&event.json).ok();
    ended.map(|ended| ended.cause)
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

/// `GET /messages`, newest first.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let status = query.status.as_deref().map(|word| {
        let words = "status: expected scheduled, queued, sending, succeeded or failed";
        Status::from_word(word).ok_or_else(|| ApiError::Query(words.to_owned()))
    });
    let filter = MessageFilter {
        status: status.transpose()?,
        uri: params::uri(&api, query.target.as_deref())?,
        accounts: params::accounts(&api, &caller, "from", query.from.as_deref())?,
    };
    let cursor = params::cursor(query.cursor.as_deref())?;
    let limit = params::limit(query.limit.as_deref())?;
    let page = api.store.messages(filter, cursor, limit).await?;
    let waiting = Waiting::of_all(&api, &page.messages).await?;
    let now = api.clock.now();
    let rows = page.messages.iter();
    let data = rows.map(|stored| {
        let waiting = waiting.get(&stored.message.id);
        MessageView::explained(stored, now, waiting)
    });
    Ok(json::ok(&json::List {
        data: data.collect(),
        next_cursor: page.next,
    }))
}

pub(super) const NO_MESSAGE: ApiError = ApiError::NotFound("no message has this id");

pub(super) fn parse_id(id: &str) -> Result<MessageId, ApiError> {
    id.parse().map_err(|_| NO_MESSAGE)
}

/// The message, if it is there and for this caller to see.
pub(super) async fn find(api: &Api, caller: &Caller, id: MessageId) -> Result<Stored, ApiError> {
    let stored = api.store.message(id).await?;
    stored
        .filter(|stored| caller.sees(stored.account.as_deref()))
        .ok_or(NO_MESSAGE)
}
