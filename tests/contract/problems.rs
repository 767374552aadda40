//! The kinds of problems: one table in the gateway, the same in the document.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;
use sipost::api::ProblemType;

use crate::document::DOCUMENT;
use crate::document::Operation;
use crate::document::method_not_allowed;
use crate::document::resolve;

const PROBLEM: &str = "application/problem+json";

/// The kinds of problems that the examples of an answer show.
pub(crate) fn kinds(response: &'static Value) -> BTreeSet<&'static str> {
    let examples = response["content"][PROBLEM]["examples"].as_object();
    examples
        .into_iter()
        .flatten()
        .map(|(_, example)| resolve(example)["value"]["type"].as_str().unwrap())
        .collect()
}

#[test]
fn every_kind_of_problem_is_told_with_its_uri() {
    let told: BTreeSet<String> = DOCUMENT["components"]["schemas"]["ProblemUri"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|uri| uri.as_str().unwrap().to_owned())
        .collect();
    let known: BTreeSet<String> = ProblemType::ALL.iter().map(|kind| kind.uri()).collect();
    assert_eq!(told, known);
}

#[test]
fn every_kind_of_problem_has_an_example_that_shows_it_as_it_is() {
    let examples = DOCUMENT["components"]["examples"].as_object().unwrap();
    let of_405 = &method_not_allowed()["content"][PROBLEM]["examples"];
    for kind in ProblemType::ALL {
        let example = if kind == ProblemType::MethodNotAllowed {
            &of_405[kind.slug()]["value"]
        } else {
            &examples[kind.slug()]["value"]
        };
        assert_eq!(example["type"], kind.uri());
        assert_eq!(example["title"], kind.title(), "{}", kind.slug());
        assert_eq!(example["status"], kind.status().as_u16(), "{}", kind.slug());
    }
}

#[test]
fn every_answer_shows_problems_of_its_status_only_under_the_name_of_their_kind() {
    let mut shown = 0;
    for call in Operation::all() {
        for (status, response) in call.responses() {
            let examples = response["content"][PROBLEM]["examples"].as_object();
            assert_eq!(examples.is_some(), status >= 400, "{} {status}", call.id());
            for (name, example) in examples.into_iter().flatten() {
                let kind = ProblemType::from_slug(name).unwrap();
                let value = &resolve(example)["value"];
                assert_eq!(value["type"], kind.uri(), "{} {status}", call.id());
                assert_eq!(value["status"], status, "{} {name}", call.id());
                shown += 1;
            }
        }
    }
    assert!(shown > 0);
}

#[test]
fn every_kind_of_problem_is_an_answer_to_something() {
    let mut given: BTreeMap<&str, usize> = BTreeMap::new();
    for call in Operation::all() {
        for response in call.responses().into_values() {
            for kind in kinds(response) {
                *given.entry(kind).or_default() += 1;
            }
        }
    }
    for kind in kinds(method_not_allowed()) {
        *given.entry(kind).or_default() += 1;
    }
    for kind in ProblemType::ALL {
        assert!(given.contains_key(kind.uri().as_str()), "{}", kind.slug());
    }
}

#[test]
fn whoever_is_told_to_come_again_is_told_when() {
    for call in Operation::all() {
        for (status, response) in call.responses() {
            let must = kinds(response).iter().any(|uri| {
                let slug = uri.rsplit('/').next().unwrap();
                ProblemType::from_slug(slug)
                    .unwrap()
                    .advice()
                    .contains("Retry-After")
            });
            let is_told = response["headers"].get("Retry-After").is_some();
            assert_eq!(must, is_told, "{} {status}", call.id());
        }
    }
}
