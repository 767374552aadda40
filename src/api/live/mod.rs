//! `/`: what goes on, live, and a box to send a message from.
//!
//! One page, and beside it the style and the modules of its script; nothing comes from elsewhere.
//! It holds no messages itself: what it shows it asks of the API, with the token that its reader
//! gives it.

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse as _, Response};

use super::error::ApiError;
use super::params::{Id, Nothing, Query};

const PAGE: &str = include_str!("page.html");

/// The picture in the tab of a browser. Browsers ask for it at this address wherever they are.
const ICON: &[u8] = include_bytes!("favicon.ico");

/// A file that the page loads.
struct PageFile {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal: $media_type:literal,)*) => {
        /// Every file that the page loads.
        const FILES: &[PageFile] = &[$(PageFile {
            name: $name,
            media_type: $media_type,
            text: include_str!($name),
        }),*];
    };
}

files! {
    "style.css": "text/css",
    "main.js": "text/javascript",
    "api.js": "text/javascript",
    "dom.js": "text/javascript",
    "words.js": "text/javascript",
    "figures.js": "text/javascript",
    "actions.js": "text/javascript",
    "agents.js": "text/javascript",
    "changes.js": "text/javascript",
    "events.js": "text/javascript",
    "lists.js": "text/javascript",
    "panel.js": "text/javascript",
    "send.js": "text/javascript",
}

/// The files of the page, and calls to this gateway: nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Asked for anew each time, so that a page never runs with a module of another release.
const FRESH: (HeaderName, &str) = (header::CACHE_CONTROL, "no-cache");

/// `GET /`.
pub(super) async fn show(_: Query<Nothing>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        FRESH,
    ];
    (headers, PAGE).into_response()
}

/// `GET /page/{file}`.
pub(super) async fn file(Id(name): Id) -> Result<Response, ApiError> {
    let file = FILES.iter().find(|file| file.name == name);
    let file = file.ok_or(ApiError::NotFound("the page has no file of this name"))?;
    let headers = [(header::CONTENT_TYPE, file.media_type), FRESH];
    Ok((headers, file.text).into_response())
}

/// `GET /favicon.ico`.
pub(super) async fn icon() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/x-icon"),
        (header::CACHE_CONTROL, "max-age=86400"),
    ];
    (headers, ICON).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::EventKind;

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_made_of_text() {
        let texts = FILES.iter().map(|file| (file.name, file.text));
        for (name, text) in texts.chain([("page.html", PAGE)]) {
            for word in [
                "http://",
                "https://",
                "@import",
                "url(",
                " style=",
                " onclick=",
            ] {
                assert!(!text.contains(word), "{name}: {word}");
            }
            for word in ["innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
    }

    #[test]
    fn the_page_follows_events_of_every_type() {
        let names = EventKind::ALL.map(EventKind::as_str).join(",");
        let events = FILES.iter().find(|file| file.name == "events.js");
        let types = format!("const TYPES = \"{names}\";");
        assert!(events.unwrap().text.contains(&types), "{types}");
    }

    #[test]
    fn every_file_that_is_named_is_there_and_every_one_there_is_is_named() {
        let all: String = FILES.iter().map(|file| file.text).chain([PAGE]).collect();
        for file in FILES {
            let by_module = format!("\"./{}\"", file.name);
            let by_page = format!("\"/page/{}\"", file.name);
            assert!(
                all.contains(&by_module) || all.contains(&by_page),
                "{}",
                file.name
            );
        }
        for prefix in ["from \"./", "\"/page/"] {
            for rest in all.split(prefix).skip(1) {
                let name = rest.split('"').next().unwrap();
                assert!(FILES.iter().any(|file| file.name == name), "{name}");
            }
        }
    }
}
