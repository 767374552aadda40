//! Makes the tables, and brings older ones up to date.

use super::connection::Connection;
use crate::message::Timestamp;
use crate::store::StoreError;
use crate::store::session::Lock;

/// Every migration, from the first on; `facts.version` counts those that were applied.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001_messages_and_events.sql"),
    include_str!("../../../migrations/postgres/0002_webhooks.sql"),
    include_str!("../../../migrations/postgres/0003_traces.sql"),
];

/// Applies what is missing, in one transaction. `now` names the epoch of a new database.
///
/// The replicas of the version before go on meanwhile: a migration only adds, and what a newer one
/// added is no reason to refuse. Only a database that is two versions ahead is.
pub(super) async fn migrate(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let client = connection.client();
    client.batch_execute("BEGIN").await?;
    let done = apply(connection, now).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await?;
    done
}

async fn apply(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let client = connection.client();
    connection.lock(Lock::Migrating).await?;
    let exists: bool = client
        .query_one("SELECT to_regclass('facts') IS NOT NULL", &[])
        .await?
        .try_get(0)?;
    let found = match exists {
        true => usize::try_from(fact(connection, "version").await?).unwrap_or(usize::MAX),
        false => 0,
    };
    // One ahead is the release that is being rolled out beside this one.
    if found > MIGRATIONS.len() + 1 {
        return Err(StoreError::Newer {
            found,
            known: MIGRATIONS.len(),
        });
    }
    for migration in MIGRATIONS.iter().skip(found) {
        client.batch_execute(migration).await?;
    }
    if found == 0 {
        let epoch = epoch_of(now);
        client
            .execute(
                "INSERT INTO facts VALUES ('version', 0), ('epoch', $1), ('forgotten_to', 0), \
                 ('purged_to', 0), ('discarded_to', 0)",
                &[&epoch],
            )
            .await?;
        client
            .execute("INSERT INTO log (last) VALUES (0)", &[])
            .await?;
    }
    if found < MIGRATIONS.len() {
        let version = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        client
            .execute(
                "UPDATE facts SET value = $1 WHERE name = 'version'",
                &[&version],
            )
            .await?;
    }
    Ok(())
}

/// The epoch names a log: another one, begun at another second, has another.
pub(super) fn epoch_of(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(1_000).max(1)
}

/// Reads a number that the database keeps about itself.
pub(super) async fn fact(connection: &Connection, name: &str) -> Result<u64, StoreError> {
    let row = connection
        .client()
        .query_one("SELECT value FROM facts WHERE name = $1", &[&name])
        .await?;
    Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
}
