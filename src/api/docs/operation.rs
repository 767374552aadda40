//! One call: what it takes, what it answers, and how it looks.

use std::fmt::Write as _;

use serde_yaml_ng::Value;

use super::html::{escape, items, markdown, members, resolve, text};
use super::{example, schema};

/// A call of the document.
pub(super) struct Call<'a> {
    pub(super) document: &'a Value,
    pub(super) path: &'a str,
    pub(super) method: &'a str,
    /// What all calls of its path share.
    pub(super) item: &'a Value,
    pub(super) value: &'a Value,
}

impl<'a> Call<'a> {
    pub(super) fn id(&self) -> &'a str {
        text(self.value, "operationId")
    }

    pub(super) fn summary(&self) -> &'a str {
        text(self.value, "summary")
    }

    /// Its first tag, under which it stands.
    pub(super) fn tag(&self) -> &'a str {
        let tags = items(self.value, "tags");
        tags.first().and_then(Value::as_str).unwrap_or_default()
    }

    /// `<span class="method get">GET</span>`.
    pub(super) fn badge(&self) -> String {
        let method = escape(self.method);
        format!(
            "<span class=\"method {method}\">{}</span>",
            method.to_uppercase()
        )
    }

    /// Its section of the page.
    pub(super) fn section(&self) -> String {
        let id = escape(self.id());
        let mut html = format!(
            "<section class=call id=\"{id}\"><h3><a href=\"#{id}\">{}</a></h3>\
             <p class=line>{}<code>{}</code></p>{}",
            escape(self.summary()),
            self.badge(),
            escape(self.path),
            markdown(text(self.value, "description"))
        );
        html.push_str(&self.parameters());
        html.push_str(&self.request());
        html.push_str(&self.responses());
        html.push_str("</section>");
        html
    }

    fn parameters(&self) -> String {
        let all = [self.item, self.value];
        let all = all.iter().flat_map(|value| items(value, "parameters"));
        let mut html = String::new();
        for parameter in all {
            let (parameter, _) = resolve(self.document, parameter);
            let schema = parameter.get("schema").unwrap_or(&Value::Null);
            let (place, mark) = match parameter.get("required").and_then(Value::as_bool) {
                Some(true) => (
                    text(parameter, "in"),
                    " <span class=required>required</span>",
                ),
                Some(false) | None => (text(parameter, "in"), ""),
            };
            let example = parameter.get("example").map(one_line).unwrap_or_default();
            // Writing to memory cannot fail.
            let _ = write!(
                html,
                "<div><dt><code>{}</code> <span class=type>{} · {}</span>{mark}</dt>\
                 <dd>{}{}<p class=rules>such as <code>{}</code></p></dd></div>",
                escape(text(parameter, "name")),
                escape(place),
                schema::kind(schema),
                markdown(text(parameter, "description")),
                schema::rules(schema),
                escape(&example)
            );
        }
        match html.is_empty() {
            true => html,
            false => format!("<h4>Parameters</h4><dl class=members>{html}</dl>"),
        }
    }

    fn request(&self) -> String {
        match self.value.get("requestBody") {
            Some(body) => format!("<h4>Request</h4>{}", self.content(body, true)),
            None => String::new(),
        }
    }

    fn responses(&self) -> String {
        let mut html = "<h4>Answers</h4>".to_owned();
        for (index, (status, response)) in members(self.value, "responses").iter().enumerate() {
            let (response, _) = resolve(self.document, response);
            let mut headers = String::new();
            for (name, header) in members(response, "headers") {
                let (header, _) = resolve(self.document, header);
                let _ = write!(
                    headers,
                    "<div><dt><code>{}</code></dt><dd>{}</dd></div>",
                    escape(name),
                    markdown(text(header, "description"))
                );
            }
            if !headers.is_empty() {
                headers = format!("<dl class=\"members headers\">{headers}</dl>");
            }
            let open = if index == 0 { " open" } else { "" };
            let class = status.get(..1).unwrap_or_default();
            let _ = write!(
                html,
                "<details class=answer{open}><summary><span class=\"status s{class}\">{status}\
                 </span> {}</summary>{}{headers}</details>",
                inline(text(response, "description")),
                self.content(response, false)
            );
        }
        html
    }

    /// The media types of a body or an answer, each with its schema and its examples.
    fn content(&self, value: &Value, is_open: bool) -> String {
        let mut html = String::new();
        for (media, content) in members(value, "content") {
            let schema = content.get("schema").unwrap_or(&Value::Null);
            let _ = write!(
                html,
                "<p class=media><code>{}</code> {}</p>",
                escape(media),
                schema::kind(schema)
            );
            for (index, (name, example)) in members(content, "examples").iter().enumerate() {
                let (example, id) = resolve(self.document, example);
                let title = match text(example, "summary") {
                    "" => id.unwrap_or(name),
                    summary => summary,
                };
                let open = if is_open && index == 0 { " open" } else { "" };
                let _ = write!(
                    html,
                    "<details class=example{open}><summary>{}</summary><pre>{}</pre></details>",
                    escape(title),
                    example::marked(example.get("value").unwrap_or(&Value::Null))
                );
            }
        }
        html
    }
}

/// Markdown of one paragraph, without the paragraph.
fn inline(text: &str) -> String {
    let html = markdown(text);
    let html = html.trim().trim_start_matches("<p>");
    html.trim_end_matches("</p>").to_owned()
}

/// The example of a parameter as it stands in a request.
fn one_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Sequence(items) => items.iter().map(one_line).collect::<Vec<_>>().join(","),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}
