//! Query strings, read; a mistake in one is told like any other.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// A query string that says only what its reader knows.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection| ApiError::Query(rejection.body_text()))
    }
}

/// How many a page has when the client does not say, and at most.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// `limit=`.
pub(super) fn limit(given: Option<&str>) -> Result<usize, ApiError> {
    let Some(given) = given else {
        return Ok(DEFAULT_LIMIT);
    };
    match given.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(ApiError::Query(format!("limit: 1 to {MAX_LIMIT}"))),
    }
}
