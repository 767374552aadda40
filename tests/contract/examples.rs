//! Every example is what its schema says, and everything has one.

use serde_json::Value;
use serde_json::json;

use crate::document::DOCUMENT;
use crate::document::Operation;
use crate::document::resolve;
use crate::document::violations;
use crate::document::walk;

/// Every example of this media type: its name and value.
fn examples_of(media: &'static Value) -> Vec<(&'static str, &'static Value)> {
    let many = media["examples"].as_object().into_iter().flatten();
    many.map(|(name, example)| (name.as_str(), &resolve(example)["value"]))
        .collect()
}

/// Every media type of a call, of its body and of its answers, with a name for it.
fn media_of(call: &Operation) -> Vec<(String, &'static Value)> {
    let mut all = Vec::new();
    let contents = std::iter::once(("request".to_owned(), &call.value["requestBody"]["content"]))
        .chain(
            call.responses()
                .into_iter()
                .map(|(status, response)| (status.to_string(), &response["content"])),
        );
    for (name, content) in contents {
        for (kind, media) in content.as_object().into_iter().flatten() {
            all.push((format!("{} {name} {kind}", call.id()), media));
        }
    }
    for media in call.streams() {
        all.push((format!("{} stream", call.id()), media));
    }
    all
}

#[test]
fn every_example_is_what_its_schema_says() {
    let mut checked = 0;
    for call in Operation::all() {
        for (place, media) in media_of(&call) {
            for (name, value) in examples_of(media) {
                let wrong = violations(&media["schema"], value);
                assert!(wrong.is_empty(), "{place} {name}: {wrong:#?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn everything_that_is_sent_or_answered_has_an_example() {
    for call in Operation::all() {
        for (place, media) in media_of(&call) {
            assert!(!examples_of(media).is_empty(), "{place} has no example");
        }
        for parameter in call.parameters() {
            assert!(
                parameter.get("example").is_some(),
                "{} has no example of {}",
                call.id(),
                parameter["name"]
            );
        }
    }
}

#[test]
fn every_example_of_a_parameter_or_header_is_what_its_schema_says() {
    let components = &DOCUMENT["components"];
    for kind in ["parameters", "headers"] {
        for (name, value) in components[kind].as_object().unwrap() {
            let wrong = violations(&value["schema"], &value["example"]);
            assert!(wrong.is_empty(), "{kind} {name}: {wrong:#?}");
        }
    }
}

#[test]
fn every_event_in_the_example_of_a_stream_is_an_event() {
    let event = json!({"$ref": "#/components/schemas/Event"});
    let gap = json!({"$ref": "#/components/schemas/Gap"});
    let frame = json!({"$ref": "#/components/schemas/SipFrame"});
    let count = json!({"type": "integer", "minimum": 1});
    let missed = json!({"type": "object", "required": ["frames"], "properties": {"frames": count}});
    let mut checked = 0;
    for call in Operation::all() {
        for media in call.streams() {
            let place = call.id();
            for (name, value) in examples_of(media) {
                let text = value.as_str().unwrap();
                assert!(text.starts_with("retry: 3000\n\n") && text.ends_with("\n\n"));
                for block in text.split("\n\n") {
                    let field = |field: &str| {
                        let mut lines = block.lines();
                        lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
                    };
                    let Some(data) = field("data") else { continue };
                    let data: Value = serde_json::from_str(data).unwrap();
                    let schema = match field("event").unwrap() {
                        "gap" => &gap,
                        "frame" => &frame,
                        "missed" => &missed,
                        _ => &event,
                    };
                    let wrong = violations(schema, &data);
                    assert!(wrong.is_empty(), "{place} {name}: {wrong:#?}");
                    if *schema == event {
                        assert_eq!(data["id"], field("id").unwrap(), "{place} {name}");
                        assert_eq!(data["type"], field("event").unwrap(), "{place} {name}");
                    }
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 0);
}

#[test]
fn everything_that_is_defined_is_used_and_the_other_way_round() {
    let mut used = std::collections::BTreeSet::new();
    walk(&mut |at, members| {
        if let Some(Value::String(reference)) = members.get("$ref") {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(DOCUMENT.pointer(pointer).is_some(), "{at}: {reference}");
            used.insert(pointer.to_owned());
        }
    });
    let components = DOCUMENT["components"].as_object().unwrap();
    for (kind, all) in components {
        for name in all.as_object().unwrap().keys() {
            let pointer = format!("/components/{kind}/{name}");
            let named_otherwise = kind == "securitySchemes";
            assert!(named_otherwise || used.contains(&pointer), "{pointer}");
        }
    }
}

#[test]
fn every_call_and_every_parameter_says_what_it_is() {
    let tags: Vec<&Value> = DOCUMENT["tags"].as_array().unwrap().iter().collect();
    for call in Operation::all() {
        assert!(call.value["summary"].is_string(), "{}", call.id());
        for tag in call.value["tags"].as_array().unwrap() {
            assert!(tags.iter().any(|known| known["name"] == *tag), "{tag}");
        }
        for parameter in call.parameters() {
            assert!(
                parameter["description"].is_string(),
                "{}",
                parameter["name"]
            );
        }
    }
}
