//! `/docs`: the contract in Swagger UI, whose files are inside the program.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use utoipa_swagger_ui::Config;

use super::error::ApiError;
use super::params::Id;

const PAGE: &str = include_str!("page.html");
const START: &str = include_str!("start.js");
const STYLE: &str = include_str!("style.css");

/// The files of Swagger UI that the page loads.
const FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

/// The page loads our files and calls this gateway. Swagger UI has icons as `data:` in its style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// `GET /docs`.
pub(super) async fn show() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}

/// `GET /docs/{file}`.
pub(super) async fn file(Id(name): Id) -> Result<Response, ApiError> {
    let missing = || ApiError::NotFound("the page has no file of this name");
    let own = |media_type, text: &'static str| {
        let headers = [
            (header::CONTENT_TYPE, media_type),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (headers, text).into_response()
    };
    match name.as_str() {
        "start.js" => return Ok(own("text/javascript", START)),
        "style.css" => return Ok(own("text/css", STYLE)),
        _ => {}
    }
    let name = FILES.into_iter().find(|file| *file == name);
    let mut response = swagger_ui(name.ok_or_else(missing)?).ok_or_else(missing)?;
    let hour = HeaderValue::from_static("max-age=3600");
    response.headers_mut().insert(header::CACHE_CONTROL, hour);
    Ok(response)
}

fn swagger_ui(name: &str) -> Option<Response> {
    // The configuration is for the page that Swagger UI brings, and ours is another one.
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::default()));
    let file = file.ok().flatten()?;
    let mut response = Response::new(Body::from(file.bytes.into_owned()));
    let content_type = HeaderValue::try_from(file.content_type).ok()?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    if file.gzpipped {
        let gzip = HeaderValue::from_static("gzip");
        headers.insert(header::CONTENT_ENCODING, gzip);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere_and_every_file_of_the_page_is_there() {
        for text in [PAGE, START, STYLE] {
            for word in ["http://", "https://", " style=", " onclick=", "<script>"] {
                assert!(!text.contains(word), "{word}");
            }
        }
        for name in FILES {
            assert!(PAGE.contains(&format!("\"/docs/{name}\"")), "{name}");
            assert!(swagger_ui(name).is_some(), "{name}");
        }
    }
}
