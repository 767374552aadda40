//! Environment variables: `SIPOST__SECTION__KEY`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use config::Value;

use super::findings::Setting;
use super::mistake::{Mistake, Origin, VARIABLE_PREFIX};
use super::toml_file;

/// The most accounts that variables can count up to; the layering fills gaps below an index.
const MAX_INDEX: usize = 9999;

/// The settings that variables may name.
#[derive(Debug, Default)]
pub(super) struct KnownVariables {
    /// The name of each variable, with `0` for every index, by its [`squeezed`] form.
    names: BTreeMap<String, String>,
}

impl KnownVariables {
    pub(super) fn of(settings: &[Setting]) -> Self {
        let name = |setting: &Setting| {
            let section = setting.section.replace(['[', '.'], "__").replace(']', "");
            format!("{VARIABLE_PREFIX}{section}__{}", setting.key).to_uppercase()
        };
        let names = settings.iter().map(name);
        Self {
            names: names.map(|name| (squeezed(&name).0, name)).collect(),
        }
    }

    /// The variable that was meant by one that differs in underscores and case only.
    ///
    /// Any other name with our prefix may be of another program: Kubernetes sets
    /// `SIPOST_SERVICE_HOST` for a service of the name `sipost`.
    fn meant_by(&self, name: &str) -> Option<String> {
        let (form, indexes) = squeezed(name);
        let mut meant = self.names.get(&form)?.clone();
        for index in indexes {
            meant = meant.replacen("__0__", &format!("__{index}__"), 1);
        }
        let is_right = name.starts_with(VARIABLE_PREFIX) && name.to_uppercase() == meant;
        (!is_right).then_some(meant)
    }
}

/// A name in the form that mistyped ones share: in upper case, with single underscores, and 0 for
/// each index; and the indexes.
fn squeezed(name: &str) -> (String, Vec<String>) {
    let name = name.to_uppercase();
    let mut indexes = Vec::new();
    let segments = name.split('_').filter(|segment| !segment.is_empty());
    let segments = segments.map(|segment| {
        if segment.bytes().all(|byte| byte.is_ascii_digit()) {
            indexes.push(segment.to_owned());
            return "0";
        }
        segment
    });
    let form = segments.collect::<Vec<_>>().join("_");
    (form, indexes)
}

/// The path and the value of each of our variables: one that goes deeper into a list comes after
/// the one that sets the list. Empty ones count as not set.
pub(super) fn read(
    given: &[(OsString, OsString)],
    known: &KnownVariables,
    mistakes: &mut Vec<Mistake>,
) -> Vec<(String, Value)> {
    let mut ours = BTreeMap::new();
    for (name, value) in given {
        let Some(name) = name.to_str().filter(|_| !value.is_empty()) else {
            continue;
        };
        if let Some(meant) = known.meant_by(name) {
            let problem = format!("unknown variable; did you mean {meant}?");
            mistakes.push(Mistake::whole(name, problem));
            continue;
        }
        let Some(path) = name.strip_prefix(VARIABLE_PREFIX) else {
            continue;
        };
        let Some(text) = value.to_str() else {
            mistakes.push(Mistake::whole(name, "is not UTF-8".to_owned()));
            continue;
        };
        match expression(path) {
            Some(expression) => drop(ours.insert(expression, (name, text))),
            None => mistakes.push(Mistake::whole(name, "names no setting".to_owned())),
        }
    }
    let value = |(path, (name, text)): (String, (&str, &str))| {
        let label = Origin::Variable(name.to_owned()).label();
        let list = match path.as_str() {
            "account" => toml_file::inline(text, &label),
            _ => None,
        };
        let value = list.unwrap_or_else(|| Value::new(Some(&label), text));
        (path, value)
    };
    ours.into_iter().map(value).collect()
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
