//! A client's JSON, read value by value.
//!
//! Everything that reads a request's body does it here. The document is looked through once, so
//! that it is JSON as a whole; from then on values are pieces of its text, and only values that are
//! asked for are copied. Objects and lists are handed on item by item, so that a reader stops at
//! its own bound. Mistakes do not end the reading: they are collected, with their places.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::error::ApiError;
use crate::message::{Place, Violations};

/// How near a name must be to one that exists to be taken for it: 1 is the same.
const NEAR: f64 = 0.8;

/// The largest whole number up to which `f64` has every one.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The deepest JSON that is read. No request has more than five levels.
const MAX_DEPTH: usize = 32;

/// A string with half of a surrogate pair is JSON, but no text (RFC 8259 §8.2).
const NO_TEXT: &str = "a \\u escape in it is half of a surrogate pair";

/// A JSON value that was not read yet, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    json: &'a RawValue,
    place: Place<'a>,
}

/// The members that an object may have.
pub(super) struct Shape {
    /// What the object is, with its article: `a message`.
    pub(super) noun: &'static str,
    /// Every member; at most 32.
    pub(super) members: &'static [&'static str],
    /// Those that must be there.
    pub(super) required: &'static [&'static str],
    /// Whether `null` is the same as leaving a member out. Else its reader decides.
    pub(super) null_is_absent: bool,
}

/// The types of JSON (RFC 8259 §3).
#[derive(Clone, Copy, Eq, PartialEq)]
enum Type {
    Null,
    Boolean,
    Number,
    String,
    List,
    Object,
}

impl<'a> Value<'a> {
    /// The whole body of a request, if it is one JSON document.
    pub(super) fn document(bytes: &'a [u8]) -> Result<Self, ApiError> {
        let malformed = |error: &dyn fmt::Display| {
            ApiError::Malformed(format!("the body is not JSON: {error}"))
        };
        let text = std::str::from_utf8(bytes).map_err(|error| malformed(&error))?;
        if text.trim_ascii().is_empty() {
            let empty = "the body is empty; a JSON document is expected";
            return Err(ApiError::Malformed(empty.to_owned()));
        }
        if is_too_deep(text) {
            return Err(malformed(&format_args!("deeper than {MAX_DEPTH} levels")));
        }
        let json = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        let place = Place::Document;
        Ok(Self { json, place })
    }

