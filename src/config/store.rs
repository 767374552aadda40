//! `[store]`: where messages and events are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Access;
use url::Url;

use super::account::password;
use super::certificates::Authorities;
use super::report::{Report, Setting};
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
    /// Certificates that PostgreSQL's is checked against, beside the system's.
    pub authorities: Authorities,
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
        section.require_secret("url", accepted);
        let place = section.secret_url("url", accepted, Place::parse);
        let synchronous = [("full", Synchronous::Full), ("normal", Synchronous::Normal)];
        let store = Self {
            place: place.unwrap_or_else(|| Place::Sqlite(PathBuf::new())),
            synchronous: section.word("synchronous", &synchronous),
            recent_events: section.integer("recent_events", 0..=10_000_000_u32),
            recent_bytes: section.size("recent_bytes", 0..=16 << 30),
            password: section.secret("password", "a text of one line", password),
            authorities: section.authorities("ca_file"),
            connections: section.integer("connections", 1..=100_u32),
            lease: section.duration("lease", MIN_LEASE, MAX_LEASE),
            replica: section.text("replica", "a name", |text| Some(text.to_owned())),
        };
        section.finish();
        store
    }

    /// Notes a place where no store can be opened.
    ///
    /// Nothing is opened: to close a database that this process has open would end SQLite's locks.
    pub(super) fn check(&self, report: &Report) {
        let Place::Sqlite(path) = &self.place else {
            return;
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let is_in_file = |setting: &Setting| setting.key == "url_file" && setting.value.is_some();
        let key = match report.settings.borrow().iter().any(is_in_file) {
            true => "store.url_file",
            false => "store.url",
        };
        let wrong = |place: &Path, problem: &str| {
            let problem = format!("{} {problem}", place.display());
            let accepted = "a path in a directory that is there and can be written to";
            report.wrong(key, &problem, accepted);
        };
        let all = Access::READ_OK | Access::WRITE_OK;
        match directory.metadata() {
            Err(error) => wrong(directory, &format!("cannot be used: {error}")),
            Ok(found) if !found.is_dir() => wrong(directory, "is not a directory"),
            Ok(_) => match rustix::fs::access(directory, all | Access::EXEC_OK) {
                Err(error) => wrong(directory, &format!("cannot be written to: {error}")),
                Ok(()) if path.is_dir() => wrong(path, "is a directory"),
                Ok(()) if path.exists() => {
                    if let Err(error) = rustix::fs::access(path, all) {
                        wrong(path, &format!("cannot be written to: {error}"));
                    }
                }
                Ok(()) => {}
            },
        }
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
