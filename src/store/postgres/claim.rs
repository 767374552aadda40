//! Picking up what others left here, taking over from dead replicas, and reading for sending.
//!
//! All open messages of a lane belong to one replica, which is what keeps one of them in flight at
//! a time, and them in order. So they are taken over lane by lane, under the same locks
//! that taking in takes, by one replica at a time.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::agent_leases::AgentHolders;
use super::connection::{Connection, fence_lock};
use super::lease::Lease;
use super::{lanes, session};
use crate::message::{Message, MessageId};
use crate::store::messages::{MESSAGE, claimed, message};
use crate::store::session::Lock;
use crate::store::{Claimed, StoreError, Stranded};

/// Lanes taken over in one transaction: each is a lock in the shared memory of the database.
const LANES: usize = 500;

/// Hands out up to `limit` messages that this replica owns and does not know of, those above normal
/// and of these the oldest first; takes over from replicas that are gone when there are fewer.
pub(super) async fn claim(
    connection: &Connection,
    lease: &Lease,
    limit: usize,
) -> Result<Vec<Claimed>, StoreError> {
    let me = lease.number();
    let mut all = pick_up(connection, me, limit).await?;
    while all.len() < limit && take_over(connection, lease, limit - all.len()).await? > 0 {
        all.extend(pick_up(connection, me, limit - all.len()).await?);
    }
    Ok(all)
}

async fn pick_up(
    connection: &Connection,
    me: i64,
    limit: usize,
) -> Result<Vec<Claimed>, StoreError> {
    let statement = connection
        .prepare(
            "WITH urgent AS (SELECT id FROM states WHERE owner = $1 AND NOT claimed \
             AND completed_at IS NULL AND urgent ORDER BY number LIMIT $2 \
             FOR UPDATE SKIP LOCKED), \
             others AS (SELECT id FROM states WHERE owner = $1 AND NOT claimed \
             AND completed_at IS NULL AND NOT urgent ORDER BY number \
             LIMIT $2 - (SELECT count(*) FROM urgent) FOR UPDATE SKIP LOCKED), \
             mine AS (SELECT id FROM urgent UNION ALL SELECT id FROM others), \
             known AS (UPDATE states s SET claimed = true FROM mine WHERE s.id = mine.id \
             RETURNING s.id, s.number, s.status, s.attempt, s.not_before) \
             SELECT m.id, m.uri, m.account, known.status, known.attempt, m.attempts, m.on_unknown, \
             coalesce(known.not_before, m.send_at), m.expires_at, m.priority \
             FROM known JOIN messages m ON m.id = known.id ORDER BY known.number",
        )
        .await?;
    let rows = connection
        .client()
        .query(&statement, &[&me, &session::limit(limit)])
        .await?;
    rows.iter().map(|row| claimed(row)).collect()
}

/// Makes lanes of replicas that are gone ours, those with urgent messages first; how many messages
/// that brought.
async fn take_over(
    connection: &Connection,
    lease: &Lease,
    limit: usize,
) -> Result<u64, StoreError> {
    let client = connection.client();
    let me = lease.number();
    let dead = fence(connection, lease, me).await?;
    if dead.is_empty() {
        return Ok(0);
    }
    if !connection.try_lock(Lock::TakingOver).await? {
        return Ok(0);
    }
    let limit = limit.min(LANES);
    let mut lanes = lanes_of(connection, &dead, limit, "AND urgent").await?;
    if lanes.is_empty() {
        lanes = lanes_of(connection, &dead, limit, "").await?;
    }
    if lanes.is_empty() {
        return Ok(0);
    }
    lanes::lock(connection, &lanes).await?;
    let take = connection
        .prepare(
            "UPDATE states s SET owner = $3, claimed = false FROM unnest($1::int8[]) AS u (lane) \
             WHERE s.lane = u.lane AND s.completed_at IS NULL AND s.owner = ANY($2)",
        )
        .await?;
    Ok(client.execute(&take, &[&lanes, &dead, &me]).await?)
}

/// Lanes in which these replicas have open messages, such ones.
async fn lanes_of(
    connection: &Connection,
    dead: &[i64],
    limit: usize,
    such: &'static str,
) -> Result<Vec<i64>, StoreError> {
    let statement = connection
        .prepare(&format!(
            "SELECT lane FROM (SELECT DISTINCT lane FROM (SELECT s.lane FROM \
             unnest($1::int8[]) AS d (owner) CROSS JOIN LATERAL (SELECT lane FROM states \
             WHERE owner = d.owner AND completed_at IS NULL {such} LIMIT $2) s LIMIT $2) l) l \
             ORDER BY lane"
        ))
        .await?;
    let limit = session::limit(limit);
    let rows = connection
        .client()
        .query(&statement, &[&dead, &limit])
        .await?;
    let lanes = rows.iter().map(|row| row.try_get(0));
    Ok(lanes.collect::<Result<_, _>>()?)
}

