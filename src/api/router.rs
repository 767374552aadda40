//! Every path, and what every request goes through, on one screen.

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use tower::ServiceBuilder;

use super::error::ApiError;
use super::webhooks::deliveries;
use super::{
    Api, access, agents, batch, browser, docs, events, frames, health, live, messages, metrics,
    middleware, openapi, post as new, received, webhooks,
};

/// A path, with a handler for each of its methods.
struct Route {
    path: &'static str,
    handlers: MethodRouter<Api>,
    /// Their names, in lower case.
    methods: &'static [&'static str],
}

macro_rules! routes {
    ($($path:literal => $first:ident($handler:expr)$(.$other:ident($others:expr))*,)*) => {
        /// Every path, as `openapi.yaml` writes it. OPTIONS tells the methods of each.
        pub const PATHS: &[&str] = &[$($path),*];

        fn routes() -> impl Iterator<Item = Route> {
            [$(Route {
                path: $path,
                handlers: $first($handler)$(.$other($others))*,
                methods: &[stringify!($first) $(, stringify!($other))*],
            }),*]
            .into_iter()
        }
    };
}

routes! {
    "/"                         => get(live::show),
    "/page/{file}"              => get(live::file),
    "/favicon.ico"              => get(live::icon),
    "/messages"                 => get(messages::list).post(new::create),
    "/messages/batch"           => post(batch::create),
    "/messages/{id}"            => get(messages::show).delete(messages::cancel),
    "/messages/{id}/events"     => get(events::of_message),
    "/messages/{id}/sip"        => get(frames::of_message),
    "/received"                 => get(received::list),
    "/received/{id}"            => get(received::show).delete(received::erase),
    "/received/{id}/sip"        => get(frames::of_received),
    "/events"                   => get(events::log),
    "/agents"                   => get(agents::list),
    "/agents/{id}"              => get(agents::show),
    "/agents/{id}/sip"          => get(frames::of_agent),
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
pub(super) fn router(api: Api) -> Router {
    let every_request = ServiceBuilder::new()
        .layer(from_fn_with_state(api.clone(), middleware::observe))
        .option_layer(browser::cors(&api.settings.origins))
        .layer(from_fn_with_state(api.clone(), access::guard));
    let mut router = Router::new();
    for route in routes() {
        let methods = route.methods;
        let other = move |method: Method| async move { other_method(&method, methods) };
        router = router.route(route.path, route.handlers.fallback(other));
    }
    router
        .fallback(async |uri: Uri| nothing_at(uri.path()))
        .layer(every_request)
        .with_state(api)
}

/// axum adds the `Allow` header, to either answer.
fn other_method(method: &Method, taken: &[&str]) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    ApiError::Method(in_words(taken)).into_response()
}

/// The methods of a path, as a sentence lists them. HEAD comes with GET.
fn in_words(methods: &[&str]) -> String {
    let mut names: Vec<String> = Vec::new();
    for method in methods {
        names.push(method.to_ascii_uppercase());
        if *method == "get" {
            names.push("HEAD".to_owned());
        }
    }
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

/// 404, which names the path that was meant when only a slash at the end is too many.
fn nothing_at(path: &str) -> ApiError {
    let nothing = ApiError::NotFound("there is nothing at this path; /docs lists the paths");
    let Some(short) = path.strip_suffix('/').filter(|short| *short != "/") else {
        return nothing;
    };
    let meant = PATHS.iter().find(|known| is_at(short, known));
    meant.map_or(nothing, |known| ApiError::TrailingSlash(known))
}

/// Whether the path is of this route.
fn is_at(path: &str, route: &str) -> bool {
    let fits = |(known, part): (&str, &str)| {
        let is_variable = known.starts_with('{');
        known == part || (is_variable && !part.is_empty())
    };
    path.split('/').count() == route.split('/').count()
        && route.split('/').zip(path.split('/')).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_listed_as_a_sentence_lists_them() {
        assert_eq!(in_words(&["post"]), "POST");
        assert_eq!(in_words(&["get"]), "GET and HEAD");
        assert_eq!(
            in_words(&["get", "patch", "delete"]),
            "GET, HEAD, PATCH and DELETE"
        );
    }

    #[test]
    fn a_slash_too_many_is_told_with_the_path_that_was_meant() {
        let meant = |path| match nothing_at(path) {
            ApiError::TrailingSlash(known) => Some(known),
            _ => None,
        };
        assert_eq!(meant("/messages/"), Some("/messages"));
        assert_eq!(meant("/messages/7/events/"), Some("/messages/{id}/events"));
        for path in [
            "/message/",
            "/messages//",
            "//",
            "/messages/7/x/",
            "/messages/7/events",
        ] {
            assert_eq!(meant(path), None, "{path}");
        }
    }
}
