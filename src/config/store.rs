//! `[store]`: where messages and events are kept.

use std::path::PathBuf;

use super::section::Section;

/// Where messages and events are kept, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Store {
    /// Where.
    pub place: Place,
    /// When a message counts as durable.
    pub synchronous: Synchronous,
    /// Events kept in memory for those who follow them.
    pub recent_events: u32,
    /// Bytes of them.
    pub recent_bytes: usize,
}

/// Where messages and events are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A SQLite database in this file.
    Sqlite(PathBuf),
}

/// When a message counts as durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Synchronous {
    /// When it is on the disk.
    Full,
    /// When the operating system has it.
    Normal,
}

impl Store {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let accepted = "sqlite:// and a path, such as \"sqlite://sipost.db\"";
        if !section.has("url") && !section.has("url_file") {
            section.miss("url", accepted);
        }
        let place = section.secret_url("url", "url_file", accepted, Place::parse);
        let synchronous = [("full", Synchronous::Full), ("normal", Synchronous::Normal)];
        let store = Self {
            place: place.unwrap_or_else(|| Place::Sqlite(PathBuf::new())),
            synchronous: section.word("synchronous", &synchronous),
            recent_events: section.integer("recent_events", 0..=10_000_000_u32),
            recent_bytes: section.size("recent_bytes", 0..=16 << 30),
        };
        section.finish();
        store
    }
}

impl Place {
    fn parse(url: &str) -> Option<Self> {
        let path = url.strip_prefix("sqlite://")?;
        let usable = !path.is_empty() && !path.contains('\0') && !path.starts_with(':');
        usable.then(|| Self::Sqlite(PathBuf::from(path)))
    }
}
