//! Schemas: what a value is in a few words, and what its members are.

use std::fmt::Write as _;

use serde_yaml_ng::Value;

use super::html::{escape, items, markdown, members, resolve, text};

/// What a value is, in a few words: `array of Message`, `string or null`.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = escape(reference.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    let alternatives = items(schema, "oneOf");
    if !alternatives.is_empty() {
        let kinds: Vec<String> = alternatives.iter().map(kind).collect();
        return kinds.join(" or ");
    }
    if let Some(value) = schema.get("const") {
        return format!("<code>{}</code>", json(value));
    }
    let one = |word: &str| match word {
        "array" => match schema.get("items") {
            Some(item) => format!("array of {}", kind(item)),
            None => "array".to_owned(),
        },
        "object" => match schema.get("additionalProperties") {
            Some(value) if value.is_mapping() => format!("object of {}", kind(value)),
            Some(_) | None => "object".to_owned(),
        },
        word => escape(word),
    };
    match schema.get("type") {
        Some(Value::String(word)) => one(word),
        Some(Value::Sequence(words)) => {
            let words = words.iter().filter_map(Value::as_str);
            words.map(one).collect::<Vec<_>>().join(" or ")
        }
        Some(_) | None => "any".to_owned(),
    }
}

/// What a value must keep to besides: limits, formats, what it is when it is left out.
pub(super) fn rules(schema: &Value) -> String {
    let mut rules = Vec::new();
    let mut words = Vec::new();
    for value in items(schema, "enum") {
        words.push(format!("<code>{}</code>", json(value)));
    }
    if !words.is_empty() {
        rules.push(format!("one of {}", words.join(" ")));
    }
    for (name, words) in [
        ("default", "left out:"),
        ("format", "format"),
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "characters at least"),
        ("maxLength", "characters at most"),
        ("minItems", "items at least"),
        ("maxItems", "items at most"),
        ("maxProperties", "members at most"),
        ("pattern", "matches"),
    ] {
        if let Some(value) = schema.get(name) {
            rules.push(format!("{words} <code>{}</code>", json(value)));
        }
    }
    match rules.is_empty() {
        true => String::new(),
        false => format!("<p class=rules>{}</p>", rules.join(" · ")),
    }
}

/// Text as it is, anything else as JSON.
fn json(value: &Value) -> String {
    match value.as_str() {
        Some(text) => escape(text.trim_end()),
        None => escape(&serde_json::to_string(value).unwrap_or_default()),
    }
}

/// The section of a schema that has a name.
pub(super) fn section(document: &Value, name: &str, schema: &Value) -> String {
    let mut html = format!(
        "<section class=schema id=\"schema-{name}\"><h3><a href=\"#schema-{name}\">{name}</a> \
         <span class=type>{}</span></h3>",
        kind(schema)
    );
    html.push_str(&markdown(text(schema, "description")));
    html.push_str(&rules(schema));
    html.push_str(&body(document, schema));
    html.push_str("</section>");
    html
}

/// The members of an object, and those of the alternatives and items that have no name.
fn body(document: &Value, schema: &Value) -> String {
    let mut html = String::new();
    let properties = members(schema, "properties");
    if !properties.is_empty() {
        html.push_str("<dl class=members>");
        let required = items(schema, "required");
        for (name, member) in properties {
            let must = required.iter().any(|word| word.as_str() == Some(name));
            html.push_str(&property(document, name, member, must));
        }
        html.push_str("</dl>");
    }
    for alternative in items(schema, "oneOf") {
        let description = text(alternative, "description");
        if alternative.get("$ref").is_none() && !description.is_empty() {
            // Writing to memory cannot fail.
            let _ = write!(
                html,
                "<div class=alternative><span class=type>{}</span>{}{}{}</div>",
                kind(alternative),
                markdown(description),
                rules(alternative),
                body(document, alternative)
            );
        }
    }
    html
}

fn property(document: &Value, name: &str, member: &Value, must: bool) -> String {
    let (target, _) = resolve(document, member);
    let description = match text(member, "description") {
        "" => text(target, "description"),
        own => own,
    };
    let mark = match must {
        true => " <span class=required>required</span>",
        false => "",
    };
    format!(
        "<div><dt><code>{}</code> <span class=type>{}</span>{mark}</dt><dd>{}{}{}</dd></div>",
        escape(name),
        kind(member),
        markdown(description),
        rules(member),
        body(document, member)
    )
}
