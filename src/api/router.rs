//! Every path, on one screen.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::http::Method;
use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use axum::routing::get;
use axum::routing::post;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use super::Api;
use super::agents;
use super::batch;
use super::error::ApiError;
use super::events;
use super::events::Streams;
use super::health;
use super::messages;
use super::middleware;
use super::openapi;

/// What there is, as `openapi.yaml` lists it: the path and its methods.
pub const ROUTES: &[(&str, &[Method])] = &[
    ("/messages", &[Method::GET, Method::POST]),
    ("/messages/batch", &[Method::POST]),
    ("/messages/{id}", &[Method::GET, Method::DELETE]),
    ("/messages/{id}/events", &[Method::GET]),
    ("/events", &[Method::GET]),
    ("/agents", &[Method::GET]),
    ("/agents/{id}", &[Method::GET]),
    ("/agents/{id}/drain", &[Method::POST]),
    ("/agents/{id}/resume", &[Method::POST]),
    ("/agents/{id}/reregister", &[Method::POST]),
    ("/livez", &[Method::GET]),
    ("/readyz", &[Method::GET]),
    ("/openapi.yaml", &[Method::GET]),
    ("/openapi.json", &[Method::GET]),
    ("/problems/{slug}", &[Method::GET]),
];

/// The longest a client may wait with `Prefer: wait`, which the time limit adds to its own.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The router over these parts.
pub fn router(api: Api) -> Router {
    let streams = Streams(Arc::new(Semaphore::new(api.settings.max_streams)));
    let limit = api.settings.request_timeout + LONGEST_WAIT;
    let mut router = Router::new();
    for (path, _) in ROUTES {
        router = router.route(path, handler(path).fallback(wrong_method));
    }
    router
        .fallback(nothing_here)
        .layer(Extension(streams))
        .layer(axum::middleware::from_fn(move |request, next| {
            middleware::timeout(limit, request, next)
        }))
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .layer(axum::middleware::from_fn(middleware::log))
        .with_state(api)
}

fn handler(path: &str) -> MethodRouter<Api> {
    match path {
        "/messages" => get(messages::list).post(messages::create),
        "/messages/batch" => post(batch::create),
        "/messages/{id}" => get(messages::show).delete(messages::cancel),
        "/messages/{id}/events" => get(events::of_message),
        "/events" => get(events::log),
        "/agents" => get(agents::list),
        "/agents/{id}" => get(agents::show),
        "/agents/{id}/drain" => post(agents::drain),
        "/agents/{id}/resume" => post(agents::resume),
        "/agents/{id}/reregister" => post(agents::reregister),
        "/livez" => get(health::live),
        "/readyz" => get(health::ready),
        "/openapi.yaml" => get(openapi::yaml),
        "/openapi.json" => get(openapi::as_json),
        "/problems/{slug}" => get(openapi::problem),
        // A path of `ROUTES` without a handler is found by the contract test.
        _ => MethodRouter::new(),
    }
}

async fn nothing_here() -> impl IntoResponse {
    ApiError::NotFound("there is nothing at this path")
}

async fn wrong_method() -> impl IntoResponse {
    ApiError::Method
}
