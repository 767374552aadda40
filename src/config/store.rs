//! `[store]`: where messages and events are kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Access;
use url::Url;

use super::account::password;
use super::certificates::Authorities;
use super::findings::{Findings, Setting};
use super::section::Section;
use crate::message::without_os_error;
use crate::store::TailSize;
use crate::store::postgres::Address;
use crate::store::sqlite::{self, Synchronous};

/// Where messages and events are kept, and how.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub backend: Backend,
    /// When a message counts as durable.
    pub synchronous: Synchronous,
    /// Events kept in memory for those who follow them.
    pub tail: TailSize,
    /// Certificates that PostgreSQL's is checked against, beside the system's.
    pub authorities: Authorities,
    /// Connections to PostgreSQL for reading.
    pub connections: usize,
    /// How long what this replica holds stays its own when nothing is heard from it.
    pub lease: Duration,
    /// What this replica is called; `None` for the name of its host.
    pub replica: Option<String>,
}

/// Where messages and events are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Backend {
    /// A SQLite database in this file.
    Sqlite(PathBuf),
    Postgres(Box<Address>),
}

const URL: &str = "sqlite:// and a path, such as \"sqlite://sipost.db\", \
                   or postgres://user@host/database";
/// A lease is renewed three times in its length, and a network may be slow for that long.
const MIN_LEASE: Duration = Duration::from_secs(1);
const MAX_LEASE: Duration = Duration::from_secs(600);

impl StoreSettings {
    pub(super) fn read(mut section: Section<'_>, findings: &Findings) -> Self {
        section.require_secret("url", URL);
        let url = section.secret_url("url", URL, |url| is_usable(url).then(|| url.to_owned()));
        let synchronous = [("full", Synchronous::Full), ("normal", Synchronous::Normal)];
        let synchronous = section.word("synchronous", &synchronous);
        let tail = TailSize {
            events: section.integer("recent_events", 0..=10_000_000),
            bytes: section.size("recent_bytes", 0..=16 << 30),
        };
        let password = section.secret("password", "a text of one line", password);
        let backend = match url.as_deref() {
            Some(url) => Backend::parse(url, password.as_deref()),
            None => Some(Backend::Sqlite(PathBuf::new())),
        };
        if backend.is_none() {
            let accepted = "the parameters that the documentation of PostgreSQL lists";
            findings.wrong(url_key(findings), "invalid URL of PostgreSQL", accepted);
        }
        let store = Self {
            backend: backend.unwrap_or_else(|| Backend::Sqlite(PathBuf::new())),
            synchronous,
            tail,
            authorities: section.authorities("ca_file"),
            connections: section.integer("connections", 1..=100),
            lease: section.duration("lease", MIN_LEASE, MAX_LEASE),
            replica: section.text("replica", "a name", |text| Some(text.to_owned())),
        };
        section.finish();
        store
    }

    /// Notes a place where no store can be opened.
    ///
    /// Nothing is opened: to close a database that this process has open would end SQLite's locks.
    pub(super) fn check(&self, findings: &Findings) {
        let Backend::Sqlite(path) = &self.backend else {
            return;
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let wrong = |place: &Path, problem: &str| {
            let problem = format!("{} {problem}", place.display());
            let accepted = "a path in a directory that is there and can be written to";
            findings.wrong(url_key(findings), &problem, accepted);
        };
        let all = Access::READ_OK | Access::WRITE_OK;
        match directory.metadata() {
            Err(error) => wrong(
                directory,
                &format!("cannot be used: {}", without_os_error(error)),
            ),
            Ok(found) if !found.is_dir() => wrong(directory, "is not a directory"),
            Ok(_) => match rustix::fs::access(directory, all | Access::EXEC_OK) {
                Err(error) => wrong(
                    directory,
                    &format!("cannot be written to: {}", without_os_error(error)),
                ),
                Ok(()) if path.is_dir() => wrong(path, "is a directory"),
                Ok(()) if path.exists() => {
                    if let Err(error) = rustix::fs::access(path, all) {
                        wrong(
                            path,
                            &format!("cannot be written to: {}", without_os_error(error)),
                        );
                    }
                }
                Ok(()) => {}
            },
        }
    }

    /// Notes a file that is no database. Its first bytes are read, and nothing is opened or locked
    /// that a gateway would have to wait for.
    pub(super) fn check_database(&self, findings: &Findings) {
        if let Backend::Sqlite(path) = &self.backend
            && sqlite::is_other_file(path)
        {
            let problem = format!("{} is no SQLite database", path.display());
            let accepted = "a store that sipost made, or a path at which there is no file yet";
            findings.wrong(url_key(findings), &problem, accepted);
        }
    }
}

/// The key that says where the store is.
fn url_key(findings: &Findings) -> &'static str {
    let is_in_file = |setting: &Setting| setting.key == "url_file" && setting.value.is_some();
    if findings.settings.borrow().iter().any(is_in_file) {
        "store.url_file"
    } else {
        "store.url"
    }
}

/// Whether a store may be there, whatever PostgreSQL says to the parameters.
fn is_usable(url: &str) -> bool {
    match url.strip_prefix("sqlite://") {
        Some(path) => !path.is_empty() && !path.contains('\0') && !path.starts_with(':'),
        None => {
            let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
            is_postgres && Url::parse(url).is_ok_and(|url| url.has_host() && url.path().len() > 1)
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

impl Backend {
    /// A URL that [`is_usable`]; `password` counts when it has none.
    fn parse(url: &str, password: Option<&str>) -> Option<Self> {
        match url.strip_prefix("sqlite://") {
            Some(path) => Some(Self::Sqlite(PathBuf::from(path))),
            None => {
                let address = Address::parse(url, password).ok()?;
                Some(Self::Postgres(Box::new(address)))
            }
        }
    }
}
