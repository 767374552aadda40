//! `[store]`: where messages and events are kept.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::secret::Secret;
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
    /// The password for PostgreSQL, when the URL has none.
    pub password: Option<Secret>,
    /// A file of certificates that PostgreSQL's is checked against, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Connections to PostgreSQL for reading.
    pub connections: u32,
    /// How long what this replica holds stays its own when nothing is heard from it.
    pub lease: Duration,
    /// What this replica is called; `None` for the name of its host.
    pub replica: Option<String>,
}

/// Where messages and events are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A SQLite database in this file.
    Sqlite(PathBuf),
    /// A PostgreSQL database at this URL, which may have a password in it.
    Postgres(Secret),
}

/// When a message counts as durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Synchronous {
    /// When it is on the disk.
    Full,
    /// When the operating system has it.
    Normal,
}

/// A lease is renewed three times in its length, and a network may be slow for that long.
const MIN_LEASE: Duration = Duration::from_secs(1);
const MAX_LEASE: Duration = Duration::from_secs(600);

impl Store {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let accepted = "sqlite:// and a path, such as \"sqlite://sipost.db\", \
                        or postgres://user@host/database";
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
            password: section.secret("password", "password_file"),
            ca_file: section.file("ca_file"),
            connections: section.integer("connections", 1..=100_u32),
            lease: section.duration("lease", MIN_LEASE, MAX_LEASE),
            replica: section.text("replica", "a name", |text| Some(text.to_owned())),
        };
        section.finish();
        store
    }
}

impl Place {
    fn parse(url: &str) -> Option<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let is_usable = Url::parse(url).is_ok_and(|url| url.has_host() && url.path().len() > 1);
            return is_usable.then(|| Self::Postgres(Secret::new(url)));
        }
        let path = url.strip_prefix("sqlite://")?;
        let usable = !path.is_empty() && !path.contains('\0') && !path.starts_with(':');
        usable.then(|| Self::Sqlite(PathBuf::from(path)))
    }
}
