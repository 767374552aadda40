//! The paths and methods of the document are those of the router.

use std::collections::BTreeSet;

use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use sipost::api::PATHS;

use crate::document::DOCUMENT;
use crate::document::Operation;
use crate::staged::Stage;

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
    let stage = Stage::new();
    for path in PATHS {
        let answer = stage.call(Method::OPTIONS, &filled(path), &[], "").await;
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
    let stage = Stage::new();
    for path in PATHS {
        for method in [Method::PUT, Method::TRACE] {
            let answer = stage.call(method, &filled(path), &[], "").await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            answer.must_be_as_told(&DOCUMENT["components"]["responses"]["MethodNotAllowed"]);
        }
    }
}

#[tokio::test]
async fn every_path_refuses_pages_of_others_and_hosts_of_others() {
    let stage = Stage::new();
    for path in PATHS {
        let path = filled(path);
        let page = [("sec-fetch-site", "cross-site")];
        for method in [Method::POST, Method::PATCH, Method::DELETE, Method::PUT] {
            let answer = stage.call(method, &path, &page, "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
            answer.must_be_as_told(&DOCUMENT["components"]["responses"]["CrossOrigin"]);
        }
        for method in [Method::GET, Method::POST] {
            let rebound = [("host", "evil.example")];
            let answer = stage.call(method, &path, &rebound, "").await;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
            answer.must_be_as_told(&DOCUMENT["components"]["responses"]["Misdirected"]);
        }
    }
}

#[tokio::test]
async fn what_is_at_no_path_is_not_found() {
    let stage = Stage::new();
    for path in ["/message", "/messages/", "/messages/x/y", "//messages"] {
        let answer = stage.call(Method::GET, path, &[], "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        answer.must_be_as_told(&DOCUMENT["components"]["responses"]["NotFound"]);
    }
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
