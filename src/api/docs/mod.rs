//! `/docs`: the contract as a page to read, made from `openapi.yaml`.
//!
//! The page is one file with its style inside, and nothing of it moves: no script, no font, no
//! image from elsewhere. It is made at the first request and kept.

mod example;
mod html;
mod operation;
mod page;
mod schema;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_yaml_ng::Value;
use sha2::{Digest as _, Sha256};

use super::error::ApiError;
use super::openapi;

const STYLE: &str = include_str!("style.css");

/// The page, and what a browser may do with it.
struct Page {
    html: String,
    policy: String,
}

/// `GET /docs`.
pub(super) async fn show() -> Result<Response, ApiError> {
    static PAGE: LazyLock<Result<Page, String>> = LazyLock::new(make);
    match &*PAGE {
        Ok(page) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, &page.policy),
                (header::CACHE_CONTROL, "no-cache"),
            ];
            Ok((headers, page.html.as_str()).into_response())
        }
        Err(error) => Err(ApiError::Internal(error.clone())),
    }
}

fn make() -> Result<Page, String> {
    let document: Value =
        serde_yaml_ng::from_str(openapi::YAML).map_err(|error| error.to_string())?;
    // The one style that the page may have is the one inside it.
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    Ok(Page {
        html: page::write(&document, STYLE),
        policy: format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        make().unwrap().html
    }

    #[test]
    fn every_call_schema_and_problem_has_a_place_of_its_own() {
        let document: Value = serde_yaml_ng::from_str(openapi::YAML).unwrap();
        let page = page();
        let mut expected = Vec::new();
        for (_, item) in html::members(&document, "paths") {
            for (_, call) in page::calls(item) {
                expected.push(format!("id=\"{}\"", html::text(call, "operationId")));
            }
        }
        let components = &document["components"];
        for (name, _) in html::members(components, "schemas") {
            expected.push(format!("id=\"schema-{name}\""));
        }
        for kind in crate::api::ProblemType::ALL {
            expected.push(format!("id=\"problem-{}\"", kind.slug()));
        }
        assert!(expected.len() > 60, "{}", expected.len());
        for id in expected {
            assert_eq!(page.matches(&id).count(), 1, "{id}");
        }
    }

    #[test]
    fn every_link_within_the_page_leads_somewhere() {
        let page = page();
        let mut links = 0;
        for rest in page.split("href=\"#").skip(1) {
            let id = rest.split('"').next().unwrap();
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
            links += 1;
        }
        assert!(links > 100, "{links}");
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_runs() {
        let page = page();
        for word in [
            "<script", "<img", "<link", "src=", "onclick", "url(", "@import", " style=",
        ] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn every_description_and_example_is_on_the_page() {
        let document: Value = serde_yaml_ng::from_str(openapi::YAML).unwrap();
        let page = page();
        for (name, example) in html::members(&document["components"], "examples") {
            let shown = html::escape(&example::written(&example["value"]));
            let plain = page.replace("</b>", "").replace("<b>", "");
            let plain = plain.replace("</i>", "").replace("<i>", "");
            assert!(plain.contains(&shown), "{name}");
        }
    }
}