/// The replicas whose messages may be taken over. Those that have not renewed their lease are
/// fenced: they cannot go on under their number. One that is writing at this very moment is fenced
/// the next time.
async fn fence(connection: &Connection, lease: &Lease, me: i64) -> Result<Vec<i64>, StoreError> {
    let client = connection.client();
    if lease.is_steady() {
        let statement = connection
            .prepare(
                "UPDATE replicas SET fenced = true WHERE number <> $1 AND NOT fenced \
                 AND CASE WHEN lease_until < clock_timestamp() THEN \
                 pg_try_advisory_xact_lock($2, (number % 2147483647)::int4) ELSE false END \
                 RETURNING name",
            )
            .await?;
        let (class, _) = fence_lock(me);
        for row in client.query(&statement, &[&me, &class]).await? {
            let name: &str = row.try_get(0)?;
            tracing::warn!(replica = name, "has not renewed its lease; taking over");
        }
    }
    let statement = connection
        .prepare("SELECT number FROM replicas WHERE fenced AND number <> $1")
        .await?;
    let dead = client.query(&statement, &[&me]).await?;
    Ok(dead
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?)
}

/// Gives lanes to replicas that have an agent for them; the targets of those it gave. A lane for
/// which this replica has an agent stays.
pub(super) async fn hand_over(
    connection: &Connection,
    agent_holders: &AgentHolders,
    stranded: &[Stranded],
) -> Result<Vec<Arc<str>>, StoreError> {
    let me = agent_holders.me();
    let mut given: Vec<(i64, i64, Arc<str>)> = stranded
        .iter()
        .map(|one| {
            (
                session::lane(&one.uri),
                agent_holders.owner_for(one.account.as_deref()),
                one,
            )
        })
        .filter(|(_, owner, _)| *owner != me)
        .map(|(lane, owner, one)| (lane, owner, one.uri.clone()))
        .take(LANES)
        .collect();
    given.sort_unstable();
    let lanes: Vec<i64> = given.iter().map(|(lane, ..)| *lane).collect();
    let owners: Vec<i64> = given.iter().map(|(_, owner, _)| *owner).collect();
    let client = connection.client();
    lanes::lock(connection, &lanes).await?;
    let give = connection
        .prepare(
            "UPDATE states s SET owner = u.owner, claimed = false \
             FROM unnest($1::int8[], $2::int8[]) AS u (lane, owner) \
             WHERE s.lane = u.lane AND s.completed_at IS NULL AND s.owner = $3",
        )
        .await?;
    client.execute(&give, &[&lanes, &owners, &me]).await?;
    client
        .execute("SELECT pg_notify('sipost_claims', '')", &[])
        .await?;
    Ok(given.into_iter().map(|(.., uri)| uri).collect())
}

/// Whether [`claim`] would find something, as far as can be told without locks.
pub(super) async fn is_claimable(
    connection: &Connection,
    lease: &Lease,
) -> Result<bool, StoreError> {
    let statement = connection
        .prepare(
            "SELECT EXISTS (SELECT FROM states WHERE owner = $1 AND NOT claimed \
             AND completed_at IS NULL) OR EXISTS (SELECT FROM replicas r \
             WHERE r.number <> $1 AND (r.fenced OR ($2 AND r.lease_until < clock_timestamp())) \
             AND EXISTS (SELECT FROM states s WHERE s.owner = r.number \
             AND s.completed_at IS NULL))",
        )
        .await?;
    let row = connection
        .client()
        .query_one(&statement, &[&lease.number(), &lease.is_steady()])
        .await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn load(
    connection: &Connection,
    ids: &[MessageId],
) -> Result<Vec<Arc<Message>>, StoreError> {
    let sql = format!(
        "SELECT {MESSAGE} FROM unnest($1::uuid[]) AS s (id) JOIN messages m ON m.id = s.id"
    );
    let statement = connection.prepare(&sql).await?;
    let wanted: Vec<Uuid> = ids.iter().copied().map(session::uuid).collect();
    let found = connection.client().query(&statement, &[&wanted]).await?;
    let mut by_id = HashMap::with_capacity(found.len());
    for row in &found {
        let message = message(row)?;
        by_id.insert(message.id, Arc::new(message));
    }
    Ok(ids.iter().filter_map(|id| by_id.get(id).cloned()).collect())
}
