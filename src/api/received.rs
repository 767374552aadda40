//! `/received`: look at what came in, erase it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::access::Caller;
use super::error::ApiError;
use super::params::{Id, Nothing, Query};
use super::{Api, json, params, view};
use crate::store::{Logged, ReceivedFilter};

/// What `GET /received` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    account: Option<String>,
    from: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// `GET /received`, newest first.
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let filter = ReceivedFilter {
        accounts: params::accounts(&api, &caller, "account", query.account.as_deref())?,
        sender: query.from.map(|from| sender(&api, from)).transpose()?,
    };
    let cursor = params::cursor(query.cursor.as_deref())?;
    let limit = params::limit(query.limit.as_deref())?;
    let page = api.store.received(filter, cursor, limit).await?;
    Ok(json::ok(&json::List {
        data: page.messages.iter().filter_map(view::raw).collect(),
        next_cursor: page.next,
    }))
}

/// A sender as events have it. It need not be one that a message can be sent to.
fn sender(api: &Api, from: String) -> Result<std::sync::Arc<str>, ApiError> {
    if from.is_empty() {
        return Err(ApiError::Query(
            "from: expected the URI of a sender".to_owned(),
        ));
    }
    let resolved = api.accounts.resolve(&from, None);
    Ok(resolved.map_or_else(|_| from.into(), |recipient| recipient.uri))
}

/// `GET /received/{id}`: the same object as its event, whose JSON is written already.
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    let event = find(&api, &caller, &id).await?;
    Ok(json::ok_written(Ok(event.json.to_vec())))
}

/// `DELETE /received/{id}`: erases what it says.
pub(super) async fn erase(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    let event = find(&api, &caller, &id).await?;
    if api.store.erase(event.message_id).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        // Another request was faster.
        Err(NOT_RECEIVED)
    }
}

const NOT_RECEIVED: ApiError = ApiError::NotFound("no received message has this id");

/// The event of a received message, if it is there and for this caller to see.
pub(super) async fn find(api: &Api, caller: &Caller, id: &str) -> Result<Logged, ApiError> {
    let id = id.parse().map_err(|_| NOT_RECEIVED)?;
    let event = api.store.received_message(id).await?;
    event
        .filter(|event| caller.sees(event.account.as_deref()))
        .ok_or(NOT_RECEIVED)
}
