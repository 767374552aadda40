//! The members of a message, read one by one: for a message that is not one, to tell every mistake.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::value::RawValue;

use super::error::ApiError;
use super::extract;
use super::extract::pointer_token;
use super::new_message::ExtraHeaders;
use super::new_message::Pairs;
use super::new_message::Reading;
use super::new_message::Whole;
use crate::message::NewMessage;
use crate::message::Violation;

/// What a message may have.
const NAMES: [&str; 12] = [
    "target",
    "body",
    "bodyEncoding",
    "contentType",
    "extraHeaders",
    "from",
    "ttl",
    "sendAt",
    "attempts",
    "onUnknown",
    "webhook",
    "metadata",
];

/// More mistakes are not told.
pub(super) const MAX_MISTAKES: usize = 100;

/// How near a name must be to one that exists to be taken for it: 1 is the same.
const NEAR: f64 = 0.8;

/// Reads what can be read of JSON that is no message; `first` is told when it is no object at all.
pub(super) fn read(bytes: &[u8], at: &str, first: Vec<Violation>) -> Reading {
    let Ok(object) = serde_json::from_slice::<Object<'_>>(bytes) else {
        return Reading {
            new: NewMessage::default(),
            mistakes: first,
        };
    };
    let mut members = Members {
        object: object.0,
        at,
        mistakes: Vec::new(),
    };
    members.check_names();
    let new = NewMessage {
        target: members.required("target"),
        body: members.required("body"),
        body_encoding: members.optional("bodyEncoding"),
        content_type: members.optional("contentType"),
        extra_headers: members
            .optional("extraHeaders")
            .map(|ExtraHeaders(headers)| headers)
            .unwrap_or_default(),
        from: members.optional("from"),
        ttl: members.optional("ttl").map(|Whole(number)| number),
        send_at: members.optional("sendAt"),
        attempts: members.optional("attempts").map(|Whole(number)| number),
        on_unknown: members.optional("onUnknown"),
        webhook: members.optional("webhook"),
        metadata: members
            .optional("metadata")
            .map(|Pairs(pairs)| pairs)
            .unwrap_or_default(),
    };
    // One that this reading does not find is told all the same.
    let mistakes = match members.mistakes.is_empty() {
        true => first,
        false => members.mistakes,
    };
    Reading { new, mistakes }
}

struct Members<'a> {
    object: Vec<(String, &'a RawValue)>,
    at: &'a str,
    mistakes: Vec<Violation>,
}

impl<'a> Members<'a> {
    /// Names that a message does not have, and those given twice.
    fn check_names(&mut self) {
        let mut known = BTreeSet::new();
        let mut mistakes: Vec<(String, String)> = Vec::new();
        for (name, _) in &self.object {
            let is_new = known.insert(name.as_str());
            let detail = match (NAMES.contains(&name.as_str()), is_new) {
                (true, true) | (false, false) => continue,
                (true, false) => "given twice".to_owned(),
                (false, true) => unknown(name),
            };
            mistakes.push((name.clone(), detail));
            if mistakes.len() >= MAX_MISTAKES {
                break;
            }
        }
        for (name, detail) in mistakes {
            self.add(&name, detail);
        }
    }

    fn required<T: Deserialize<'a> + Default>(&mut self, name: &str) -> T {
        match self.value(name) {
            Some(raw) => self.read(name, raw).unwrap_or_default(),
            None => {
                self.add(name, "required");
                T::default()
            }
        }
    }

    /// `null` stands for leaving it out.
    fn optional<T: Deserialize<'a>>(&mut self, name: &str) -> Option<T> {
        let raw = self.value(name)?;
        self.read::<Option<T>>(name, raw).flatten()
    }

    fn value(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.object.iter().find(|(known, _)| known == name);
        found.map(|(_, raw)| *raw)
    }

    fn read<T: Deserialize<'a>>(&mut self, name: &str, raw: &'a RawValue) -> Option<T> {
        let at = format!("{}{}", self.at, pointer_token(name));
        match extract::json::<T>(raw.get().as_bytes(), &at) {
            Ok(value) => Some(value),
            Err(ApiError::Invalid(found)) => {
                self.mistakes.extend(found);
                None
            }
            // Such as half of a surrogate pair, which only reading a string finds.
            Err(other) => {
                self.add(name, other.to_string());
                None
            }
        }
    }

    fn add(&mut self, name: &str, detail: impl Into<String>) {
        self.mistakes.push(Violation {
            pointer: format!("{}{}", self.at, pointer_token(name)),
            detail: detail.into(),
        });
    }
}

fn unknown(name: &str) -> String {
    let nearest = NAMES
        .iter()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((near, known)) if near > NEAR => {
            format!("a message has no such member; is it `{known}`?")
        }
        Some(_) | None => "a message has no such member".to_owned(),
    }
}

/// Every member of an object, in its order, with those given twice.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EveryMember)
    }
}

struct EveryMember;

impl<'de> Visitor<'de> for EveryMember {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::super::new_message::read;

    fn pointers(text: &str) -> Vec<String> {
        let reading = read(text.as_bytes(), "/messages/7").unwrap();
        let mistakes = reading.mistakes.into_iter();
        mistakes.map(|mistake| mistake.pointer).collect()
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let text = r#"{"body": 3, "tll": 1, "ttl": "1", "ttl": 2, "metadata": {"a": 1}, "from": null,
            "extraHeaders": ["a: b", {}], "x/y": 1}"#;
        let found = pointers(text);
        let expected = [
            "/messages/7/tll",
            "/messages/7/ttl",
            "/messages/7/x~1y",
            "/messages/7/target",
            "/messages/7/body",
            "/messages/7/extraHeaders/1",
            "/messages/7/ttl",
            "/messages/7/metadata/a",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_can_be_read_is_there_beside_the_mistakes() {
        let reading = read(br#"{"target": "bob", "body": 3, "ttl": 60.0}"#, "").unwrap();
        assert_eq!(reading.new.target, "bob");
        assert_eq!(reading.new.ttl, Some(60));
        assert_eq!(reading.mistakes.len(), 1);
    }

    #[test]
    fn what_is_no_object_is_told_as_a_whole() {
        for text in ["[]", "null", "3", "\"x\""] {
            assert_eq!(pointers(text), ["/messages/7"], "{text}");
        }
    }

    #[test]
    fn a_name_is_given_once_in_metadata_too() {
        let text = r#"{"target": "a", "body": "", "metadata": {"a": "1", "a": "2"}}"#;
        assert_eq!(pointers(text), ["/messages/7/metadata/a"]);
    }

    #[test]
    fn a_name_that_is_nearly_one_is_asked_about() {
        let reading = read(br#"{"target": "a", "body": "", "content_type": "a/b"}"#, "").unwrap();
        assert!(reading.mistakes[0].detail.contains("`contentType`"));
    }

    #[test]
    fn no_more_is_told_than_anybody_reads() {
        let members: Vec<String> = (0..5_000).map(|n| format!("\"x{n}\": 1")).collect();
        let text = format!(
            "{{\"target\": \"a\", \"body\": \"\", {}}}",
            members.join(",")
        );
        assert_eq!(pointers(&text).len(), super::MAX_MISTAKES);
    }
}
