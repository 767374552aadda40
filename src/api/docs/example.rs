//! Examples, written out and lightly marked, so that names and values can be told apart.

use serde_yaml_ng::Value;

use super::html::escape;

/// An example as it goes over the wire: text as it is, anything else as JSON.
pub(super) fn written(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        // The document is JSON written as YAML, so everything in it is JSON.
        None => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

/// An example as HTML: names between `<b>`, values between `<i>`.
pub(super) fn marked(value: &Value) -> String {
    let text = written(value);
    if value.is_string() {
        return escape(&text);
    }
    let lines: Vec<String> = text.lines().map(line).collect();
    lines.join("\n")
}

/// One line of JSON as `serde_json` lays it out: a name, a value, a comma, each if it is there.
fn line(line: &str) -> String {
    let start = line.len() - line.trim_start().len();
    let (indent, rest) = line.split_at(start);
    let (name, rest) = match name_end(rest) {
        Some(end) => rest.split_at(end),
        None => ("", rest),
    };
    let (colon, rest) = match rest.strip_prefix(": ") {
        Some(value) if !name.is_empty() => (": ", value),
        _ => ("", rest),
    };
    let (value, comma) = match rest.strip_suffix(',') {
        Some(value) => (value, ","),
        None => (rest, ""),
    };
    let is_bracket = matches!(value, "{" | "}" | "[" | "]" | "{}" | "[]" | "");
    let name = match name.is_empty() {
        true => String::new(),
        false => format!("<b>{}</b>", escape(name)),
    };
    let value = match is_bracket {
        true => value.to_owned(),
        false => format!("<i>{}</i>", escape(value)),
    };
    format!("{indent}{name}{colon}{value}{comma}")
}

/// Where the name at the beginning ends, if a name stands there.
fn name_end(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.char_indices().find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    let end = end?.0 + 2;
    text.get(end..)?.starts_with(": ").then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_told_apart() {
        let value = serde_yaml_ng::from_str("{'a\"<': 'x: y', b: [1, null], c: {}}").unwrap();
        assert_eq!(
            marked(&value),
            "{\n  <b>&quot;a\\&quot;&lt;&quot;</b>: <i>&quot;x: y&quot;</i>,\n  \
             <b>&quot;b&quot;</b>: [\n    <i>1</i>,\n    <i>null</i>\n  ],\n  \
             <b>&quot;c&quot;</b>: {}\n}"
        );
    }
}
