//! How attempts ended, and what follows.

use super::deliveries::state_number;
use crate::message::{EndpointId, MessageId, Timestamp};
use crate::store::session::{Lock, Session, values};
use crate::store::{Attempted, DeliveryState, Fate, MAX_ATTEMPTS_KEPT, Settled, StoreError};

pub(super) fn settle(
    session: &dyn Session,
    attempts: &[Attempted],
) -> Result<Vec<Option<Settled>>, StoreError> {
    session.lock(Lock::Deliveries)?;
    attempts
        .iter()
        .map(|attempted| settle_one(session, attempted))
        .collect()
}

fn settle_one(session: &dyn Session, attempted: &Attempted) -> Result<Option<Settled>, StoreError> {
    let (key, attempt) = (&attempted.key, &attempted.attempt);
    let ended_at = attempt.at.plus(attempt.took);
    let (state, next_at, completed_at) = match attempted.fate {
        Fate::Delivered => (DeliveryState::Delivered, None, Some(ended_at)),
        Fate::Failed => (DeliveryState::Failed, None, Some(ended_at)),
        Fate::Again(at) => (DeliveryState::Pending, Some(at), None),
    };
    let updated = session.first(
        "UPDATE deliveries SET state = ?3, next_at = ?4, completed_at = ?5, tries = tries + 1, \
         attempts = attempts + 1 WHERE queue = ?1 AND seq = ?2 AND state = 0 \
         RETURNING number, attempts, message_id",
        &values![
            &*key.queue,
            key.seq,
            state_number(state),
            next_at,
            completed_at,
        ],
        |row| Ok((row.integer(0)?, row.count(1)?, row.message_id(2)?)),
    )?;
    let Some((delivery, number, message_id)) = updated else {
        return Ok(None);
    };
    keep(session, delivery, number, attempted)?;
    if completed_at.is_some() {
        release(session, &key.queue, message_id, ended_at)?;
    }
    health(session, attempted).map(Some)
}

/// Keeps how the attempt went, and lets go of the oldest when there are many.
fn keep(
    session: &dyn Session,
    delivery: i64,
    number: u32,
    attempted: &Attempted,
) -> Result<(), StoreError> {
    // Servers answer what they like, and PostgreSQL does not hold this character.
    let storable = |text: &str| text.replace('\0', "\u{fffd}");
    let attempt = &attempted.attempt;
    session.execute(
        "INSERT INTO attempts (delivery, number, at, took, status, answer, error) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &values![
            delivery,
            number,
            attempt.at,
            u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            attempt.status.map(u32::from),
            storable(&attempt.answer),
            attempt.error.as_deref().map(storable),
        ],
    )?;
    if number > MAX_ATTEMPTS_KEPT {
        let sql = "DELETE FROM attempts WHERE delivery = ?1 AND number <= ?2";
        session.execute(sql, &values![delivery, number - MAX_ATTEMPTS_KEPT])?;
    }
    Ok(())
}

/// Queues of URLs that messages name have no endpoint whose health could be kept.
fn health(session: &dyn Session, attempted: &Attempted) -> Result<Settled, StoreError> {
    let Ok(id) = attempted.key.queue.parse::<EndpointId>() else {
        return Ok(Settled {
            failing_since: None,
        });
    };
    let failed_at = (attempted.fate != Fate::Delivered).then_some(attempted.attempt.at);
    let failing_since = session.first(
        "UPDATE endpoints SET failing_since = CASE WHEN CAST(?2 AS bigint) IS NOT NULL \
         THEN coalesce(failing_since, CAST(?2 AS bigint)) END WHERE id = ?1 \
         RETURNING failing_since",
        &values![id, failed_at],
        |row| row.optional_time(0),
    )?;
    Ok(Settled {
        failing_since: failing_since.flatten(),
    })
}

/// Of the deliveries of one message to one queue one at most is due; when none is, the oldest
/// becomes so.
pub(super) fn release(
    session: &dyn Session,
    queue: &str,
    message_id: MessageId,
    now: Timestamp,
) -> Result<(), StoreError> {
    session.execute(
        "UPDATE deliveries SET next_at = ?3 WHERE number = (\
         SELECT number FROM deliveries INDEXED BY deliveries_pending \
         WHERE state = 0 AND queue = ?1 AND message_id = ?2 ORDER BY seq LIMIT 1) \
         AND NOT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_pending \
         WHERE state = 0 AND queue = ?1 AND message_id = ?2 AND next_at IS NOT NULL)",
        &values![queue, message_id, now],
    )?;
    Ok(())
}
