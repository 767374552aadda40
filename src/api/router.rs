//! Every path, and what every request goes through, on one screen.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use tower::ServiceBuilder;

use super::error::ApiError;
use super::webhooks::deliveries;
use super::{
    Api, access, agents, batch, browser, docs, events, health, live, messages, metrics, middleware,
    openapi, post as new, received, webhooks,
};

macro_rules! routes {
    ($($path:literal => $methods:expr,)*) => {
        /// Every path, as `openapi.yaml` writes it. OPTIONS tells the methods of each.
        pub const PATHS: &[&str] = &[$($path),*];

        fn routes() -> impl Iterator<Item = (&'static str, MethodRouter<Api>)> {
            [$(($path, $methods)),*].into_iter()
        }
    };
}

routes! {
    "/"                         => get(live::show),
    "/messages"                 => get(messages::list).post(new::create),
    "/messages/batch"           => post(batch::create),
    "/messages/{id}"            => get(messages::show).delete(messages::cancel),
    "/messages/{id}/events"     => get(events::of_message),
    "/received"                 => get(received::list),
    "/received/{id}"            => get(received::show).delete(received::erase),
    "/events"                   => get(events::log),
    "/agents"                   => get(agents::list),
    "/agents/{id}"              => get(agents::show),
    "/agents/{id}/drain"        => post(agents::drain),
    "/agents/{id}/resume"       => post(agents::resume),
    "/agents/{id}/reregister"   => post(agents::reregister),
    "/webhooks"                 => get(webhooks::list).post(webhooks::create),
    "/webhooks/{id}"            => get(webhooks::show).patch(webhooks::change).delete(webhooks::delete),
    "/webhooks/{id}/test"       => post(webhooks::test),
    "/webhooks/{id}/recover"    => post(webhooks::recover),
    "/webhooks/{id}/rotate-secret" => post(webhooks::rotate),
    "/webhooks/{id}/deliveries" => get(deliveries::list),
    "/webhooks/{id}/deliveries/{deliveryId}/retry" => post(deliveries::retry),
    "/livez"                    => get(health::live),
    "/readyz"                   => get(health::ready),
    "/metrics"                  => get(metrics::metrics),
    "/openapi.yaml"             => get(openapi::yaml),
    "/openapi.json"             => get(openapi::as_json),
    "/docs"                     => get(docs::show),
    "/docs/{file}"              => get(docs::file),
    "/problems/{slug}"          => get(openapi::problem),
}

/// The router over these parts.
pub fn router(api: Api) -> Router {
    let every_request = ServiceBuilder::new()
        .layer(from_fn_with_state(api.clone(), middleware::observe))
        .option_layer(browser::cors(&api.settings.origins))
        .layer(from_fn_with_state(api.clone(), access::guard));
    let mut router = Router::new();
    for (path, methods) in routes() {
        router = router.route(path, methods.fallback(other_method));
    }
    router
        .fallback(async || ApiError::NotFound("there is nothing at this path"))
        .layer(every_request)
        .with_state(api)
}

/// axum adds the `Allow` header, to either answer.
async fn other_method(method: Method) -> Response {
    match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => ApiError::Method.into_response(),
    }
}
