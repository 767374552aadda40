//! `openapi.yaml`, and what it says about one answer.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;
use serde_json::json;

/// The document as it stands in the repository, and as it is compiled in.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_yaml_ng::from_str(include_str!("../../openapi.yaml")).unwrap());

/// The methods that an entry of `paths` may have.
const METHODS: [&str; 6] = ["get", "put", "post", "delete", "patch", "head"];

/// One call: its method in capitals, its path as the document writes it, and what is said of it.
#[derive(Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) value: &'static Value,
}

impl Operation {
    /// Every call of the document.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
            for method in METHODS {
                if let Some(value) = item.get(method) {
                    let method = match method {
                        "get" => "GET",
                        "put" => "PUT",
                        "post" => "POST",
                        "delete" => "DELETE",
                        "patch" => "PATCH",
                        _ => "HEAD",
                    };
                    all.push(Self {
                        method,
                        path,
                        value,
                    });
                }
            }
        }
        all
    }

    /// The call of this `operationId`.
    pub(crate) fn of_id(id: &str) -> Self {
        let found = Self::all().into_iter().find(|call| call.id() == id);
        found.unwrap_or_else(|| panic!("no call is named {id}"))
    }

    pub(crate) fn id(&self) -> &'static str {
        self.value["operationId"].as_str().unwrap()
    }

    /// Every stream of events that an answer of it can be instead of JSON.
    pub(crate) fn streams(&self) -> Vec<&'static Value> {
        let responses = self.responses().into_values();
        responses.filter_map(stream_of).collect()
    }

    /// Every status it can give, with what is said of that answer.
    pub(crate) fn responses(&self) -> BTreeMap<u16, &'static Value> {
        let responses = self.value["responses"].as_object().unwrap();
        responses
            .iter()
            .map(|(status, response)| (status.parse().unwrap(), resolve(response)))
            .collect()
    }

    /// Its parameters, those of its path among them.
    pub(crate) fn parameters(&self) -> Vec<&'static Value> {
        let of_path = &DOCUMENT["paths"][self.path]["parameters"];
        [of_path, &self.value["parameters"]]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .map(resolve)
            .collect()
    }
}

/// What `value` stands for when it is a reference.
pub(crate) fn resolve(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').unwrap();
            let target = DOCUMENT.pointer(pointer);
            resolve(target.unwrap_or_else(|| panic!("{reference} leads nowhere")))
        }
        None => value,
    }
}

/// What is said of an answer that is a stream: outside of `content`, so that a client that was made
/// from the document has one type for each answer.
pub(crate) fn stream_of(response: &'static Value) -> Option<&'static Value> {
    response.get("x-event-stream")
}

/// What is said of 405, which every path gives and no call can list.
pub(crate) fn method_not_allowed() -> &'static Value {
    &DOCUMENT["x-method-not-allowed"]
}

/// Every object of the document, with a JSON pointer to it.
pub(crate) fn walk(visit: &mut impl FnMut(&str, &'static serde_json::Map<String, Value>)) {
    fn step(
        at: &str,
        value: &'static Value,
        visit: &mut impl FnMut(&str, &'static serde_json::Map<String, Value>),
    ) {
        match value {
            Value::Object(members) => {
                visit(at, members);
                for (name, member) in members {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    step(&format!("{at}/{name}"), member, visit);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    step(&format!("{at}/{index}"), item, visit);
                }
            }
            _ => {}
        }
    }
    step("", &DOCUMENT, visit);
}

/// What is wrong with `instance` by this schema of the document.
///
/// A client must be ready for members it does not know. Here nothing may be answered that the
/// document does not tell, so every object is closed.
pub(crate) fn violations(schema: &Value, instance: &Value) -> Vec<String> {
    static CLOSED: LazyLock<Value> = LazyLock::new(|| {
        let mut components = DOCUMENT["components"].clone();
        close(&mut components["schemas"]);
        components
    });
    let mut whole = schema.clone();
    close(&mut whole);
    whole["components"] = CLOSED.clone();
    whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&whole)
        .unwrap();
    validator
        .iter_errors(instance)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("properties").is_some_and(Value::is_object)
                && members.contains_key("type")
            {
                members
                    .entry("additionalProperties")
                    .or_insert(json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[test]
fn a_member_that_is_not_told_is_found() {
    let schema = json!({"$ref": "#/components/schemas/Violation"});
    assert!(violations(&schema, &json!({"pointer": "", "detail": "x"})).is_empty());
    assert!(!violations(&schema, &json!({"pointer": "", "detail": "x", "more": 1})).is_empty());
    assert!(!violations(&schema, &json!({"pointer": ""})).is_empty());
}

#[test]
fn a_time_is_checked_as_one() {
    let schema = json!({"$ref": "#/components/schemas/Timestamp"});
    assert!(violations(&schema, &json!("2026-12-24T17:30:00.000Z")).is_empty());
    assert!(!violations(&schema, &json!("2026-12-24T17:30:00Z")).is_empty());
    assert!(!violations(&schema, &json!("2026-13-24T17:30:00.000Z")).is_empty());
}
