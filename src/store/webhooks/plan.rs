//! From the log to deliveries, each event once; and again what failed or was missed.

use std::collections::HashMap;

use bytes::Bytes;

use super::endpoints;
use super::settle::release;
use crate::message::{EventKind, MessageId, Timestamp};
use crate::store::session::{Lock, Session, values};
use crate::store::{NewDelivery, Plan, Recovery, RecoveryStep, StoreError, codes, received};

pub(super) fn plan(session: &dyn Session, plan: &Plan) -> Result<bool, StoreError> {
    session.lock(Lock::Deliveries)?;
    session.lock(Lock::Endpoints)?;
    let planned_to = session.fact("planned_to")?;
    let revision = session.fact("endpoints_revision")?;
    if planned_to != plan.from || revision != plan.revision {
        return Ok(false);
    }
    insert(session, plan.deliveries.iter(), plan.now)?;
    session.set_fact("planned_to", plan.to)?;
    Ok(true)
}

/// One that waits for an earlier event of its message is not due yet.
const INSERT: &str = "INSERT INTO deliveries (queue, seq, message_id, kind, event_at, created_at, \
     state, tries, attempts, next_at, url, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0, \
     CASE WHEN EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_pending \
     WHERE state = 0 AND queue = ?1 AND message_id = ?3) THEN NULL ELSE CAST(?6 AS bigint) END, \
     ?7, ?8) ON CONFLICT DO NOTHING";

/// Adds deliveries. Apart, one that is rejected is left out, so that the others are posted.
fn insert<'d>(
    session: &dyn Session,
    deliveries: impl Iterator<Item = &'d NewDelivery>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let deliveries: Vec<_> = deliveries.collect();
    let erased = erased(session, &deliveries)?;
    let columns = |delivery: &'d NewDelivery| {
        let json = erased.get(&delivery.seq).unwrap_or(&delivery.json);
        values![
            &*delivery.queue,
            delivery.seq,
            delivery.message_id,
            codes::kind_number(delivery.kind),
            delivery.time,
            now,
            delivery.url.as_deref(),
            json,
        ]
    };
    if !session.is_apart() {
        let rows: Vec<Vec<_>> = deliveries
            .into_iter()
            .map(|one| columns(one).into())
            .collect();
        return session.execute_each(INSERT, &rows);
    }
    for delivery in deliveries {
        let inserted = session.part(|| session.execute(INSERT, &columns(delivery)))?;
        if let Err(error) = inserted {
            tracing::error!(message.id = %delivery.message_id, error, "a delivery is rejected");
        }
    }
    Ok(())
}

/// The tombstones of those of these events that were erased after the plan was made, by their
/// numbers.
fn erased(
    session: &dyn Session,
    deliveries: &[&NewDelivery],
) -> Result<HashMap<u64, Bytes>, StoreError> {
    let received = deliveries
        .iter()
        .filter(|one| one.kind == EventKind::Received);
    let ids: Vec<_> = received.map(|one| *one.message_id.as_bytes()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let accounts = received::erased(session, &ids)?;
    let left = deliveries.iter().filter_map(|one| {
        let account = accounts.get(&one.message_id)?;
        let json = received::erased_json(&one.json, one.time, one.message_id, account);
        Some((one.seq, json))
    });
    Ok(left.collect())
}

pub(super) fn recover(
    session: &dyn Session,
    step: &RecoveryStep,
) -> Result<Option<u64>, StoreError> {
    session.lock(Lock::Deliveries)?;
    session.lock(Lock::Endpoints)?;
    let endpoint = endpoints::find(session, step.endpoint)?;
    let Some(recovery) = endpoint.and_then(|endpoint| endpoint.recovery) else {
        return Ok(None);
    };
    if recovery.cursor != step.from {
        return Ok(Some(recovery.cursor));
    }
    let queue = step.endpoint.to_string();
    let failed = failed(session, &queue, step, recovery)?;
    let reached = match failed.last() {
        Some((seq, _)) if failed.len() == step.limit => *seq,
        _ => step.to,
    };
    for (seq, _) in &failed {
        session.execute(
            "UPDATE deliveries SET state = 0, tries = 0, completed_at = NULL \
             WHERE queue = ?1 AND seq = ?2",
            &values![&*queue, *seq],
        )?;
    }
    let wanted = step.wanted.iter().filter(|one| one.seq <= reached);
    insert(session, wanted, step.now)?;
    for (_, message_id) in &failed {
        release(session, &queue, *message_id, step.now)?;
    }
    go_on(session, step, reached, recovery.end)
}

fn failed(
    session: &dyn Session,
    queue: &str,
    step: &RecoveryStep,
    recovery: Recovery,
) -> Result<Vec<(u64, MessageId)>, StoreError> {
    session.all(
        "SELECT seq, message_id FROM deliveries INDEXED BY deliveries_failed WHERE state = 2 \
         AND queue = ?1 AND seq > ?2 AND seq <= ?3 AND event_at >= ?4 AND event_at < ?5 \
         ORDER BY seq LIMIT ?6",
        &values![
            queue,
            step.from,
            step.to,
            recovery.since,
            recovery.until,
            step.limit,
        ],
        |row| Ok((row.number(0)?, row.message_id(1)?)),
    )
}

fn go_on(
    session: &dyn Session,
    step: &RecoveryStep,
    reached: u64,
    end: u64,
) -> Result<Option<u64>, StoreError> {
    if reached < end {
        let sql = "UPDATE endpoints SET recovery_cursor = ?2 WHERE id = ?1";
        session.execute(sql, &values![step.endpoint, reached])?;
        return Ok(Some(reached));
    }
    session.execute(
        "UPDATE endpoints SET recovery_since = NULL, recovery_until = NULL, \
         recovery_cursor = NULL, recovery_end = NULL WHERE id = ?1",
        &values![step.endpoint],
    )?;
    Ok(None)
}
