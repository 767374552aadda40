//! No release breaks the clients of the release before: `openapi.yaml` against `released.yaml`,
//! which is the contract as it was released last.
//!
//! A change is breaking when a request that was right is refused, or when an answer is not what a
//! client of the last release was told. A contract may gain paths, optional members of requests,
//! members of answers, words of an enumeration, and alternatives.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use crate::document::DOCUMENT;

/// The contract of the last release. `scripts/release` renews it.
static RELEASED: LazyLock<Value> =
    LazyLock::new(|| serde_yaml_ng::from_str(include_str!("released.yaml")).unwrap());

/// Schemas lie within each other no deeper than this.
const MAX_DEPTH: usize = 32;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Who writes what a schema tells of.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Writer {
    Client,
    Gateway,
}

/// Two contracts, and what breaks between them.
struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    breaks: Vec<String>,
}

/// What a client of the old contract cannot rely on any more.
fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison {
        old,
        new,
        breaks: Vec::new(),
    };
    comparison.paths();
    comparison.breaks
}

impl<'a> Comparison<'a> {
    fn found(&mut self, at: &str, what: &str) {
        self.breaks.push(format!("{at}: {what}"));
    }

    fn paths(&mut self) {
        for (path, old) in members(&self.old["paths"]) {
            let new = &self.new["paths"][path];
            if new.is_null() {
                self.found(path, "the path is gone");
                continue;
            }
            for method in METHODS.into_iter().filter(|name| !old[*name].is_null()) {
                let at = format!("{method} {path}");
                if new[method].is_null() {
                    self.found(&at, "the method is gone");
                } else {
                    self.parameters(&at, (old, method), (new, method));
                    self.operation(&at, &old[method], &new[method]);
                }
            }
        }
    }

    fn operation(&mut self, at: &str, old: &'a Value, new: &'a Value) {
        if old["operationId"] != new["operationId"] {
            self.found(at, "the operationId is another");
        }
        let may_be_open = |call: &Value| call["security"].as_array().is_some_and(Vec::is_empty);
        if may_be_open(old) && !may_be_open(new) {
            self.found(at, "it takes a token now");
        }
        let (old_body, new_body) = (&old["requestBody"], &new["requestBody"]);
        if new_body["required"] == true && old_body["required"] != true {
            self.found(at, "a body is required now");
        }
        let place = format!("{at} body");
        self.content(
            &place,
            &old_body["content"],
            &new_body["content"],
            Writer::Client,
        );
        for (status, old) in members(&old["responses"]) {
            let at = format!("{at} {status}");
            let new = &new["responses"][status];
            if new.is_null() {
                self.found(&at, "the answer is gone");
                continue;
            }
            let (old, new) = (resolve(self.old, old), resolve(self.new, new));
            self.content(&at, &old["content"], &new["content"], Writer::Gateway);
            for (name, old) in members(&old["headers"]) {
                let old = resolve(self.old, old);
                let new = resolve(self.new, &new["headers"][name]);
                if old["required"] == true && new["required"] != true {
                    self.found(&at, &format!("the header {name} may be missing"));
                }
            }
        }
    }

