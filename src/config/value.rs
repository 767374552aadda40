//! The values of the layers as the types they stand for, and how these are written.

use std::net::IpAddr;
use std::time::Duration;

use config::{Value, ValueKind};
use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use super::mask::{Secret, masked, masked_strictly};
use super::mistake::Origin;
use super::toml_file;

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
        ValueKind::String(text) => parse_duration(text),
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

/// A value that is not accepted, as TOML writes it. It may be a URL that was mistyped.
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

/// What a duration may look like, for the message about one that is written otherwise.
pub(super) const DURATION: &str =
    "a duration such as \"500ms\", \"30s\", \"5m\", \"1h\" or \"7d\"; a bare number is seconds";

/// What a size may look like.
pub(super) const SIZE: &str = "a size in bytes such as 65536, or \"64KiB\", \"1MiB\"";

/// What a network may look like.
pub(super) const NETWORK: &str = "a network such as \"10.0.0.0/8\", or an address";

/// Reads `500ms`, `1.5s`, `30`. The parser of `jiff` takes what the documents do not promise
/// (weeks, "ago", sums), and refuses what they do: a number alone, and a fraction of a day.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let seconds_each = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    // Whole numbers stay exact.
    if let Ok(whole) = number.parse::<u64>() {
        return match unit {
            "ms" => Some(Duration::from_millis(whole)),
            "m" => whole.checked_mul(60).map(Duration::from_secs),
            "h" => whole.checked_mul(3600).map(Duration::from_secs),
            "d" => whole.checked_mul(86_400).map(Duration::from_secs),
            _ => Some(Duration::from_secs(whole)),
        };
    }
    decimal(number).and_then(|number| Duration::try_from_secs_f64(number * seconds_each).ok())
}

/// Reads `65536`, `64KiB`, `1MiB`, `1GiB`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let bytes_each: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(bytes_each)
}

/// A duration as a person writes it, in the largest unit that is exact.
pub(super) fn write_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, each) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
    ] {
        if millis != 0 && millis.is_multiple_of(each) {
            return format!("{}{unit}", millis / each);
        }
    }
    format!("{millis}ms")
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Digits, a point, digits: nothing of what else a float may look like.
fn decimal(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.')?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (digits(whole) && digits(fraction)).then(|| text.parse().ok())?
}

/// Reads `10.0.0.0/8`, or an address alone.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    let alone = || text.parse::<IpAddr>().map(IpNet::from).ok();
    text.parse().ok().or_else(alone)
}

/// Reads `Name: value`, a header of HTTP that no formatter shows.
pub(super) fn http_header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_a_unit_and_seconds_without() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("30", 30_000),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("0", 0),
            (" 30 s ", 30_000),
        ] {
            let expected = Duration::from_millis(millis);
            assert_eq!(parse_duration(text), Some(expected), "{text:?}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "1w",
            "1 s s",
            "inf",
            "NaN",
            "1e3s",
            "1.s",
            ".5s",
            "99999999999999999d",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_binary_units() {
        assert_eq!(parse_size("65536"), Some(65536));
        assert_eq!(parse_size("64KiB"), Some(65536));
        assert_eq!(parse_size("1 MiB"), Some(1 << 20));
        for text in ["", "64kb", "1.5MiB", "-1", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_duration_is_written_in_its_largest_exact_unit() {
        for text in ["500ms", "30s", "90s", "5m", "1h", "7d", "0ms"] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(write_duration(duration), text);
        }
    }
}
