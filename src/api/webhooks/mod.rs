//! `/webhooks`: where events are posted by us, and what became of that.

pub(super) mod deliveries;
mod validate;
mod view;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::access::Caller;
use super::error::ApiError;
use super::params::{Id, Nothing, Query};
use super::{Api, extract, json, params};
use crate::message::EndpointId;
use crate::store::Endpoint;
use crate::webhook::CreateError;
use view::{AttemptView, EndpointView};

const NO_WEBHOOK: ApiError = ApiError::NotFound("no webhook has this id");

/// What `GET /webhooks` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<String>,
    cursor: Option<String>,
}

/// `POST /webhooks`: 201, with the secret, which is not shown again.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    _: Query<Nothing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = read(&api, &caller, &headers, body).await?;
    let new = validate::new_endpoint(&api, &bytes)?;
    let created = api.webhooks.create(new).await;
    let (endpoint, secret) = created.map_err(|error| match error {
        CreateError::TooMany => ApiError::TooManyWebhooks(error.to_string()),
        CreateError::Store(error) => ApiError::Store(error),
    })?;
    let view = EndpointView::with_secret(&endpoint, secret.expose());
    let mut response = json::created(&view);
    // An id has only characters that a header may have.
    if let Ok(location) = HeaderValue::try_from(format!("/webhooks/{}", endpoint.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /webhooks`, oldest first.
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let cursor = params::cursor(query.cursor.as_deref())?;
    let limit = params::limit(query.limit.as_deref())?;
    let page = api.webhooks.list(cursor, limit).await?;
    Ok(json::ok(&json::List {
        data: page.endpoints.iter().map(EndpointView::of).collect(),
        next_cursor: page.next,
    }))
}

/// `GET /webhooks/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    let endpoint = find(&api, &id).await?;
    Ok(json::ok(&EndpointView::of(&endpoint)))
}

/// `PATCH /webhooks/{id}`: changes the members that are given (RFC 7396).
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let endpoint = find(&api, &id).await?;
    let bytes = read(&api, &caller, &headers, body).await?;
    let change = validate::change(&api, &bytes)?;
    let changed = api.webhooks.change(endpoint.id, change).await?;
    let changed = changed.ok_or(NO_WEBHOOK)?;
    Ok(json::ok(&EndpointView::of(&changed)))
}

/// `DELETE /webhooks/{id}`: what was to be posted to it goes with it.
pub(super) async fn delete(
    State(api): State<Api>,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    let endpoint = find(&api, &id).await?;
    if api.webhooks.delete(endpoint.id).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(NO_WEBHOOK)
    }
}

/// `POST /webhooks/{id}/rotate-secret`: a new secret, which is not shown again.
pub(super) async fn rotate(
    State(api): State<Api>,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    let endpoint = find(&api, &id).await?;
    let rotated = api.webhooks.rotate(endpoint.id).await?;
    let (endpoint, secret) = rotated.ok_or(NO_WEBHOOK)?;
    let view = EndpointView::with_secret(&endpoint, secret.expose());
    Ok(json::ok(&view))
}

#[derive(Serialize)]
struct TestView<'a> {
    event: &'a serde_json::value::RawValue,
    #[serde(flatten)]
    attempt: AttemptView<'a>,
}

/// `POST /webhooks/{id}/test`: posts an event now, and tells what came back.
pub(super) async fn test(
    State(api): State<Api>,
    Id(id): Id,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    let endpoint = find(&api, &id).await?;
    let tested = api.webhooks.test(endpoint.id).await.ok_or(NO_WEBHOOK)?;
    let event = serde_json::from_slice(&tested.event);
    Ok(json::ok(&TestView {
        event: event.map_err(|error| ApiError::Internal(error.to_string()))?,
        attempt: AttemptView::of(&tested.attempt),
    }))
}

/// `POST /webhooks/{id}/recover`: 202, what failed or was missed in that time is sent again.
pub(super) async fn recover(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: Query<Nothing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let endpoint = find(&api, &id).await?;
    let bytes = read(&api, &caller, &headers, body).await?;
    let (since, until) = validate::recovery(&bytes, api.clock.now())?;
    let recovering = api.webhooks.recover(endpoint.id, since, until).await?;
    let recovering = recovering.ok_or(NO_WEBHOOK)?;
    Ok(json::accepted(&EndpointView::of(&recovering)))
}

async fn read(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<extract::RequestBody, ApiError> {
    extract::body(api, caller, headers, body, extract::Limit::of_request(api)).await
}

/// The webhook of this id. Webhooks concern the whole gateway: a caller that may see one may see
/// all, and the guard lets no token with accounts of its own come here.
async fn find(api: &Api, id: &str) -> Result<Endpoint, ApiError> {
    let id: EndpointId = id.parse().map_err(|_| NO_WEBHOOK)?;
    api.webhooks.find(id).await?.ok_or(NO_WEBHOOK)
}