    pub(super) fn place(self) -> Place<'a> {
        self.place
    }

    pub(super) fn is_null(self) -> bool {
        self.kind() == Type::Null
    }

    pub(super) fn is_list(self) -> bool {
        self.kind() == Type::List
    }

    /// A string.
    pub(super) fn text(self, violations: &mut Violations) -> Option<Cow<'a, str>> {
        if self.kind() != Type::String {
            return self.mistake("a string", violations);
        }
        match serde_json::from_str(self.json.get()) {
            Ok(Text(text)) => Some(text),
            Err(_) => {
                violations.add(self.place, NO_TEXT);
                None
            }
        }
    }

    /// A string, copied.
    pub(super) fn string(self, violations: &mut Violations) -> Option<String> {
        self.text(violations).map(Cow::into_owned)
    }

    /// A string that is an address or a name: it has no control characters. A database may refuse
    /// them, and a reader does not see them.
    pub(super) fn name(self, violations: &mut Violations) -> Option<String> {
        let text = self.text(violations)?;
        if text.chars().any(char::is_control) {
            violations.add(self.place, "control characters are not accepted here");
            return None;
        }
        Some(text.into_owned())
    }

    /// A whole number from 0. One with a fraction of nothing, as some languages write it, is one.
    fn whole_number(self, expected: &str, violations: &mut Violations) -> Option<u64> {
        let text = self.json.get();
        if self.kind() != Type::Number {
            return self.mistake(expected, violations);
        }
        let number = text.parse().ok().or_else(|| {
            let number: f64 = text.parse().ok()?;
            let is_whole = number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number);
            // Within what both types have.
            is_whole.then_some(number as u64)
        });
        if number.is_none() {
            let detail = format_args!("{expected} from 0 is expected");
            violations.add(self.place, detail);
        }
        number
    }

    /// A duration: whole seconds that `check` takes.
    pub(super) fn seconds_as<T, E: fmt::Display>(
        self,
        violations: &mut Violations,
        check: impl FnOnce(u64) -> Result<T, E>,
    ) -> Option<T> {
        let seconds = self.whole_number("a whole number of seconds", violations)?;
        self.checked(check(seconds), violations)
    }

    /// A string that `parse` takes.
    pub(super) fn text_as<T, E: fmt::Display>(
        self,
        violations: &mut Violations,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(violations)?;
        self.checked(parse(&text), violations)
    }

    /// A whole number that `check` takes.
    pub(super) fn number_as<T, E: fmt::Display>(
        self,
        violations: &mut Violations,
        check: impl FnOnce(u64) -> Result<T, E>,
    ) -> Option<T> {
        let number = self.whole_number("a whole number", violations)?;
        self.checked(check(number), violations)
    }

    fn checked<T, E: fmt::Display>(
        self,
        result: Result<T, E>,
        violations: &mut Violations,
    ) -> Option<T> {
        result
            .map_err(|error| violations.add(self.place, error))
            .ok()
    }

    /// `true` or `false`.
    pub(super) fn boolean(self, violations: &mut Violations) -> Option<bool> {
        match self.kind() {
            Type::Boolean => Some(self.json.get() == "true"),
            Type::Null | Type::Number | Type::String | Type::List | Type::Object => {
                self.mistake("true or false", violations)
            }
        }
    }

    /// Reads an object of this shape. `read` is called for each member that is there, once. False
    /// when it is no object.
    pub(super) fn object(
        self,
        shape: &Shape,
        violations: &mut Violations,
        mut read: impl FnMut(&str, Value<'_>, &mut Violations),
    ) -> bool {
        let mut seen = 0_u32;
        let is_object = self.members("an object", violations, |name, value, violations| {
            let known = shape.members.iter().position(|known| *known == name);
            match known.map(|at| 1 << at) {
                None => violations.add(value.place, shape.unknown(name)),
                Some(bit) if seen & bit != 0 => violations.add(value.place, "given twice"),
                Some(bit) => {
                    seen |= bit;
                    let is_absent =
                        shape.null_is_absent && value.is_null() && !shape.required.contains(&name);
                    if !is_absent {
                        read(name, value, violations);
                    }
                }
            }
            ControlFlow::Continue(())
        });
        if !is_object {
            return false;
        }
        for (at, name) in shape.members.iter().enumerate() {
            if seen & (1 << at) == 0 && shape.required.contains(name) {
                violations.add(self.place.member(name), "required");
            }
        }
        true
    }

    /// Hands on the members of an object one by one, until `each` breaks or there are more mistakes
    /// than are reported. False when it is no object.
    pub(super) fn members(
        self,
        expected: &str,
        violations: &mut Violations,
        mut each: impl FnMut(&str, Value<'_>, &mut Violations) -> ControlFlow<()>,
    ) -> bool {
        if self.kind() != Type::Object {
            self.mistake::<()>(expected, violations);
            return false;
        }
        let mut has_ended = false;
        let read =
            Deserializer::from_str(self.json.get()).deserialize_map(Members(|name: &str, json| {
                let place = self.place.member(name);
                let flow = each(name, Value { json, place }, violations);
                has_ended = flow.is_break() || violations.has_more();
                !has_ended
            }));
        if read.is_err() && !has_ended {
            violations.add(self.place, format_args!("a name: {NO_TEXT}"));
        }
        true
    }

    /// Hands on the items of a list one by one, until `each` breaks or there are more mistakes than
    /// are reported. False when it is no list.
    pub(super) fn items(
        self,
        expected: &str,
        violations: &mut Violations,
        mut each: impl FnMut(usize, Value<'_>, &mut Violations) -> ControlFlow<()>,
    ) -> bool {
        if self.kind() != Type::List {
            self.mistake::<()>(expected, violations);
            return false;
        }
        // It ends early only where `each` breaks: the list was looked through before.
        let _ = Deserializer::from_str(self.json.get()).deserialize_seq(Items(|index, json| {
            let place = self.place.item(index);
            let flow = each(index, Value { json, place }, violations);
            flow.is_continue() && !violations.has_more()
        }));
        true
    }

    /// Tells that another type is expected.
    pub(super) fn mistake<T>(self, expected: &str, violations: &mut Violations) -> Option<T> {
        let found = self.kind().noun();
        violations.add(
            self.place,
            format_args!("{expected} is expected, not {found}"),
        );
        None
    }

    fn kind(self) -> Type {
        match self.json.get().as_bytes().first() {
            Some(b'{') => Type::Object,
            Some(b'[') => Type::List,
            Some(b'"') => Type::String,
            Some(b't' | b'f') => Type::Boolean,
            Some(b'n') => Type::Null,
            // It is JSON, so nothing else is left.
            Some(_) | None => Type::Number,
        }
    }
}

/// Each level takes memory while it is looked through, at every reading of what it is within.
fn is_too_deep(text: &str) -> bool {
    let opens = |byte: u8| matches!(byte, b'[' | b'{');
    // As a rule there are so few brackets that it does not matter where they stand.
    if text.bytes().filter(|byte| opens(*byte)).count() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

impl Type {
    fn noun(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "true or false",
            Self::Number => "a number",
            Self::String => "a string",
            Self::List => "an array",
            Self::Object => "an object",
        }
    }
}

impl Shape {
    fn unknown(&self, name: &str) -> String {
        let noun = self.noun;
        // Longer than any that exists, but not so long that comparing it costs something.
        let end = name.char_indices().nth(Place::MAX_NAME);
        let name = end.map_or(name, |(end, _)| name.get(..end).unwrap_or_default());
        let near = self
            .members
            .iter()
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .filter(|(nearness, _)| *nearness > NEAR);
        match near.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
            Some((_, known)) => format!("{noun} has no such member; is it `{known}`?"),
            None => format!("{noun} has no such member"),
        }
    }
}

/// Text of a JSON string, copied only where it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Calls a function with each member until it says no.
struct Members<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue) -> bool> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Text(name), json)) = map.next_entry()? {
            if !self.0(&name, json) {
                break;
            }
        }
        Ok(())
    }
}

