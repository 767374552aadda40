//! A database that was put back from a dump begins a new epoch.

use std::sync::Arc;

use super::connection::{Connection, Connector};
use super::{Address, schema};
use crate::message::Timestamp;
use crate::store::StoreError;
use crate::store::session::Lock;

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
        return Err(StoreError::Damaged("there is no store in it".to_owned()));
    }
    schema::migrate(&connection, now).await?;
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
/// All of it is one transaction, however many rows that is: no gateway waits for it, and what is
/// interrupted can begin again.
async fn anew(connection: &Connection, now: Timestamp) -> Result<u64, StoreError> {
    let client = connection.client();
    // Gateways that start now wait, and find the new epoch.
    connection.lock(Lock::Migrating).await?;
    let working: i64 = client
        .query_one(
            "SELECT count(*) FROM replicas WHERE NOT fenced AND lease_until > clock_timestamp()",
            &[],
        )
        .await?
        .try_get(0)?;
    if working > 0 {
        return Err(StoreError::Locked(format!(
            "{working} gateways work on it; a lease of one that was killed ends by itself"
        )));
    }
    let row = client
        .query_one(
            "UPDATE facts f SET value = greatest(f.value + 1, $1) \
             FROM (SELECT value FROM facts WHERE name = 'epoch' FOR UPDATE) old \
             WHERE f.name = 'epoch' RETURNING old.value, f.value",
            &[&schema::epoch_of(now)],
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
