//! What is found while reading: mistakes, and what holds.

use std::cell::RefCell;

use super::mistake::Mistake;
use super::mistake::Origin;

/// One key as it holds: what `sipost config` prints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Setting {
    /// The table, such as `sip` or `account[0]`.
    pub section: String,
    /// The key in it.
    pub key: String,
    /// The value as TOML, secrets masked; `None` when it is not set.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// What was found while reading.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) mistakes: RefCell<Vec<Mistake>>,
    pub(super) settings: RefCell<Vec<Setting>>,
}

impl Report {
    /// Notes a mistake.
    pub(super) fn note(&self, path: &str, problem: &str, accepted: &str, origin: Option<Origin>) {
        self.mistakes.borrow_mut().push(Mistake {
            path: path.to_owned(),
            problem: problem.to_owned(),
            accepted: accepted.to_owned(),
            origin,
        });
    }

    /// Notes a mistake that concerns a key which was read without one.
    pub(super) fn wrong(&self, path: &str, problem: &str, accepted: &str) {
        let settings = self.settings.borrow();
        let setting = settings
            .iter()
            .rfind(|setting| join(&setting.section, &setting.key) == path);
        let origin = setting.map(|setting| setting.origin.clone());
        self.note(path, problem, accepted, origin);
    }
}

/// The path of a key.
pub(super) fn join(section: &str, key: &str) -> String {
    match section {
        "" => key.to_owned(),
        section => format!("{section}.{key}"),
    }
}

/// The key that was probably meant.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let alike = |other: &&'k str| (strsim::jaro_winkler(key, other) * 1000.0) as u32;
    let nearest = known.iter().copied().max_by_key(alike)?;
    (alike(&nearest) > 850).then_some(nearest)
}
