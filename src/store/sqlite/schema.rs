//! Opens the database as it must be, and brings an older one up to date.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Error, OpenFlags};

use super::checkpoints::WAL_PAGES;
use super::{Options, Synchronous};
use crate::message::Timestamp;
use crate::store::StoreError;

/// Every migration, from the first on. Their number is the `user_version` of the database.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_messages_and_events.sql"),
    include_str!("../../../migrations/sqlite/0002_webhooks.sql"),
    include_str!("../../../migrations/sqlite/0003_traces.sql"),
    include_str!("../../../migrations/sqlite/0004_received.sql"),
    include_str!("../../../migrations/sqlite/0005_frames.sql"),
    include_str!("../../../migrations/sqlite/0006_priority.sql"),
    include_str!("../../../migrations/sqlite/0007_agent_events.sql"),
];

/// SQLite's `application_id` of our databases, so that no other program's is taken for one: "SIPp".
const APPLICATION: i64 = 0x5349_5070;

/// How long a connection waits for another one. Only another program can be in the way.
pub(super) const BUSY: Duration = Duration::from_secs(2);

/// The size to which the WAL's file is cut after a burst, in bytes.
const LOG_LIMIT: u32 = 64 * 1024 * 1024;

/// Memory for pages, of the writer and of each reader, in KiB. Negative, as SQLite wants it.
const WRITER_CACHE: i32 = -32 * 1024;
const READER_CACHE: i32 = -4 * 1024;

/// Opens the connection that writes, and makes or updates the tables. `now` names the epoch of a
/// new database.
pub(super) fn writer(options: &Options, now: Timestamp) -> Result<Connection, StoreError> {
    // When it cannot be made, SQLite says why.
    let _ = make_private(&options.path);
    let mut connection = Connection::open_with_flags(
        &options.path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    // SQLite opens a file that may only be read, and says so at the first write. Asked before
    // anything is read, because reading makes files beside it that may not be written either.
    if connection.is_readonly("main")? {
        let path = options.path.display();
        return Err(StoreError::ReadOnly(format!("{path} may only be read")));
    }
    check_owner(&connection)?;
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_LIMIT)?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The bundled library turns them on; no table has any.
    connection.pragma_update(None, "foreign_keys", false)?;
    migrate(&mut connection, now)?;
    check_writable(&connection)?;
    // Not before it is known to be a store: the warning has a command that changes the file.
    warn_of_readers(&options.path);
    Ok(connection)
}

/// Refuses a database whose files may not all be written. A disk that is full now is no reason not
/// to start: what was accepted can still be read, and room can come back.
fn check_writable(connection: &Connection) -> Result<(), StoreError> {
    match count_check(connection).map_err(StoreError::from) {
        Err(StoreError::ReadOnly(text)) => Err(StoreError::ReadOnly(text)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the file of a new database readable by its owner alone: messages and secrets lie in it.
/// Files that SQLite puts beside it have the same rights.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    let mut new = File::options();
    new.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut new, 0o600);
    new.open(path).map(drop)
}

/// Warns of a store that every user of this machine may read or write. It is not changed: there may
/// be a reason. A group may be one, and a volume of Kubernetes has one.
fn warn_of_readers(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).map(|file| file.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o007 != 0) {
            let path = path.display();
            tracing::warn!("the store is open to every user of this machine: chmod o= '{path}'*");
        }
    }
}

/// Opens a connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "cache_size", READER_CACHE)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Refuses the database of another program before anything in it is changed.
fn check_owner(connection: &Connection) -> Result<(), StoreError> {
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == APPLICATION || (application == 0 && tables == 0) {
        return Ok(());
    }
    Err(StoreError::Foreign(
        "the file is a database of another program".to_owned(),
    ))
}

/// Refuses a file that is no store, and a store that a newer program wrote.
pub(super) fn check_known(connection: &Connection) -> Result<(), StoreError> {
    check_owner(connection)?;
    match version(connection)? {
        0 => Err(StoreError::Foreign(
            "the file has none of its tables".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Migrations that were applied; 0 in a new file.
fn version(connection: &Connection) -> Result<usize, StoreError> {
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > MIGRATIONS.len() {
        return Err(StoreError::Newer {
            found: version,
            known: MIGRATIONS.len(),
        });
    }
    Ok(version)
}

pub(super) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    let version = version(connection)?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        apply(connection, migration, index + 1, now)?;
    }
    Ok(())
}

fn apply(
    connection: &mut Connection,
    migration: &str,
    version: usize,
    now: Timestamp,
) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(migration)?;
    if version == 1 {
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        let epoch = epoch_of(now);
        let mut insert = transaction.prepare("INSERT INTO facts VALUES (?1, ?2)")?;
        insert.execute(("epoch", epoch))?;
        for position in ["forgotten_to", "purged_to", "discarded_to"] {
            insert.execute((position, 0))?;
        }
    }
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

/// The epoch names a log: another one, begun at another second, has another.
pub(super) fn epoch_of(now: Timestamp) -> u64 {
    let seconds = now.as_millis().div_euclid(1_000);
    u64::try_from(seconds).unwrap_or(0).max(1)
}

/// Reads a number that the database keeps about itself.
pub(super) fn fact(connection: &Connection, name: &str) -> Result<u64, Error> {
    connection
        .prepare_cached("SELECT value FROM facts WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
}

/// Changes a number that the database keeps about itself.
pub(super) fn set_fact(connection: &Connection, name: &str, value: u64) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE facts SET value = ?2 WHERE name = ?1")?
        .execute((name, value))
        .map(drop)
}

/// Writes something that changes: what stays as it was SQLite does not write at all, so it would
/// not tell whether anything can be written.
pub(super) fn count_check(connection: &Connection) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO facts VALUES ('checks', 1) \
             ON CONFLICT (name) DO UPDATE SET value = (value + 1) % 1000000",
        )?
        .execute([])
        .map(drop)
}
