//! What the gateway really answers, held against the document.

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use serde_json::Value;

use crate::document::Operation;
use crate::document::resolve;
use crate::document::stream_of;
use crate::document::violations;
use crate::problems;
use crate::received;
use crate::routes;
use crate::running;
use crate::staged;

/// An answer, taken in whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The answers there were: the `operationId` of the call, and the status.
#[derive(Default)]
pub(crate) struct Seen(BTreeSet<(&'static str, u16)>);

impl Seen {
    /// Takes note of an answer, which must be as the document says.
    pub(crate) fn note(&mut self, id: &'static str, status: u16, answer: &Answer) {
        assert_eq!(answer.status, status, "{id}: {}", answer.text());
        let responses = Operation::of_id(id).responses();
        let told = responses.get(&status);
        let told = told.unwrap_or_else(|| panic!("{id} does not tell of {status}"));
        answer.must_be_as_told(told);
        self.0.insert((id, status));
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Its body, its type and its headers are those of this answer of the document.
    pub(crate) fn must_be_as_told(&self, told: &'static Value) {
        self.headers_must_be_as_told(told);
        let stream = stream_of(told);
        let Some(content) = told.get("content").or(stream) else {
            assert!(self.body.is_empty(), "{}", self.text());
            return;
        };
        let media_type = self.header(header::CONTENT_TYPE.as_str()).unwrap();
        if media_type.contains("json") {
            assert!(self.body.ends_with(b"}\n"), "no newline: {}", self.text());
        }
        let media_type = media_type.split(';').next().unwrap();
        let forms = told["x-other-forms"].as_array().into_iter().flatten();
        if forms
            .filter_map(Value::as_str)
            .any(|form| form == media_type)
        {
            assert!(!self.body.is_empty(), "{media_type}");
            return;
        }
        let media = if media_type == "text/event-stream" {
            stream
        } else {
            content.get(media_type)
        };
        let media = media.unwrap_or_else(|| panic!("{media_type} is not told of: {content}"));
        let body = if media_type.ends_with("json") {
            self.json()
        } else {
            Value::String(self.text())
        };
        let wrong = violations(&media["schema"], &body);
        assert!(wrong.is_empty(), "{wrong:#?} in {}", self.text());
        if self.status.is_client_error() || self.status.is_server_error() {
            let kind = body["type"].as_str().unwrap();
            assert_eq!(body["status"], self.status.as_u16());
            assert!(
                problems::kinds(told).contains(kind),
                "{kind} is not told of"
            );
        }
    }

    fn headers_must_be_as_told(&self, told: &'static Value) {
        for (name, header) in told["headers"].as_object().into_iter().flatten() {
            let header = resolve(header);
            let Some(value) = self.header(name) else {
                assert_ne!(header["required"], true, "{name} is missing");
                continue;
            };
            let value = if header["schema"]["type"] == "integer" {
                Value::from(value.parse::<u64>().unwrap())
            } else {
                Value::from(value)
            };
            let wrong = violations(&header["schema"], &value);
            assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        }
        // What is given and may surprise is told of.
        for name in [
            "location",
            "retry-after",
            "preference-applied",
            "idempotent-replayed",
            "www-authenticate",
        ] {
            let is_told = told["headers"]
                .as_object()
                .is_some_and(|headers| headers.keys().any(|told| told.eq_ignore_ascii_case(name)));
            assert!(
                is_told || self.header(name).is_none(),
                "{name} is not told of"
            );
        }
    }
}

/// One test, because only all answers together are every answer.
#[tokio::test]
async fn every_answer_that_is_told_is_given_as_it_is_told() {
    let mut seen = Seen::default();
    running::answer_everything(&mut seen).await;
    staged::answer_everything(&mut seen).await;
    routes::answer_other_hosts(&mut seen).await;
    received::answer_everything(&mut seen).await;

    let mut missing = Vec::new();
    for call in Operation::all() {
        for (status, response) in call.responses() {
            // What panics or cannot be written is the same everywhere; `sendMessage` gives it.
            let is_same = std::ptr::eq(response, Operation::of_id("sendMessage").responses()[&500]);
            let is_given = seen.0.contains(&(call.id(), status));
            let is_known = is_given || (status == 500 && is_same);
            if !is_known {
                missing.push((call.id(), status));
            }
        }
    }
    assert!(missing.is_empty(), "never given: {missing:?}");
    assert!(seen.0.contains(&("sendMessage", 500)));
}
