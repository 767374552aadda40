//! `/`: what goes on, live, and a box to send a message from.
//!
//! One page with its style and its script inside; nothing comes from elsewhere. It holds no
//! messages itself: what it shows it asks of the API, with the token that its reader gives it.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::params::{Nothing, Query};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");

/// The page as it is sent, and what a browser may do with it.
struct LivePage {
    html: String,
    policy: String,
}

/// `GET /`.
pub(super) async fn show(_: Query<Nothing>) -> Response {
    static READY: LazyLock<LivePage> = LazyLock::new(make);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, &READY.policy),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, READY.html.as_str()).into_response()
}

fn make() -> LivePage {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    LivePage {
        html: PAGE
            .replace("/*STYLE*/", STYLE)
            .replace("/*SCRIPT*/", SCRIPT),
        // The style and the script inside, word for word, and calls to this gateway: nothing else.
        policy: format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; \
             connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_made_of_text() {
        let page = make().html;
        for word in [
            "http://",
            "https://",
            "@import",
            "url(",
            " style=",
            " onclick=",
        ] {
            assert!(!page.contains(word), "{word}");
        }
        for word in ["innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        assert!(!page.contains("/*STYLE*/") && !page.contains("/*SCRIPT*/"));
        assert_eq!(page.matches("</script>").count(), 1);
    }
}
