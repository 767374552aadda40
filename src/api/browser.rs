//! Headers for browsers: what our pages may do, and which other pages may call.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// The origins of pages that may call.
#[derive(Clone, Debug, Default)]
pub enum Origins {
    /// Those of no other site.
    #[default]
    Own,
    /// Those of these sites.
    Listed(Vec<HeaderValue>),
    /// Those of any site.
    Any,
}

/// How long a browser may remember what it was told.
const REMEMBER: std::time::Duration = std::time::Duration::from_secs(600);

/// Lets pages of these origins call; `None` when there are none, and nothing is said of it.
pub(super) fn cors(origins: &Origins) -> Option<CorsLayer> {
    let origin = match origins {
        Origins::Own => return None,
        Origins::Listed(origins) => AllowOrigin::list(origins.iter().cloned()),
        Origins::Any => AllowOrigin::any(),
    };
    let told = [
        header::LOCATION,
        header::RETRY_AFTER,
        header::WWW_AUTHENTICATE,
        HeaderName::from_static("idempotent-replayed"),
        HeaderName::from_static("preference-applied"),
        HeaderName::from_static("ratelimit"),
        HeaderName::from_static("ratelimit-policy"),
        HeaderName::from_static("x-request-id"),
    ];
    // No credentials of the browser: tokens are shown by the page itself. So no header makes a
    // request more than a program could send, and those of every client library pass.
    let layer = CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(told)
        .max_age(REMEMBER);
    Some(layer)
}

/// Our pages run our scripts alone, connect to us alone, and cannot be framed.
const OF_PAGES: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";
/// An answer that is no page may do nothing.
const OF_THE_REST: &str = "default-src 'none'; frame-ancestors 'none'";

/// Says on every answer what a browser, and a cache, may make of it.
pub(super) fn protect(headers: &mut HeaderMap) {
    let is_page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let policy = if is_page { OF_PAGES } else { OF_THE_REST };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Messages are for who asked, and figures for now: no cache keeps them.
        (header::CACHE_CONTROL, "no-store"),
    ] {
        // What a handler says is more exact.
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}
