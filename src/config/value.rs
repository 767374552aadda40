//! The values of the layers as the types they stand for.

use std::time::Duration;

use config::{Value, ValueKind};

use super::mistake::Origin;
use super::secret::Secret;
use super::web_address::{masked, masked_strictly};
use super::{toml_file, units};

pub(super) fn origin_of(value: &Value) -> Origin {
    Origin::of_label(value.origin())
}

pub(super) fn is_variable(value: &Value) -> bool {
    matches!(origin_of(value), Origin::Variable(_))
}

pub(super) fn is_empty(value: &Value) -> bool {
    match &value.kind {
        ValueKind::Nil => true,
        ValueKind::String(text) => text.is_empty(),
        _ => false,
    }
}

pub(super) fn text_of(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

pub(super) fn flag(value: &Value) -> Option<bool> {
    match &value.kind {
        ValueKind::Boolean(flag) => Some(*flag),
        ValueKind::String(text) if is_variable(value) => text.trim().parse().ok(),
        _ => None,
    }
}

pub(super) fn whole_number(value: &Value) -> Option<u64> {
    match &value.kind {
        ValueKind::I64(number) => u64::try_from(*number).ok(),
        ValueKind::U64(number) => Some(*number),
        ValueKind::String(text) if is_variable(value) => text.trim().parse().ok(),
        _ => None,
    }
}

pub(super) fn duration_of(value: &Value) -> Option<Duration> {
    match &value.kind {
        ValueKind::String(text) => units::parse_duration(text),
        ValueKind::Float(number) => Duration::try_from_secs_f64(*number).ok(),
        _ => whole_number(value).map(Duration::from_secs),
    }
}

pub(super) fn owned_text(value: &Value) -> Option<String> {
    text_of(value).map(str::to_owned)
}

/// The items of a list; a variable writes it as TOML or with commas.
pub(super) fn list_of(value: &Value) -> Option<Vec<Value>> {
    match &value.kind {
        ValueKind::Array(items) => Some(items.clone()),
        ValueKind::String(text) if is_variable(value) => split(text, &origin_of(value).label()),
        _ => None,
    }
}

/// A list as a variable writes it.
pub(super) fn split(text: &str, label: &String) -> Option<Vec<Value>> {
    if text.trim_start().starts_with('[') {
        return match toml_file::inline(text, label)?.kind {
            ValueKind::Array(items) => Some(items),
            _ => None,
        };
    }
    let items = text
        .split(',')
        .map(|item| Value::new(Some(label), item.trim()));
    Some(items.collect())
}

pub(super) fn secret() -> String {
    format!("\"{}\"", Secret::MASK)
}

/// A value as TOML writes it. The keys `secrets` of tables are masked, and the secret parts of
/// URLs.
pub(super) fn literal(value: &Value, secrets: &[&str]) -> String {
    write(value, secrets, masked)
}

/// A value that is not taken, as TOML writes it. It may be a URL that was mistyped.
pub(super) fn refused(value: &Value) -> String {
    write(value, &[], masked_strictly)
}

fn write(value: &Value, secrets: &[&str], shown: fn(&str) -> String) -> String {
    match &value.kind {
        ValueKind::String(text) => toml::Value::String(shown(text)).to_string(),
        ValueKind::Array(items) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| write(item, secrets, shown))
                .collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(table) => {
            let mut keys: Vec<_> = table.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            let pair = |(key, value): (&String, &Value)| {
                let is_secret = secrets.contains(&key.as_str());
                let shown = if is_secret {
                    secret()
                } else {
                    write(value, secrets, shown)
                };
                format!("{key} = {shown}")
            };
            let pairs: Vec<String> = keys.into_iter().map(pair).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        scalar => scalar.to_string(),
    }
}
