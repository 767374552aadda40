//! A message as a client writes it in JSON.

use std::fmt;

use serde::Deserialize;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

use super::extract::pointer_token;
use crate::message::HeaderLine;
use crate::message::Metadata;
use crate::message::NewHeader;
use crate::message::NewMessage;

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
    ttl: Option<u64>,
    #[serde(default)]
    send_at: Option<String>,
    #[serde(default)]
    attempts: Option<u64>,
    #[serde(default)]
    on_unknown: Option<String>,
    #[serde(default)]
    webhook: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
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
            ttl: json.ttl,
            send_at: json.send_at,
            attempts: json.attempts,
            on_unknown: json.on_unknown,
            webhook: json.webhook,
            metadata: json.metadata.unwrap_or_default(),
        }
    }
}

/// Headers, in either of the two ways to write them: `["Name: value", …]` as in JsSIP, or
/// `{"Name": "value" or ["value", …], …}`.
#[derive(Debug)]
struct ExtraHeaders(Vec<NewHeader>);

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
