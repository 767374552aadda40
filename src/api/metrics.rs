//! `GET /metrics`: the figures, for Prometheus and whoever reads OpenMetrics.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::Response;

use super::Api;
use super::observer::Readings;
use super::params::Nothing;
use super::params::Query;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Everything that was counted, and what stands now.
pub(super) async fn metrics(State(api): State<Api>, _: Query<Nothing>) -> Response {
    let agents = api.agents.list().into_iter().map(|agent| agent.state);
    let text = api.observer.report(Readings {
        standing: api.dispatch.standing().await,
        agents: agents.collect(),
        streams: api.open_streams(),
        now: api.clock.now(),
    });
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, OPEN_METRICS);
    response
}
