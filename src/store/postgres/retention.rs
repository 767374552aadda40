//! Letting go of what is old, in small steps, by one replica at a time.
//!
//! The log has the ends of messages in the order in which they came, so walking along it finds
//! what is old first, without an index on age that every message would pay for. Each walk keeps its
//! place in the database and looks at a bounded number of events.

use uuid::Uuid;

use super::connection::Connection;
use super::schema::LOCKS;
use super::{rows, schema};
use crate::message::Timestamp;
use crate::store::{Step, StoreError};

/// Held while somebody removes what is old.
const REMOVING: i32 = 3;
/// Events looked at for each message wanted: most messages have two.
const SCAN_PER_MESSAGE: usize = 4;
/// Events looked at in a step, at least and at most: where many messages wait there are stretches
/// of the log in which none ends.
const MIN_SCAN: usize = 2_000;
const MAX_SCAN: usize = 20_000;

/// Messages that have ended, as a walk along the log finds them.
#[derive(Default)]
struct Ends {
    ids: Vec<Uuid>,
    seqs: Vec<i64>,
}

/// Removes messages; and up to which event the log has holes now.
pub(super) async fn purge(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<(Step, Option<u64>), StoreError> {
    if !is_alone(connection).await? {
        return Ok((Step::default(), None));
    }
    // What webhooks are still to be told of stays.
    let planned_to = rows::from_seq(schema::fact(connection, "planned_to").await?);
    let is_old = |seq, completed_at: Option<i64>| {
        completed_at.is_some_and(|at| at < before.as_millis()) && seq <= planned_to
    };
    let (ends, step) = walk(connection, "purged_to", limit, is_old).await?;
    let Some(last) = ends.seqs.last() else {
        return Ok((step, None));
    };
    let client = connection.client();
    let chains = connection
        .prepare(
            "WITH RECURSIVE chain AS (SELECT e.seq, e.previous FROM unnest($1::int8[]) AS u (seq) \
             JOIN events e ON e.seq = u.seq UNION ALL SELECT e.seq, e.previous FROM chain c \
             JOIN events e ON e.seq = c.previous) \
             DELETE FROM events e USING chain WHERE e.seq = chain.seq",
        )
        .await?;
    client.execute(&chains, &[&ends.seqs]).await?;
    for sql in [
        "DELETE FROM states s USING unnest($1::uuid[]) AS u (id) WHERE s.id = u.id",
        "DELETE FROM messages m USING unnest($1::uuid[]) AS u (id) WHERE m.id = u.id",
    ] {
        let statement = connection.prepare(sql).await?;
        client.execute(&statement, &[&ends.ids]).await?;
    }
    set_fact(connection, "forgotten_to", *last).await?;
    Ok((step, Some(rows::to_seq(*last))))
}

pub(super) async fn discard_bodies(
    connection: &Connection,
    limit: usize,
) -> Result<Step, StoreError> {
    if !is_alone(connection).await? {
        return Ok(Step::default());
    }
    let (ends, step) = walk(connection, "discarded_to", limit, |_, _| true).await?;
    let statement = connection
        .prepare(
            "UPDATE messages m SET body = NULL FROM unnest($1::uuid[]) AS u (id) \
             WHERE m.id = u.id",
        )
        .await?;
    connection
        .client()
        .execute(&statement, &[&ends.ids])
        .await?;
    Ok(step)
}

pub(super) async fn forget_keys(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    if !is_alone(connection).await? {
        return Ok(0);
    }
    // Up to the first that is too young, in the order of use.
    let statement = connection
        .prepare(
            "WITH oldest AS MATERIALIZED (SELECT number, created_at FROM idempotency_keys \
             ORDER BY number LIMIT $2), young AS (SELECT min(number) AS number FROM oldest \
             WHERE created_at >= $1) DELETE FROM idempotency_keys k USING oldest, young \
             WHERE k.number = oldest.number \
             AND (young.number IS NULL OR oldest.number < young.number)",
        )
        .await?;
    let forgotten = connection
        .client()
        .execute(&statement, &[&before.as_millis(), &rows::limit(limit)])
        .await?;
    Ok(usize::try_from(forgotten).unwrap_or(usize::MAX))
}

/// Takes the right to remove until the transaction ends, unless another replica has it.
async fn is_alone(connection: &Connection) -> Result<bool, StoreError> {
    let row = connection
        .client()
        .query_one(
            "SELECT pg_try_advisory_xact_lock($1, $2)",
            &[&LOCKS, &REMOVING],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Goes on from where `place` says, over ends that are wanted by their number and time, up to the
/// first that is not; and remembers how far it came.
async fn walk(
    connection: &Connection,
    place: &str,
    limit: usize,
    is_wanted: impl Fn(i64, Option<i64>) -> bool,
) -> Result<(Ends, Step), StoreError> {
    let begin = rows::from_seq(schema::fact(connection, place).await?);
    let scan = limit
        .saturating_mul(SCAN_PER_MESSAGE)
        .clamp(MIN_SCAN, MAX_SCAN);
    let statement = connection
        .prepare(
            "SELECT e.seq, s.id, s.completed_at FROM (SELECT seq, kind, message_id FROM events \
             WHERE seq > $1 ORDER BY seq LIMIT $2) e LEFT JOIN states s ON e.kind >= 2 \
             AND s.id = e.message_id AND s.last_event = e.seq ORDER BY e.seq",
        )
        .await?;
    let found = connection
        .client()
        .query(&statement, &[&begin, &rows::limit(scan)])
        .await?;
    let (mut ends, mut reached) = (Ends::default(), begin);
    let mut goes_on = found.len() == scan;
    for row in &found {
        if ends.ids.len() == limit {
            goes_on = true;
            break;
        }
        let seq: i64 = row.try_get(0)?;
        if let Some(id) = row.try_get::<_, Option<Uuid>>(1)? {
            if !is_wanted(seq, row.try_get(2)?) {
                goes_on = false;
                break;
            }
            ends.ids.push(id);
            ends.seqs.push(seq);
        }
        reached = seq;
    }
    if reached != begin {
        set_fact(connection, place, reached).await?;
    }
    let messages = ends.ids.len();
    Ok((ends, Step { messages, goes_on }))
}

async fn set_fact(connection: &Connection, name: &str, value: i64) -> Result<(), StoreError> {
    let statement = connection
        .prepare("UPDATE facts SET value = $2 WHERE name = $1")
        .await?;
    connection
        .client()
        .execute(&statement, &[&name, &value])
        .await?;
    Ok(())
}
