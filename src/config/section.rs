//! A table of the configuration while it is read.
//!
//! Reading never stops at a mistake: it notes it and goes on with a value of the type, so that all
//! mistakes are reported at once. [`super::load`] drops such a configuration.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use config::{Map, Value, ValueKind};

use super::findings::{Findings, Setting};
use super::mistake::{Origin, join};
use super::{findings, value};

/// The sections, and the list of accounts.
const SECTIONS: [&str; 12] = [
    "http",
    "store",
    "account",
    "sip",
    "receive",
    "delivery",
    "webhooks",
    "retention",
    "trace",
    "hep",
    "telemetry",
    "sandbox",
];

/// A table while it is read. Keys that are left when it is finished are unknown.
#[derive(Debug)]
pub(super) struct Section<'a> {
    name: String,
    values: Map<String, Value>,
    known: BTreeSet<String>,
    /// The table is missing or no table: its keys are not reported as missing.
    broken: bool,
    /// Whether its keys are shown as settings; those of a table within a list are not.
    listed: bool,
    /// Where the table was written; `None` when it was not.
    origin: Option<Origin>,
    findings: &'a Findings,
}

impl<'a> Section<'a> {
    /// Begins to read the table of this name.
    pub(super) fn new(name: &str, value: Option<Value>, findings: &'a Findings) -> Self {
        Self::written_as("keys and values", name, value, findings)
    }

    /// The same of a table that is `accepted` in this form.
    fn written_as(
        accepted: &str,
        name: &str,
        value: Option<Value>,
        findings: &'a Findings,
    ) -> Self {
        let mut section = Self {
            name: name.to_owned(),
            values: Map::new(),
            known: BTreeSet::new(),
            broken: false,
            listed: true,
            origin: None,
            findings,
        };
        let origin = value.as_ref().map(|value| findings.origin(name, value));
        match value.map(|value| value.kind) {
            Some(ValueKind::Table(values)) => {
                section.values = values;
                section.origin = origin.filter(|origin| *origin != Origin::Default);
            }
            None | Some(ValueKind::Nil) => {
                section.broken = true;
                section.note(name, "is missing", "", None);
            }
            Some(_) => {
                section.broken = true;
                section.note(name, "is not a table", accepted, origin);
            }
        }
        section
    }

    /// The rest of the configuration once every section was taken out.
    pub(super) fn of_rest(values: Map<String, Value>, findings: &'a Findings) -> Self {
        let whole = Value::new(None, ValueKind::Table(values));
        let mut section = Self::new("", Some(whole), findings);
        section.known = SECTIONS.map(str::to_owned).into();
        section
    }

    /// Begins to read each table of a list that may be missing.
    pub(super) fn list(name: &str, value: Option<Value>, findings: &'a Findings) -> Vec<Self> {
        match value.as_ref().map(|value| &value.kind) {
            None | Some(ValueKind::Nil) => Vec::new(),
            Some(ValueKind::Array(items)) => {
                let section = |(index, item): (usize, &Value)| {
                    Self::new(&format!("{name}[{index}]"), Some(item.clone()), findings)
                };
                items.iter().enumerate().map(section).collect()
            }
            Some(kind) => {
                let mut accepted = format!("[[{name}]] above each");
                if let ValueKind::Table(_) = kind {
                    let variable = name.to_uppercase();
                    accepted += &format!("; variables count from 0: SIPOST__{variable}__0__…");
                }
                let origin = value.as_ref().map(|value| findings.origin(name, value));
                findings.note(name, "is not a list of tables", &accepted, origin);
                Vec::new()
            }
        }
    }

    /// Begins to read a table within this one, which may be missing.
    pub(super) fn table(&mut self, key: &str) -> Self {
        let empty = || Value::new(None, ValueKind::Table(Map::new()));
        let value = self.take(key).unwrap_or_else(empty);
        Self::new(&join(&self.name, key), Some(value), self.findings)
    }

    /// Sets the defaults of keys that are not set, for tables of a list: the compiled-in file has
    /// them as comments.
    pub(super) fn with_defaults<const N: usize>(
        mut self,
        defaults: [(&str, ValueKind); N],
    ) -> Self {
        for (key, value) in defaults {
            if !self.has(key) {
                self.values.insert(key.to_owned(), Value::new(None, value));
            }
        }
        self
    }

    /// The path of this table, such as `account[0]`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Notes unknown keys.
    pub(super) fn finish(self) {
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        let mut unknown: Vec<_> = self.values.iter().collect();
        unknown.sort_by_key(|(key, _)| key.as_str());
        for (key, value) in unknown {
            let path = join(&self.name, key);
            let (problem, accepted) = match findings::nearest(key, &known) {
                Some(near) => (
                    format!("unknown setting; did you mean {near}?"),
                    String::new(),
                ),
                None => ("unknown setting".to_owned(), known.join(", ")),
            };
            let origin = Some(self.findings.origin(&path, value));
            self.note(&path, &problem, &accepted, origin);
        }
    }

    /// Notes a mistake that concerns a key which was read without one.
    pub(super) fn wrong(&self, key: &str, problem: &str, accepted: &str) {
        self.findings
            .wrong(&join(&self.name, key), problem, accepted);
    }

    /// Notes that a key is missing.
    pub(super) fn miss(&self, key: &str, accepted: &str) {
        if !self.broken {
            let origin = self.origin.clone();
            self.note(&join(&self.name, key), "is missing", accepted, origin);
        }
    }

