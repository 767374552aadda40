//! Opens the database as it must be, and brings an older one up to date.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::Error;
use rusqlite::OpenFlags;

use super::Options;
use super::Synchronous;
use super::error::store_error;
use crate::message::Timestamp;
use crate::store::StoreError;

/// Every migration, from the first on. Their number is the `user_version` of the database.
const MIGRATIONS: &[&str] = &[include_str!(
    "../../../migrations/sqlite/0001_messages_and_events.sql"
)];

/// How long a connection waits for another one. Only readers and a checkpoint can be in the way.
const BUSY: Duration = Duration::from_secs(2);

/// Pages written to the log before they are moved to the database: a larger one than SQLite's own
/// 1000, because a busy gateway writes that many in a few commits.
const CHECKPOINT_PAGES: u32 = 4_000;

/// Opens the connection that writes, and makes or updates the tables.
pub(super) fn writer(options: &Options, now: Timestamp) -> Result<Connection, StoreError> {
    let open = || -> Result<Connection, Error> {
        let connection = Connection::open(&options.path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match options.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "cache_size", -32_768)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    let mut connection = open().map_err(|error| store_error(&error))?;
    migrate(&mut connection, now)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    let version: usize = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| store_error(&error))?;
    if version > MIGRATIONS.len() {
        return Err(StoreError::Damaged(format!(
            "the database is of version {version}, and this program knows {} at most: it was \
             written by a newer sipost",
            MIGRATIONS.len()
        )));
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        apply(connection, migration, index + 1, now).map_err(|error| store_error(&error))?;
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
        // The epoch names this log: another database, made at another second, has another.
        let epoch = now.as_millis() / 1_000;
        transaction.execute("INSERT INTO facts VALUES ('epoch', ?1)", [epoch])?;
        transaction.execute("INSERT INTO facts VALUES ('forgotten_to', 0)", [])?;
    }
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

/// Reads a number that the database keeps about itself.
pub(super) fn fact(connection: &Connection, name: &str) -> Result<u64, Error> {
    connection
        .prepare_cached("SELECT value FROM facts WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
}