/// Calls a function with each item until it says no.
struct Items<F>(F);

impl<'de, F: FnMut(usize, &'de RawValue) -> bool> Visitor<'de> for Items<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(json) = seq.next_element()? {
            if !self.0(index, json) {
                break;
            }
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        noun: "a thing",
        members: &["name", "size", "isRound", "parts"],
        required: &["name"],
        null_is_absent: true,
    };

    /// What was read, and the pointers and details of what could not be.
    fn read(text: &str) -> (Vec<String>, Vec<(String, String)>) {
        let mut violations = Violations::default();
        let mut found = Vec::new();
        let document = Value::document(text.as_bytes()).unwrap();
        document.object(&SHAPE, &mut violations, |name, value, violations| {
            let read = match name {
                "name" => value.name(violations),
                "size" => value
                    .whole_number("a whole number", violations)
                    .map(|size| size.to_string()),
                "isRound" => value.boolean(violations).map(|round| round.to_string()),
                _ => {
                    value.items("an array of strings", violations, |_, value, violations| {
                        found.extend(value.string(violations));
                        ControlFlow::Continue(())
                    });
                    None
                }
            };
            found.extend(read);
        });
        let told = violations.told().iter();
        let told = told.map(|one| (one.pointer.clone(), one.detail.clone()));
        (found, told.collect())
    }

    fn mistakes(text: &str) -> Vec<(String, String)> {
        read(text).1
    }

    fn pointers(text: &str) -> Vec<String> {
        let mistakes = mistakes(text).into_iter();
        mistakes.map(|(pointer, _)| pointer).collect()
    }

    #[test]
    fn members_are_read_by_their_types() {
        let text = r#" {"name": "a\u0062", "size": 60.0, "isRound": true, "parts": ["x", "y"]} "#;
        let (found, mistakes) = read(text);
        assert_eq!(found, ["ab", "60", "true", "x", "y"]);
        assert_eq!(mistakes, []);
        let (found, mistakes) = read(r#"{"name": "a", "size": null, "parts": null}"#);
        assert_eq!((found, mistakes), (vec!["a".to_owned()], Vec::new()));
    }

    #[test]
    fn every_mistake_is_told_at_once_in_the_words_of_json() {
        let text =
            r#"{"size": "1", "size": 2, "isRound": 0, "parts": ["x", {}], "nmae": 1, "x/y": 1}"#;
        let told = mistakes(text);
        let expected = [
            ("/size", "a whole number is expected, not a string"),
            ("/size", "given twice"),
            ("/isRound", "true or false is expected, not a number"),
            ("/parts/1", "a string is expected, not an object"),
            ("/nmae", "a thing has no such member; is it `name`?"),
            ("/x~1y", "a thing has no such member"),
            ("/name", "required"),
        ];
        let expected = expected.map(|(pointer, detail)| (pointer.to_owned(), detail.to_owned()));
        assert_eq!(told, expected);
    }

    #[test]
    fn only_objects_are_objects() {
        for (text, found) in [
            (r#"["a", 1, true, []]"#, "an array"),
            ("[]", "an array"),
            ("null", "null"),
            ("3", "a number"),
            ("\"x\"", "a string"),
            ("false", "true or false"),
        ] {
            let detail = format!("an object is expected, not {found}");
            assert_eq!(mistakes(text), [(String::new(), detail)], "{text}");
        }
    }

    #[test]
    fn a_number_is_whole_and_exact() {
        let read_size = |size: &str| read(&format!(r#"{{"name": "a", "size": {size}}}"#));
        for (size, number) in [
            ("0", "0"),
            ("-0", "0"),
            ("6e1", "60"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(read_size(size).0, ["a", number], "{size}");
        }
        for size in ["-1", "1.5", "1e999", "1e17", "18446744073709551616", "true"] {
            assert_eq!(read_size(size).1[0].0, "/size", "{size}");
        }
    }

    #[test]
    fn a_name_has_no_control_characters() {
        for name in ["\\u0000", "a\\nb", "\\t", "\\u007f", "\\u009b", "\u{85}"] {
            let text = format!(r#"{{"name": "{name}"}}"#);
            assert_eq!(pointers(&text), ["/name"], "{name}");
        }
        // Where it is no name, it is a text like any other.
        let (found, _) = read(r#"{"name": "a", "parts": ["\u0000\n"]}"#);
        assert_eq!(found, ["a", "\0\n"]);
    }

    #[test]
    fn half_a_surrogate_pair_is_told_with_its_place() {
        assert_eq!(pointers(r#"{"name": "\ud800"}"#), ["/name"]);
        assert_eq!(pointers(r#"{"name": "a", "\ud800": 1}"#), [""]);
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in [
            "",
            "{",
            "nonsense",
            r#"{"name": "a"} x"#,
            "\u{0}",
            "{\"name\": \"\u{0}\"}",
            "{'name': 1}",
            "[01]",
        ] {
            let read = Value::document(text.as_bytes());
            assert!(matches!(read, Err(ApiError::Malformed(_))), "{text}");
        }
        let latin = Value::document(b"{\"name\": \"\xe9\"}");
        assert!(matches!(latin, Err(ApiError::Malformed(_))));
    }

    #[test]
    fn a_document_is_read_to_its_deepest_level_or_refused() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"name": "a", "parts": {open}{close}}}"#)
        };
        assert_eq!(pointers(&nested(MAX_DEPTH - 1)), ["/parts/0"]);
        for levels in [MAX_DEPTH, 100_000] {
            let text = nested(levels);
            let read = Value::document(text.as_bytes());
            assert!(matches!(read, Err(ApiError::Malformed(_))), "{levels}");
        }
    }

    #[test]
    fn brackets_in_strings_are_no_levels() {
        let text = format!(r#"{{"name": "\"{}\\"}}"#, "[".repeat(1_000));
        assert_eq!(read(&text).0, [format!("\"{}\\", "[".repeat(1_000))]);
        let flat = format!(
            r#"{{"name": "a", "parts": [{}]}}"#,
            vec!["[]"; 50].join(",")
        );
        assert_eq!(pointers(&flat).len(), 50);
    }

    #[test]
    fn the_reading_ends_when_there_are_more_mistakes_than_are_told() {
        let members: Vec<String> = (0..5_000).map(|n| format!("\"x{n}\": 1")).collect();
        assert_eq!(
            pointers(&format!("{{{}}}", members.join(","))).len(),
            Violations::MAX
        );
        let parts = vec!["1"; 5_000].join(",");
        let text = format!(r#"{{"name": "a", "parts": [{parts}]}}"#);
        assert_eq!(pointers(&text).len(), Violations::MAX);
    }
}
