//! The contract, as a file and as JSON, and what its problem types mean.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

use super::error::ApiError;
use super::error::SLUGS;
use super::messages::json;

const YAML: &str = include_str!("../../openapi.yaml");

/// `GET /openapi.yaml`.
pub(super) async fn yaml() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml")], YAML)
}

/// `GET /openapi.json`: the same document.
pub(super) async fn as_json() -> Result<Response, ApiError> {
    static JSON: LazyLock<Result<String, String>> = LazyLock::new(|| {
        let value: serde_json::Value =
            serde_yaml_ng::from_str(YAML).map_err(|error| error.to_string())?;
        serde_json::to_string(&value).map_err(|error| error.to_string())
    });
    match &*JSON {
        Ok(text) => {
            Ok(([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response())
        }
        Err(error) => Err(ApiError::Internal(error.clone())),
    }
}

#[derive(Serialize)]
struct ProblemType {
    r#type: String,
    status: u16,
    title: &'static str,
}

/// `GET /problems/{slug}`: what the `type` of a problem links to.
pub(super) async fn problem(Path(slug): Path<String>) -> Result<Response, ApiError> {
    let known = SLUGS.iter().find(|(known, ..)| *known == slug);
    let (slug, status, title) = known.ok_or(ApiError::NotFound("no problem has this name"))?;
    let problem = ProblemType {
        r#type: format!("/problems/{slug}"),
        status: *status,
        title,
    };
    Ok(json(StatusCode::OK, &problem))
}