    fn parameters(&mut self, at: &str, old: (&'a Value, &str), new: (&'a Value, &str)) {
        let all = |document: &'a Value, (item, method): (&'a Value, &str)| {
            let lists = [&item["parameters"], &item[method]["parameters"]];
            let all = lists.into_iter().filter_map(Value::as_array).flatten();
            all.map(|one| resolve(document, one)).collect::<Vec<_>>()
        };
        let (old, new) = (all(self.old, old), all(self.new, new));
        let is_same = |a: &Value, b: &Value| a["name"] == b["name"] && a["in"] == b["in"];
        for one in &old {
            let place = format!("{at} {}", one["name"]);
            match new.iter().find(|other| is_same(one, other)) {
                Some(other) => {
                    self.schema(&place, &one["schema"], &other["schema"], Writer::Client, 0);
                }
                None => self.found(&place, "the parameter is gone"),
            }
        }
        for one in new.iter().filter(|one| one["required"] == true) {
            let before = old.iter().find(|other| is_same(one, other));
            if before.is_none_or(|before| before["required"] != true) {
                self.found(
                    at,
                    &format!("the parameter {} is required now", one["name"]),
                );
            }
        }
    }

    fn content(&mut self, at: &str, old: &'a Value, new: &'a Value, writer: Writer) {
        for (kind, old) in members(old) {
            let at = format!("{at} {kind}");
            if new[kind].is_null() {
                self.found(&at, "the media type is gone");
            } else {
                self.schema(&at, &old["schema"], &new[kind]["schema"], writer, 0);
            }
        }
    }

    fn schema(&mut self, at: &str, old: &'a Value, new: &'a Value, writer: Writer, depth: usize) {
        assert!(depth < MAX_DEPTH, "{at} is too deep");
        let (old, new) = (resolve(self.old, old), resolve(self.new, new));
        self.types(at, old, new, writer);
        self.limits(at, old, new, writer);
        self.object(at, old, new, writer, depth);
        for inner in ["items", "additionalProperties", "propertyNames"] {
            if old[inner].is_object() && new[inner].is_object() {
                let at = format!("{at}/{inner}");
                self.schema(&at, &old[inner], &new[inner], writer, depth + 1);
            }
        }
        self.alternatives(at, old, new, writer, depth);
    }

    fn types(&mut self, at: &str, old: &Value, new: &Value, writer: Writer) {
        let (before, after) = (words(&old["type"]), words(&new["type"]));
        let narrowed = !before.is_subset(&after);
        let widened = !after.is_subset(&before);
        if !before.is_empty() || !after.is_empty() {
            match writer {
                Writer::Client if narrowed => self.found(at, "a type is not taken any more"),
                Writer::Gateway if widened => self.found(at, "it can be of another type"),
                Writer::Client | Writer::Gateway => {}
            }
        }
        if !words(&old["enum"]).is_subset(&words(&new["enum"])) && !new["enum"].is_null() {
            self.found(at, "a word is gone");
        }
        if writer == Writer::Client && old["enum"].is_null() && !new["enum"].is_null() {
            self.found(at, "only some words are taken now");
        }
        if old["const"] != new["const"] {
            self.found(at, "the one word is another");
        }
    }

    /// What a client writes may be limited no further.
    fn limits(&mut self, at: &str, old: &Value, new: &Value, writer: Writer) {
        if writer == Writer::Gateway {
            return;
        }
        for (name, grows) in [
            ("maximum", true),
            ("maxLength", true),
            ("maxItems", true),
            ("maxProperties", true),
            ("minimum", false),
            ("minLength", false),
            ("minItems", false),
            ("minProperties", false),
        ] {
            let tighter = match (old[name].as_f64(), new[name].as_f64()) {
                (Some(old), Some(new)) if grows => new < old,
                (Some(old), Some(new)) => new > old,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if tighter {
                self.found(at, &format!("{name} is tighter"));
            }
        }
        for name in ["pattern", "format"] {
            if !new[name].is_null() && old[name] != new[name] {
                self.found(at, &format!("{name} is another"));
            }
        }
    }

    fn object(&mut self, at: &str, old: &'a Value, new: &'a Value, writer: Writer, depth: usize) {
        for (name, before) in members(&old["properties"]) {
            let at = format!("{at}/{name}");
            let after = &new["properties"][name];
            if after.is_null() {
                self.found(&at, "the member is gone");
            } else {
                self.schema(&at, before, after, writer, depth + 1);
            }
        }
        let (before, after) = (words(&old["required"]), words(&new["required"]));
        let (wrong, what) = match writer {
            Writer::Client => (after.difference(&before), "is required now"),
            Writer::Gateway => (before.difference(&after), "may be missing"),
        };
        for name in wrong {
            self.found(at, &format!("the member {name} {what}"));
        }
    }

    /// Every alternative there was must still be one.
    fn alternatives(
        &mut self,
        at: &str,
        old: &'a Value,
        new: &'a Value,
        writer: Writer,
        depth: usize,
    ) {
        for kind in ["oneOf", "anyOf", "allOf"] {
            let before = old[kind].as_array().into_iter().flatten();
            let after: Vec<&Value> = new[kind].as_array().into_iter().flatten().collect();
            for (index, one) in before.enumerate() {
                let fits = after.iter().any(|other| {
                    let mut inner = Comparison {
                        old: self.old,
                        new: self.new,
                        breaks: Vec::new(),
                    };
                    inner.schema(at, one, other, writer, depth + 1);
                    inner.breaks.is_empty()
                });
                if !fits {
                    self.found(
                        at,
                        &format!("an alternative is gone or another: {kind} {index}"),
                    );
                }
            }
            if kind == "oneOf"
                && old[kind].is_null()
                && !after.is_empty()
                && old["type"].is_string()
            {
                self.found(at, "it is one of several now");
            }
        }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A word, or every word of a list.
fn words(value: &Value) -> BTreeSet<String> {
    let one = value.as_str().into_iter();
    let many = value.as_array().into_iter().flatten();
    one.map(str::to_owned)
        .chain(many.map(|word| word.as_str().unwrap_or("null").to_owned()))
        .collect()
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            resolve(
                document,
                target.unwrap_or_else(|| panic!("{reference} leads nowhere")),
            )
        }
        None => value,
    }
}

