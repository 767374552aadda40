//! Makes the tables, brings older ones up to date, and begins a new epoch in a database that was
//! put back from a dump.

use std::sync::Arc;

use super::Address;
use super::connection::{Connection, Connector};
use crate::message::Timestamp;
use crate::store::StoreError;
use crate::store::session::Lock;

/// Every migration, from the first on; `facts.version` counts those that were applied.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001_messages_and_events.sql"),
    include_str!("../../../migrations/postgres/0002_webhooks.sql"),
    include_str!("../../../migrations/postgres/0003_traces.sql"),
    include_str!("../../../migrations/postgres/0004_received.sql"),
    include_str!("../../../migrations/postgres/0005_frames.sql"),
    include_str!("../../../migrations/postgres/0006_priority.sql"),
    include_str!("../../../migrations/postgres/0007_agent_events.sql"),
    include_str!("../../../migrations/postgres/0008_turns.sql"),
];

/// Applies the missing migrations in one transaction. `now` names the epoch of a new database.
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
    let found = if exists {
        usize::try_from(fact(connection, "version").await?).unwrap_or(usize::MAX)
    } else {
        0
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

/// Begins a new epoch in a database that was put back from a dump, so that ids of events that were
/// given since it was made are not given again to other events; gives its number. Refuses while
/// gateways work on it. `now` names the epoch.
pub async fn begin_epoch(
    address: Address,
    tls: Option<Arc<rustls::ClientConfig>>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let connection = Connector::new(address, tls).connect(None).await?;
    let client = connection.client();
    if client
        .query_one("SELECT to_regclass('facts') IS NULL", &[])
        .await?
        .try_get(0)?
    {
        return Err(StoreError::Foreign(
            "the database has none of its tables".to_owned(),
        ));
    }
    migrate(&connection, now).await?;
    // However large it is.
    client
        .batch_execute("SET statement_timeout = 0; BEGIN")
        .await?;
    let begun = anew(&connection, now).await;
    let end = if begun.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await?;
    begun
}

/// Accounts for what may have happened since the dump was made. Open messages may have been sent.
/// With `resend` they are sent again under their Call-ID. With `fail` they must not be: they count
/// as being sent, so that a dispatcher ends them as ambiguous, unless they were not due before
/// `now`. Deliveries carry the ids of their events, and so those of the new epoch.
///
/// All of it is one transaction, however many rows that is: no gateway waits for it, and an
/// attempt that is interrupted leaves nothing.
async fn anew(connection: &Connection, now: Timestamp) -> Result<u64, StoreError> {
    let client = connection.client();
    // Gateways that start now wait, and find the new epoch.
    connection.lock(Lock::Migrating).await?;
    let row = client
        .query_one(
            "SELECT string_agg(name, ', ' ORDER BY name), \
             ceil(extract(epoch FROM max(lease_until) - clock_timestamp()))::int8 \
             FROM replicas WHERE NOT fenced AND lease_until > clock_timestamp()",
            &[],
        )
        .await?;
    if let Some(names) = row.try_get::<_, Option<&str>>(0)? {
        let seconds: i64 = row.try_get(1)?;
        return Err(StoreError::Locked(format!(
            "these gateways work on it: {names}. The lease of one that was killed, or that ran \
             when the dump was made, ends by itself, in {seconds} s here"
        )));
    }
    let row = client
        .query_one(
            "UPDATE facts f SET value = greatest(f.value + 1, $1) \
             FROM (SELECT value FROM facts WHERE name = 'epoch' FOR UPDATE) old \
             WHERE f.name = 'epoch' RETURNING old.value, f.value",
            &[&epoch_of(now)],
        )
        .await?;
    let (old, new): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    client
        .execute(
            "UPDATE states s SET status = 2, attempt = greatest(s.attempt, 1) FROM messages m \
             WHERE m.id = s.id AND s.completed_at IS NULL AND m.on_unknown = 1 \
             AND coalesce(s.not_before, m.send_at, 0) <= $1",
            &[&now.as_millis()],
        )
        .await?;
    let prefix = |epoch: i64| format!("{{\"id\":\"{epoch}-").into_bytes();
    client
        .execute(
            "UPDATE deliveries SET json = $2::bytea || substring(json FROM length($1::bytea) + 1) \
             WHERE substring(json FROM 1 FOR length($1::bytea)) = $1::bytea",
            &[&prefix(old), &prefix(new)],
        )
        .await?;
    Ok(u64::try_from(new).unwrap_or(0))
}
