//! A message as a client writes it in JSON, and everything that keeps it from being one.

use std::fmt;

use serde::Deserialize;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

use super::error::ApiError;
use super::extract;
use super::extract::pointer_token;
use super::members;
use crate::message::HeaderLine;
use crate::message::Metadata;
use crate::message::NewHeader;
use crate::message::NewMessage;
use crate::message::Violation;

/// A message that was read, as far as it could be.
#[derive(Debug)]
pub(super) struct Reading {
    /// What was read; something harmless stands in for what was not.
    pub(super) new: NewMessage,
    /// What could not be read, with pointers into the whole request.
    pub(super) mistakes: Vec<Violation>,
}

/// Reads a message; `at` is its pointer within the request. JSON of another shape is no error yet,
/// so that its mistakes are told together with those against the rules.
pub(super) fn read(bytes: &[u8], at: &str) -> Result<Reading, ApiError> {
    match extract::json::<NewMessageJson>(bytes, at) {
        Ok(new) => Ok(Reading {
            new: new.into(),
            mistakes: Vec::new(),
        }),
        // Only now member by member, which finds every mistake and not the first alone.
        Err(ApiError::Invalid(first)) => Ok(members::read(bytes, at, first)),
        Err(other) => Err(other),
    }
}

/// Whether `pointer` leads to the member of a message that `mistake` leads into, or is about the
/// whole message, which stands at `at`.
pub(super) fn is_within(pointer: &str, mistake: &str, at: &str) -> bool {
    let member = |pointer: &str| {
        let rest = pointer.strip_prefix(at)?.strip_prefix('/')?;
        Some(rest.split('/').next().unwrap_or_default().to_owned())
    };
    match member(mistake) {
        Some(wrong) => member(pointer) == Some(wrong),
        None => true,
    }
}

/// The members of `POST /messages`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewMessageJson {
    target: String,
    body: String,
    #[serde(default)]
    body_encoding: Option<String>,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    extra_headers: Option<ExtraHeaders>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    ttl: Option<Whole>,
    #[serde(default)]
    send_at: Option<String>,
    #[serde(default)]
    attempts: Option<Whole>,
    #[serde(default)]
    on_unknown: Option<String>,
    #[serde(default)]
    webhook: Option<String>,
    #[serde(default)]
    metadata: Option<Pairs>,
}

impl From<NewMessageJson> for NewMessage {
    fn from(json: NewMessageJson) -> Self {
        Self {
            target: json.target,
            body: json.body,
            body_encoding: json.body_encoding,
            content_type: json.content_type,
            extra_headers: json
                .extra_headers
                .map(|headers| headers.0)
                .unwrap_or_default(),
            from: json.from,
            ttl: json.ttl.map(|Whole(number)| number),
            send_at: json.send_at,
            attempts: json.attempts.map(|Whole(number)| number),
            on_unknown: json.on_unknown,
            webhook: json.webhook,
            metadata: json.metadata.map(|Pairs(pairs)| pairs).unwrap_or_default(),
        }
    }
}

/// A whole number from 0. One with a fraction of nothing, as some languages write it, is one too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole(pub(super) u64);

/// The largest whole number up to which `f64` has every one.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeNumber)
    }
}

struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Whole(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        if value.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&value) {
            // Within what both types have.
            return Ok(Whole(value as u64));
        }
        Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
    }
}

/// Metadata, each name once.
#[derive(Debug)]
pub(super) struct Pairs(pub(super) Metadata);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamesOnce)
    }
}

struct NamesOnce;

impl<'de> Visitor<'de> for NamesOnce {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Metadata::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if pairs.contains_key(&name) {
                let words = format_args!("duplicate field `{name}`");
                return Err(serde::de::Error::custom(words));
            }
            pairs.insert(name, value);
        }
        Ok(Pairs(pairs))
    }
}

/// Headers, in either of the two ways to write them: `["Name: value", …]` as in JsSIP, or
/// `{"Name": "value" or ["value", …], …}`.
#[derive(Debug)]
pub(super) struct ExtraHeaders(pub(super) Vec<NewHeader>);

/// One value or several, and whether they were written as an array.
enum Values {
    One(String),
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of strings")
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Values::One(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Values::One(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Values::Many(values))
    }
}

impl<'de> Deserialize<'de> for ExtraHeaders {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EitherWay)
    }
}

struct EitherWay;

impl<'de> Visitor<'de> for EitherWay {
    type Value = ExtraHeaders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of \"Name: value\", or an object of name to value or values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut headers = Vec::new();
        while let Some(line) = seq.next_element::<String>()? {
            let pointer = format!("/extraHeaders/{}", headers.len());
            headers.push(NewHeader {
                pointer,
                line: HeaderLine::Whole(line),
            });
        }
        Ok(ExtraHeaders(headers))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut headers = Vec::new();
        while let Some((name, values)) = map.next_entry::<String, Values>()? {
            let pointer = format!("/extraHeaders{}", pointer_token(&name));
            let mut add = |pointer, value| {
                headers.push(NewHeader {
                    pointer,
                    line: HeaderLine::Pair(name.clone(), value),
                });
            };
            match values {
                Values::One(value) => add(pointer, value),
                Values::Many(values) => {
                    for (at, value) in values.into_iter().enumerate() {
                        add(format!("{pointer}/{at}"), value);
                    }
                }
            }
        }
        Ok(ExtraHeaders(headers))
    }
}