#[test]
fn no_client_of_the_last_release_is_broken() {
    let breaks = breaks(&RELEASED, &DOCUMENT);
    assert!(breaks.is_empty(), "{breaks:#?}");
}

/// A change to the contract: which value, and what it becomes; `null` takes it away.
type Change = (&'static str, &'static str);

/// What a change to the released contract breaks.
fn after((pointer, to): Change) -> Vec<String> {
    let mut new = RELEASED.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = new.pointer_mut(parent);
    let parent = parent.unwrap_or_else(|| panic!("{pointer} is not there"));
    let name = name.replace("~1", "/");
    match (parent, serde_json::from_str(to).unwrap()) {
        (Value::Object(members), Value::Null) => drop(members.remove(&name).unwrap()),
        (Value::Object(members), to) => drop(members.insert(name, to)),
        (Value::Array(items), Value::Null) => drop(items.remove(name.parse().unwrap())),
        (Value::Array(items), to) => items.push(to),
        _ => panic!("{pointer} is no place"),
    }
    breaks(&RELEASED, &new)
}

#[test]
fn a_change_that_breaks_a_client_is_found() {
    const NEW: &str = "/components/schemas/NewMessage";
    const MESSAGE: &str = "/components/schemas/Message";
    let sent = format!("{NEW}/properties/ttl");
    let told = format!("{MESSAGE}/properties/id");
    let cases = [
        ("/paths/~1messages".to_owned(), "null"),
        ("/paths/~1messages/post".to_owned(), "null"),
        ("/paths/~1messages/post/operationId".to_owned(), "\"send\""),
        ("/paths/~1messages/post/responses/202".to_owned(), "null"),
        ("/paths/~1livez/get/security".to_owned(), "null"),
        ("/components/parameters/Limit/required".to_owned(), "true"),
        ("/components/parameters/Limit/name".to_owned(), "\"size\""),
        (
            "/components/parameters/Limit/schema/maximum".to_owned(),
            "100",
        ),
        ("/components/headers/Location/required".to_owned(), "false"),
        (sent.clone(), "null"),
        (format!("{sent}/type"), "\"integer\""),
        (format!("{sent}/minimum"), "60"),
        (format!("{NEW}/required/-"), "\"ttl\""),
        (format!("{NEW}/properties/from/maxLength"), "10"),
        (format!("{NEW}/properties/bodyEncoding/oneOf/1"), "null"),
        ("/components/schemas/BodyEncoding/enum/0".to_owned(), "null"),
        (told.clone(), "null"),
        (format!("{MESSAGE}/required/0"), "null"),
        (
            format!("{MESSAGE}/properties/ttl/type"),
            "[\"integer\", \"null\"]",
        ),
        (
            "/components/schemas/SendingEvent/properties/type/const".to_owned(),
            "\"begun\"",
        ),
        ("/components/schemas/Event/oneOf/0".to_owned(), "null"),
    ];
    for (pointer, to) in cases {
        let pointer: &'static str = pointer.leak();
        assert!(!after((pointer, to)).is_empty(), "{pointer} becomes {to}");
    }
}

#[test]
fn a_change_that_breaks_no_client_is_none() {
    for change in [
        ("/paths/~1more", "{}"),
        (
            "/paths/~1messages/put",
            "{\"operationId\": \"x\", \"responses\": {}}",
        ),
        (
            "/components/schemas/NewMessage/properties/priority",
            "{\"type\": \"string\"}",
        ),
        ("/components/schemas/NewMessage/properties/ttl/minimum", "0"),
        (
            "/components/schemas/Message/properties/priority",
            "{\"type\": \"string\"}",
        ),
        ("/components/schemas/Message/required/-", "\"waitingFor\""),
        ("/components/schemas/EventType/enum/-", "\"agentUp\""),
        (
            "/components/schemas/Event/oneOf/-",
            "{\"type\": \"object\"}",
        ),
        ("/components/schemas/Message/description", "\"another\""),
        ("/components/parameters/Limit/schema/maximum", "1000"),
    ] {
        assert_eq!(after(change), Vec::<String>::new(), "{change:?}");
    }
}
