//! `[store]`: where messages and events are kept.

use std::path::PathBuf;

use super::section::Section;

/// Where messages and events are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Store {
    /// A SQLite database in this file.
    Sqlite(PathBuf),
}

impl Store {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let accepted = "sqlite:// and a path, such as \"sqlite://sipost.db\"";
        if !section.has("url") && !section.has("url_file") {
            section.miss("url", accepted);
        }
        let store = section.secret_url("url", "url_file", accepted, Self::parse);
        section.finish();
        store.unwrap_or_else(|| Self::Sqlite(PathBuf::new()))
    }

    fn parse(url: &str) -> Option<Self> {
        let path = url.strip_prefix("sqlite://")?;
        let usable = !path.is_empty() && !path.contains('\0') && !path.starts_with(':');
        usable.then(|| Self::Sqlite(PathBuf::from(path)))
    }
}
