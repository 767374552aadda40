//! `/webhooks/{id}/deliveries`: what goes and went to a webhook.

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;

use super::find;
use super::view::DeliveryView;
use crate::api::error::ApiError;
use crate::api::params::{Id, Nothing, Query};
use crate::api::{Api, json, params};
use crate::message::EventId;
use crate::store::{DeliveryFilter, DeliveryState};

/// What `GET /webhooks/{id}/deliveries` can be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    status: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// `GET /webhooks/{id}/deliveries`, the newest event first.
pub(in crate::api) async fn list(
    State(api): State<Api>,
    Id(id): Id,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let endpoint = find(&api, &id).await?;
    let state = query.status.as_deref().map(|word| {
        let words = "status: expected pending, delivered or failed";
        DeliveryState::from_word(word).ok_or_else(|| ApiError::Query(words.to_owned()))
    });
    let cursor = query.cursor.as_deref().map(|cursor| {
        let words = "cursor: expected the `nextCursor` of another page";
        seq_of(&api, cursor).ok_or_else(|| ApiError::Query(words.to_owned()))
    });
    let filter = DeliveryFilter {
        endpoint: endpoint.id,
        state: state.transpose()?,
    };
    let limit = params::limit(query.limit.as_deref())?;
    let page = api
        .webhooks
        .deliveries(filter, cursor.transpose()?, limit)
        .await?;
    let show = |delivery| DeliveryView::of(&api, delivery);
    Ok(json::ok(&json::List {
        data: page.deliveries.iter().map(show).collect(),
        next_cursor: page.next.map(|seq| api.webhooks.event_id(seq)),
    }))
}

/// `POST /webhooks/{id}/deliveries/{deliveryId}/retry`: 202, it is sent again, with all its
/// attempts.
pub(in crate::api) async fn retry(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    _: Query<Nothing>,
) -> Result<Response, ApiError> {
    const NO_DELIVERY: ApiError = ApiError::NotFound("no delivery of this webhook has this id");
    let Path((id, delivery)) = path.map_err(|_| NO_DELIVERY)?;
    let endpoint = find(&api, &id).await?;
    let seq = seq_of(&api, &delivery).ok_or(NO_DELIVERY)?;
    let again = api.webhooks.redeliver(endpoint.id, seq).await?;
    let again = again.ok_or(NO_DELIVERY)?;
    Ok(json::accepted(&DeliveryView::of(&api, &again)))
}

/// The number of the event of this name, when it is of this log.
fn seq_of(api: &Api, text: &str) -> Option<u64> {
    let id: EventId = text.parse().ok()?;
    (id.epoch == api.store.epoch()).then_some(id.seq)
}
