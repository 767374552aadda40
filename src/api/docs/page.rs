//! The page as a whole: what it is about, a way to every place, the calls, the schemas, the
//! problems.

use std::fmt::Write as _;

use serde_yaml_ng::Value;

use super::html::{escape, items, markdown, members, text};
use super::operation::Call;
use super::{example, schema};
use crate::api::problem::ProblemType;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The calls of a path: method and what is said of it.
pub(super) fn calls(item: &Value) -> Vec<(&str, &Value)> {
    let methods = METHODS.into_iter();
    methods
        .filter_map(|method| Some((method, item.get(method)?)))
        .collect()
}

/// The whole page.
pub(super) fn write(document: &Value, style: &str) -> String {
    let mut all = Vec::new();
    for (path, item) in members(document, "paths") {
        for (method, value) in calls(item) {
            all.push(Call {
                document,
                path,
                method,
                item,
                value,
            });
        }
    }
    let info = document.get("info").unwrap_or(&Value::Null);
    let title = escape(text(info, "title"));
    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <meta name=color-scheme content=\"light dark\">\
         <title>{title}: reference of the HTTP API</title><style>{style}</style></head><body>\
         <nav>{}</nav><main><header id=\"top\"><h1>{title} <small>{}</small></h1>\
         <p class=lead>{}</p>{}<p>This page is made from <a href=\"/openapi.yaml\">openapi.yaml\
         </a>, also given as <a href=\"/openapi.json\">JSON</a>.</p></header>{}{}{}</main></body>\
         </html>\n",
        navigation(document, &all),
        escape(text(info, "version")),
        escape(text(info, "summary")),
        markdown(text(info, "description")),
        groups(document, &all),
        schemas(document),
        problems(document),
    )
}

fn navigation(document: &Value, all: &[Call<'_>]) -> String {
    let mut html = "<a class=home href=\"#top\">sipost</a>".to_owned();
    // Writing to memory cannot fail.
    for tag in items(document, "tags") {
        let name = text(tag, "name");
        let _ = write!(
            html,
            "<h2><a href=\"#tag-{0}\">{0}</a></h2><ul>",
            escape(name)
        );
        for call in all.iter().filter(|call| call.tag() == name) {
            let _ = write!(
                html,
                "<li><a href=\"#{}\">{}{}</a></li>",
                escape(call.id()),
                call.badge(),
                escape(call.summary())
            );
        }
        html.push_str("</ul>");
    }
    html.push_str("<h2><a href=\"#schemas\">Schemas</a></h2><ul>");
    for (name, _) in schemas_of(document) {
        let name = escape(name);
        let _ = write!(html, "<li><a href=\"#schema-{name}\">{name}</a></li>");
    }
    html.push_str("</ul><h2><a href=\"#problems\">Problems</a></h2>");
    html
}

fn groups(document: &Value, all: &[Call<'_>]) -> String {
    let mut html = String::new();
    for tag in items(document, "tags") {
        let name = text(tag, "name");
        let _ = write!(
            html,
            "<h2 id=\"tag-{0}\">{0}</h2>{1}",
            escape(name),
            markdown(text(tag, "description"))
        );
        for call in all.iter().filter(|call| call.tag() == name) {
            html.push_str(&call.section());
        }
    }
    html
}

fn schemas_of(document: &Value) -> Vec<(&str, &Value)> {
    match document.get("components") {
        Some(components) => members(components, "schemas"),
        None => Vec::new(),
    }
}

fn schemas(document: &Value) -> String {
    let mut html = "<h2 id=\"schemas\">Schemas</h2>".to_owned();
    for (name, value) in schemas_of(document) {
        html.push_str(&schema::section(document, &escape(name), value));
    }
    html
}

/// Every kind of problem, with what to do about it: what `/problems/{slug}` tells.
fn problems(document: &Value) -> String {
    let examples = document
        .get("components")
        .and_then(|all| all.get("examples"));
    let mut html = "<h2 id=\"problems\">Problems</h2><dl class=\"members problems\">".to_owned();
    for kind in ProblemType::ALL {
        let status = kind.status().as_u16();
        let example = examples.and_then(|all| all.get(kind.slug())?.get("value"));
        let _ = write!(
            html,
            "<div id=\"problem-{slug}\"><dt><span class=\"status s{class}\">{status}</span> \
             <code>{slug}</code></dt><dd><p><strong>{title}.</strong></p>{advice}\
             <details class=example><summary>Example</summary><pre>{example}</pre></details></dd>\
             </div>",
            slug = escape(kind.slug()),
            class = status / 100,
            title = escape(kind.title()),
            advice = markdown(kind.advice()),
            example = example::marked(example.unwrap_or(&Value::Null))
        );
    }
    html.push_str("</dl>");
    html
}
