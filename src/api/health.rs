//! `/livez` and `/readyz`, for whoever decides whether to send work here.

use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::response::Response;

use super::Api;
use super::error::ApiError;

/// `GET /livez`: the process answers.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: messages can be taken in. A SIP server that is away is no reason to say no:
/// messages wait for it.
pub(super) async fn ready(State(api): State<Api>) -> Result<Response, ApiError> {
    if api.draining.is_cancelled() {
        return Err(ApiError::Stopping);
    }
    api.store.check().await?;
    Ok("ok\n".into_response())
}
