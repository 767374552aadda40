//! The paths and methods of the document are those of the router.

use std::collections::BTreeSet;

use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use sipost::api::PATHS;

use crate::answers::Seen;
use crate::document::DOCUMENT;
use crate::document::Operation;
use crate::document::method_not_allowed;
use crate::staged::ApiFixture;

const OTHER_HOST: [(&str, &str); 1] = [("host", "evil.example")];

#[test]
fn the_paths_are_those_of_the_router() {
    let told: BTreeSet<&str> = DOCUMENT["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(told, PATHS.iter().copied().collect());
}

#[tokio::test]
async fn the_methods_of_each_path_are_those_that_options_tells() {
    let api = ApiFixture::new();
    for path in PATHS {
        let answer = api.call(Method::OPTIONS, &filled(path), &[], "").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
        let allow = answer.headers[header::ALLOW].to_str().unwrap();
        let mut known: BTreeSet<&str> = allow.split(',').map(str::trim).collect();
        // HEAD comes with GET, and the document says so once for all.
        assert_eq!(known.remove("HEAD"), known.contains("GET"), "{path}");
        let told: BTreeSet<&str> = Operation::all()
            .iter()
            .filter(|call| call.path == *path)
            .map(|call| call.method)
            .collect();
        assert_eq!(told, known, "{path}");
    }
}

#[tokio::test]
async fn any_other_method_is_answered_as_the_document_says() {
    let api = ApiFixture::new();
    for path in PATHS {
        for method in [Method::PUT, Method::TRACE] {
            let answer = api.call(method, &filled(path), &[], "").await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            answer.must_be_as_told(method_not_allowed());
            let allow = answer.headers[header::ALLOW].to_str().unwrap();
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            let named = detail.strip_prefix("this path takes ").unwrap();
            let named: BTreeSet<&str> = named.split([',', ' ']).filter(is_method).collect();
            assert_eq!(named, allow.split(',').collect(), "{path}: {detail}");
        }
    }
}

#[tokio::test]
async fn every_path_refuses_pages_of_others_and_hosts_of_others() {
    let api = ApiFixture::new();
    for path in PATHS {
        let path = filled(path);
        let page = [("sec-fetch-site", "cross-site")];
        for method in [Method::POST, Method::PATCH, Method::DELETE, Method::PUT] {
            let answer = api.call(method, &path, &page, "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            answer.must_be_as_told(&DOCUMENT["components"]["responses"]["ChangeForbidden"]);
            assert_eq!(answer.json()["type"], "/problems/cross-origin");
        }
        for method in [Method::GET, Method::POST] {
            let answer = api.call(method, &path, &OTHER_HOST, "").await;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
            answer.must_be_as_told(&DOCUMENT["components"]["responses"]["Misdirected"]);
        }
    }
}

/// Every call, for a host that this gateway is not.
pub(crate) async fn answer_other_hosts(seen: &mut Seen) {
    let api = ApiFixture::new();
    for call in Operation::all() {
        let method = Method::from_bytes(call.method.as_bytes()).unwrap();
        let path = filled(call.path);
        let answer = api.call(method, &path, &OTHER_HOST, "").await;
        seen.note(call.id(), 421, &answer);
    }
}

#[tokio::test]
async fn what_is_at_no_path_is_not_found() {
    let api = ApiFixture::new();
    for path in ["/message", "/messages/", "/messages/x/y", "//messages"] {
        let answer = api.call(Method::GET, path, &[], "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        answer.must_be_as_told(&DOCUMENT["components"]["responses"]["NotFound"]);
    }
}

#[tokio::test]
async fn a_slash_too_many_is_told_with_the_path_that_was_meant() {
    let api = ApiFixture::new();
    for path in PATHS.iter().filter(|path| **path != "/") {
        let answer = api.call(Method::GET, &(filled(path) + "/"), &[], "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        answer.must_be_as_told(&DOCUMENT["components"]["responses"]["NotFound"]);
        let detail = format!("there is nothing at this path; {path} has no slash at its end");
        assert_eq!(answer.json()["detail"], detail);
    }
}

fn is_method(word: &&str) -> bool {
    !word.is_empty() && *word != "and"
}

/// The path with something in the place of its variables.
pub(crate) fn filled(path: &str) -> String {
    let mut parts = path.split('/').map(|part| match part.starts_with('{') {
        true => "x",
        false => part,
    });
    parts.next();
    parts.fold(String::new(), |whole, part| format!("{whole}/{part}"))
}
