//! Reading the document, and writing text that a browser takes for nothing but text.

use pulldown_cmark::{Event, Parser};
use serde_yaml_ng::Value;

/// Text as HTML.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Markdown as HTML. HTML within it stays text.
pub(super) fn markdown(text: &str) -> String {
    let events = Parser::new(text).map(|event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        other => other,
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    html
}

/// The members of `value[name]`, in their order; none where there is no such object.
pub(super) fn members<'a>(value: &'a Value, name: &str) -> Vec<(&'a str, &'a Value)> {
    let members = value.get(name).and_then(Value::as_mapping);
    members
        .into_iter()
        .flatten()
        .filter_map(|(name, member)| Some((name.as_str()?, member)))
        .collect()
}

/// The items of `value[name]`; none where there is no such array.
pub(super) fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let items = value.get(name).and_then(Value::as_sequence);
    items.map_or(&[], Vec::as_slice)
}

/// The text `value[name]`; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What `value` stands for when it is a reference, and the last part of that.
pub(super) fn resolve<'a>(document: &'a Value, value: &'a Value) -> (&'a Value, Option<&'a str>) {
    let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
        return (value, None);
    };
    let mut path = reference.trim_start_matches("#/").split('/');
    let target = path.try_fold(document, |value, name| value.get(name));
    let name = reference.rsplit('/').next();
    (target.unwrap_or(value), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escape("<a href=\"x\">&"),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
        let html = markdown("A <script>x</script> and `<b>`.");
        assert_eq!(
            html,
            "<p>A &lt;script&gt;x&lt;/script&gt; and <code>&lt;b&gt;</code>.</p>\n"
        );
    }
}
