//! Collects the mistakes and the settings while a configuration is read.

use std::cell::RefCell;

use config::{Value, ValueKind};

use super::mistake::{Mistake, Origin, join};
use super::toml_file::Places;
use super::value;

/// One key with its effective value, for `sipost config`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// The table, such as `sip` or `account[0]`.
    pub section: String,
    /// The key in it.
    pub key: String,
    /// The value as TOML, secrets masked; `None` when it is not set.
    pub value: Option<String>,
    /// The origin of the value.
    pub origin: Origin,
}

/// The mistakes and the settings until now.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) mistakes: RefCell<Vec<Mistake>>,
    pub(super) settings: RefCell<Vec<Setting>>,
    /// Where the tables of the file begin.
    pub(super) places: Places,
}

impl Findings {
    /// The origin of the value at this path. A table that was merged with another has lost its own,
    /// but not those of its values.
    pub(super) fn origin(&self, path: &str, value: &Value) -> Origin {
        let own = value::origin_of(value);
        let is_merged = matches!(value.kind, ValueKind::Table(_)) && own == Origin::Default;
        if is_merged {
            self.place(path).unwrap_or_else(|| strongest(value))
        } else {
            own
        }
    }

    /// Where the table of this path begins in the file, if it is there.
    pub(super) fn place(&self, path: &str) -> Option<Origin> {
        let label = self.places.get(path)?;
        Some(Origin::of_label(Some(label)))
    }

    pub(super) fn note(&self, path: &str, problem: &str, accepted: &str, origin: Option<Origin>) {
        self.mistakes.borrow_mut().push(Mistake {
            path: path.to_owned(),
            problem: problem.to_owned(),
            accepted: accepted.to_owned(),
            origin,
        });
    }

    /// Notes a mistake of a key that was read without one.
    pub(super) fn wrong(&self, path: &str, problem: &str, accepted: &str) {
        let settings = self.settings.borrow();
        let setting = settings
            .iter()
            .rfind(|setting| join(&setting.section, &setting.key) == path);
        let origin = setting.map(|setting| setting.origin.clone());
        self.note(path, problem, accepted, origin);
    }
}

/// The strongest layer that a part of this value came from.
fn strongest(value: &Value) -> Origin {
    match &value.kind {
        ValueKind::Table(values) => values.values().map(strongest).max(),
        ValueKind::Array(items) => items.iter().map(strongest).max(),
        _ => None,
    }
    .unwrap_or(Origin::Default)
    .max(value::origin_of(value))
}

/// The known key that is most like a mistyped one.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    // In short words one wrong letter, or two swapped ones, are a large part.
    let is_next = |other: &&&'k str| strsim::osa_distance(key, other) == 1;
    let alike = |other: &&'k str| (strsim::jaro_winkler(key, other) * 1000.0) as u32;
    let next = known.iter().filter(is_next).copied();
    if let Some(next) = next.max_by_key(alike) {
        return Some(next);
    }
    let nearest = known.iter().copied().max_by_key(alike)?;
    (alike(&nearest) > 850).then_some(nearest)
}