    /// Whether this key holds a value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.values
            .get(key)
            .is_some_and(|value| !value::is_empty(value))
    }

    /// An IP address with a port.
    pub(super) fn address(&mut self, key: &str) -> SocketAddr {
        let accepted = "an IP address with a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"";
        let parse = |value: &Value| value::text_of(value)?.parse().ok();
        let fallback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        self.required(key, accepted, parse).unwrap_or(fallback)
    }

    /// One of these words. `words` is not empty, and its first stands in for a mistake.
    pub(super) fn word<T: Copy, const N: usize>(&mut self, key: &str, words: &[(&str, T); N]) -> T {
        let accepted: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let parse = |value: &Value| {
            let text = value::text_of(value)?;
            let known = words.iter().find(|(word, _)| *word == text);
            known.map(|(_, meaning)| *meaning)
        };
        let read = self.required(key, &accepted.join(", "), parse);
        read.unwrap_or_else(|| words[0].1)
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        let read = self.required(key, "true or false", value::flag);
        read.unwrap_or_default()
    }

    /// A text that `parse` takes, or nothing.
    pub(super) fn text<T>(
        &mut self,
        key: &str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.optional(key, accepted, |value| parse(value::text_of(value)?))
    }

    /// A text that must be there and that `parse` takes; `None` when it was a mistake.
    pub(super) fn required_text<T>(
        &mut self,
        key: &str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.required(key, accepted, |value| parse(value::text_of(value)?))
    }

    /// A list of texts that `parse` takes.
    pub(super) fn texts<T>(
        &mut self,
        key: &str,
        accepted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        self.each(key, accepted, |value| parse(value::text_of(value)?))
    }

    /// A list of tables, each of which may be written as a text for its key `short`.
    ///
    /// `None` when the key is not set or holds no list. The keys `secrets` of each table are masked
    /// where the list is shown. `sample` is a table for the message about what is none.
    pub(super) fn tables(
        &mut self,
        key: &str,
        short: Option<&str>,
        secrets: &[&str],
        sample: &str,
    ) -> Option<Vec<Self>> {
        let (findings, path) = (self.findings, join(&self.name, key));
        let items = self.items(key, secrets)?;
        let table = |(index, item): (usize, Value)| {
            let item = match (&item.kind, short) {
                (ValueKind::String(_), Some(short)) => {
                    let label = value::origin_of(&item).label();
                    let table = Map::from_iter([(short.to_owned(), item)]);
                    Value::new(Some(&label), ValueKind::Table(table))
                }
                _ => item,
            };
            let mut section = Section::written_as(
                &format!("a table such as {sample}"),
                &format!("{path}[{index}]"),
                Some(item),
                findings,
            );
            section.listed = false;
            section
        };
        Some(items.into_iter().enumerate().map(table).collect())
    }

    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        accepted: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.take(key) else {
            self.show(key, None, None);
            return None;
        };
        self.show(key, Some(value::literal(&value, &[])), Some(&value));
        let parsed = parse(&value);
        if parsed.is_none() {
            let path = join(&self.name, key);
            self.refuse(&path, &value, accepted);
        }
        parsed
    }

    pub(super) fn required<T>(
        &mut self,
        key: &str,
        accepted: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        if !self.has(key) {
            self.miss(key, accepted);
        }
        self.optional(key, accepted, parse)
    }

    pub(super) fn each<T>(
        &mut self,
        key: &str,
        accepted: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Vec<T> {
        let path = join(&self.name, key);
        let Some(items) = self.items(key, &[]) else {
            return Vec::new();
        };
        let mut parsed = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match parse(item) {
                Some(item) => parsed.push(item),
                None => self.refuse(&format!("{path}[{index}]"), item, accepted),
            }
        }
        parsed
    }

    /// The items of a list; a variable writes it as TOML or with commas.
    fn items(&mut self, key: &str, secrets: &[&str]) -> Option<Vec<Value>> {
        let Some(value) = self.take(key) else {
            self.show(key, None, None);
            return None;
        };
        let path = join(&self.name, key);
        let label = value::origin_of(&value).label();
        let Some(items) = value::list_of(&value) else {
            let accepted = "a list, such as [\"a\", \"b\"]";
            let from = Some(value::origin_of(&value));
            if secrets.is_empty() {
                self.refuse(&path, &value, accepted);
            } else {
                self.note(&path, "is not a list", accepted, from);
            }
            return None;
        };
        let whole = Value::new(Some(&label), ValueKind::Array(items.clone()));
        self.show(key, Some(value::literal(&whole, secrets)), Some(&value));
        Some(items)
    }

    /// Takes a value out. A null and an empty text count as not set.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.known.insert(key.to_owned());
        self.values
            .remove(key)
            .filter(|value| !value::is_empty(value))
    }

    pub(super) fn show(&self, key: &str, value: Option<String>, from: Option<&Value>) {
        if self.listed && !self.broken {
            self.findings.settings.borrow_mut().push(Setting {
                section: self.name.clone(),
                key: key.to_owned(),
                value,
                origin: from.map_or(Origin::Default, value::origin_of),
            });
        }
    }

    fn refuse(&self, path: &str, value: &Value, accepted: &str) {
        let problem = format!("invalid value {}", value::refused(value));
        self.note(path, &problem, accepted, Some(value::origin_of(value)));
    }

    pub(super) fn note(&self, path: &str, problem: &str, accepted: &str, origin: Option<Origin>) {
        self.findings.note(path, problem, accepted, origin);
    }
}
