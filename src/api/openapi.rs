//! The contract, as a file and as JSON, and what its problem types mean.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::ApiError;
use super::json;
use super::params::Id;
use super::problem::ProblemType;

/// The contract as it is written.
pub(super) const YAML: &str = include_str!("../../openapi.yaml");

/// `GET /openapi.yaml`.
pub(super) async fn yaml() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "application/yaml"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, YAML)
}

/// `GET /openapi.json`: the same document, in the same order.
pub(super) async fn as_json() -> Result<Response, ApiError> {
    static JSON: LazyLock<Result<String, String>> = LazyLock::new(|| {
        let document: serde_yaml_ng::Value =
            serde_yaml_ng::from_str(YAML).map_err(|error| error.to_string())?;
        let text = serde_json::to_string(&document);
        text.map(|text| text + "\n")
            .map_err(|error| error.to_string())
    });
    match &*JSON {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-cache"),
            ];
            Ok((headers, text.as_str()).into_response())
        }
        Err(error) => Err(ApiError::Internal(error.clone())),
    }
}

#[derive(Serialize)]
struct ProblemView {
    r#type: String,
    status: u16,
    title: &'static str,
    advice: &'static str,
}

/// `GET /problems/{slug}`: what the `type` of a problem links to.
pub(super) async fn problem(Id(slug): Id) -> Result<Response, ApiError> {
    let unknown = ApiError::NotFound("no kind of problem has this name");
    let kind = ProblemType::from_slug(&slug).ok_or(unknown)?;
    Ok(json::ok(&ProblemView {
        r#type: kind.uri(),
        status: kind.status().as_u16(),
        title: kind.title(),
        advice: kind.advice(),
    }))
}
