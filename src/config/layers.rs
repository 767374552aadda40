//! The layers of a configuration: what is compiled in, a file, the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use config::ConfigError;
use config::FileFormat;
use config::Map;
use config::Source;
use config::Value;
use config::ValueKind;

use super::mistake::Mistake;
use super::mistake::Origin;

/// How the names of our environment variables begin.
pub(super) const PREFIX: &str = "SIPOST__";

/// Every key with its default and its comment.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Where a configuration file is looked for when none is named.
const USUAL_PLACES: [&str; 2] = ["/etc/sipost/sipost.toml", "config/sipost.toml"];

/// The most accounts that variables can count up to; the layering fills gaps below an index.
const MAX_INDEX: usize = 9999;

/// Where to read a configuration from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named. It must exist.
    pub file: Option<PathBuf>,
    /// Where to look when no file was named: the first that exists.
    pub usual_places: Vec<PathBuf>,
    /// A file's text, in place of a file.
    pub text: Option<String>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
}

impl Sources {
    /// What a program started here reads: `file` or the usual places, and its environment.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Self {
            file,
            usual_places: USUAL_PLACES.map(PathBuf::from).to_vec(),
            text: None,
            variables: std::env::vars_os().collect(),
        }
    }

    /// The file that is read.
    pub fn chosen_file(&self) -> Option<&Path> {
        let usual = || self.usual_places.iter().find(|place| place.exists());
        self.file.as_ref().or_else(usual).map(PathBuf::as_path)
    }

    /// Lays the layers over each other. What cannot be read at all is a mistake, and left out.
    pub(super) fn merge(&self) -> (Map<String, Value>, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        let mut builder = config::Config::builder();
        builder = builder.add_source(Layer::of_toml(DEFAULTS, &Origin::Default, &mut mistakes));
        if let Some(text) = &self.text {
            let origin = Origin::File("sipost.toml".to_owned());
            builder = builder.add_source(Layer::of_toml(text, &origin, &mut mistakes));
        } else if let Some(path) = self.chosen_file() {
            let origin = Origin::File(path.display().to_string());
            match fs::read_to_string(path) {
                Ok(text) => {
                    builder = builder.add_source(Layer::of_toml(&text, &origin, &mut mistakes));
                }
                Err(error) => mistakes.push(whole(&origin, format!("cannot be read: {error}"))),
            }
        }
        for layer in variables(&self.variables, &mut mistakes) {
            builder = builder.add_source(layer);
        }
        let merged = builder.build().and_then(|built| built.cache.into_table());
        let table = merged.unwrap_or_else(|error| {
            mistakes.push(whole(&Origin::Default, error.to_string()));
            Map::new()
        });
        (table, mistakes)
    }
}

/// A mistake of a whole file or variable.
fn whole(origin: &Origin, problem: String) -> Mistake {
    Mistake {
        path: origin.label(),
        problem,
        accepted: String::new(),
        origin: None,
    }
}

/// Values that already know where they came from.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layer {
    fn of_toml(text: &str, origin: &Origin, mistakes: &mut Vec<Mistake>) -> Self {
        let parsed = config::File::from_str(text, FileFormat::Toml).collect();
        let table = parsed.unwrap_or_else(|error| {
            let reason = error.to_string();
            let problem = format!("is not TOML: {}", reason.trim_end().replace('\n', "\n    "));
            mistakes.push(whole(origin, problem));
            Map::new()
        });
        let label = origin.label();
        match relabel(Value::new(None, ValueKind::Table(table)), &label).kind {
            ValueKind::Table(named) => Self(named),
            _ => Self(Map::new()),
        }
    }
}

/// The same value, saying where it came from, without the keys that hold an empty text: those count
/// as not set, and must not hide a weaker layer.
pub(super) fn relabel(value: Value, label: &String) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => {
            let empty = |v: &Value| matches!(&v.kind, ValueKind::String(text) if text.is_empty());
            let kept = table.into_iter().filter(|(_, v)| !empty(v));
            ValueKind::Table(kept.map(|(key, v)| (key, relabel(v, label))).collect())
        }
        ValueKind::Array(items) => {
            ValueKind::Array(items.into_iter().map(|item| relabel(item, label)).collect())
        }
        scalar => scalar,
    };
    Value::new(Some(label), kind)
}

/// A layer for each of our variables: a variable that goes deeper into a list comes after the one
/// that sets the list. Empty ones count as not set.
fn variables(given: &[(OsString, OsString)], mistakes: &mut Vec<Mistake>) -> Vec<Layer> {
    let mut ours = BTreeMap::new();
    for (name, value) in given {
        let Some(path) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let origin = Origin::Variable(format!("{PREFIX}{path}"));
        let Some(text) = value.to_str() else {
            mistakes.push(whole(&origin, "is not UTF-8".to_owned()));
            continue;
        };
        match expression(path) {
            Some(_) if text.is_empty() => {}
            Some(expression) => drop(ours.insert(expression, (origin, text))),
            None => mistakes.push(whole(&origin, "names no setting".to_owned())),
        }
    }
    let layer = |(path, (origin, text)): (String, (Origin, &str))| {
        let label = origin.label();
        let value = match path.as_str() {
            "account" => inline(text).map(|value| relabel(value, &label)),
            _ => None,
        };
        let value = value.unwrap_or_else(|| Value::new(Some(&label), text));
        Layer(Map::from_iter([(path, value)]))
    };
    ours.into_iter().map(layer).collect()
}

/// `ACCOUNT__0__PASSWORD` as `account[0].password`.
fn expression(path: &str) -> Option<String> {
    let mut written = String::new();
    for segment in path.to_lowercase().split("__") {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if segment.is_empty() || !segment.chars().all(word) {
            return None;
        }
        match segment.parse::<usize>() {
            Ok(index) if index <= MAX_INDEX && !written.is_empty() => {
                written.push_str(&format!("[{index}]"));
            }
            Ok(_) => return None,
            Err(_) if written.is_empty() => written.push_str(segment),
            Err(_) => written.push_str(&format!(".{segment}")),
        }
    }
    Some(written)
}

/// A value as TOML writes it in one line: `["a", "b"]`, `{ name = "a" }`.
pub(super) fn inline(text: &str) -> Option<Value> {
    let document = format!("value = {text}");
    let mut parsed = config::File::from_str(&document, FileFormat::Toml)
        .collect()
        .ok()?;
    // A line break would let the text add keys of its own.
    (parsed.len() == 1).then(|| parsed.remove("value"))?
}
