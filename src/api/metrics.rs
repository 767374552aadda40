//! `GET /metrics`: in the classic text format of Prometheus, or in OpenMetrics for clients that ask
//! for it.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::observer::{MetricsFormat, Readings};
use super::params::{Nothing, Query};
use super::{Api, negotiate};

/// Every metric, in the format that the client prefers.
pub(super) async fn metrics(
    State(api): State<Api>,
    headers: HeaderMap,
    _: Query<Nothing>,
) -> Response {
    let agents = api.agents.list().map(|agent| agent.state);
    let readings = Readings {
        counts: api.dispatch.counts().await,
        agents: agents.collect(),
        streams: api.open_streams(),
        now: api.clock.now(),
    };
    let format = negotiate::metrics_format(&headers);
    let mut response = Response::new(Body::from(api.observer.report(readings, format)));
    let media_type = HeaderValue::from_static(match format {
        MetricsFormat::Classic => "text/plain; version=0.0.4; charset=utf-8",
        MetricsFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    });
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}
