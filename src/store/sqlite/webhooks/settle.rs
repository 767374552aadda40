//! How attempts ended, and what follows.

use std::sync::Arc;

use rusqlite::params;
use rusqlite::{CachedStatement, OptionalExtension as _};

use super::rows;
use crate::message::{EndpointId, Timestamp};
use crate::store::sqlite::rows::optional_time;
use crate::store::sqlite::turn::Turn;
use crate::store::{Attempted, DeliveryState, Fate, MAX_ATTEMPTS_KEPT, Settled, StoreError};

pub(super) fn settle(
    turn: &mut Turn<'_>,
    attempts: &Arc<[Attempted]>,
) -> Result<Vec<Option<Settled>>, StoreError> {
    let mut statements = Statements::prepare(turn)?;
    attempts
        .iter()
        .map(|attempted| statements.settle(attempted))
        .collect()
}

struct Statements<'c> {
    delivery: CachedStatement<'c>,
    attempt: CachedStatement<'c>,
    trim: CachedStatement<'c>,
    release: CachedStatement<'c>,
    health: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(turn: &Turn<'c>) -> Result<Self, StoreError> {
        Ok(Self {
            delivery: turn.prepare(
                "UPDATE deliveries SET state = ?3, next_at = ?4, completed_at = ?5, \
                 tries = tries + 1, attempts = attempts + 1 \
                 WHERE queue = ?1 AND seq = ?2 AND state = 0 RETURNING number, attempts, message_id",
            )?,
            attempt: turn.prepare(
                "INSERT INTO attempts (delivery, number, at, took, status, answer, error) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
            trim: turn.prepare("DELETE FROM attempts WHERE delivery = ?1 AND number <= ?2")?,
            release: turn.prepare(RELEASE)?,
            health: turn.prepare(
                "UPDATE endpoints SET failing_since = \
                 CASE WHEN ?2 THEN NULL ELSE coalesce(failing_since, ?3) END \
                 WHERE id = ?1 RETURNING failing_since",
            )?,
        })
    }

    fn settle(&mut self, attempted: &Attempted) -> Result<Option<Settled>, StoreError> {
        let (key, attempt) = (&attempted.key, &attempted.attempt);
        let ended_at = attempt.at.plus(attempt.took);
        let (state, next_at, completed_at) = match attempted.fate {
            Fate::Delivered => (DeliveryState::Delivered, None, Some(ended_at)),
            Fate::Failed => (DeliveryState::Failed, None, Some(ended_at)),
            Fate::Again(at) => (DeliveryState::Pending, Some(at), None),
        };
        let updated: Option<(i64, u32, [u8; 16])> = self
            .delivery
            .query_row(
                params![
                    &*key.queue,
                    key.seq,
                    rows::state_number(state),
                    next_at.map(Timestamp::as_millis),
                    completed_at.map(Timestamp::as_millis),
                ],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let Some((number, attempts, message_id)) = updated else {
            return Ok(None);
        };
        self.attempt.execute(params![
            number,
            attempts,
            attempt.at.as_millis(),
            u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            attempt.status,
            attempt.answer,
            attempt.error,
        ])?;
        if attempts > MAX_ATTEMPTS_KEPT {
            self.trim.execute((number, attempts - MAX_ATTEMPTS_KEPT))?;
        }
        if completed_at.is_some() {
            let now = ended_at.as_millis();
            self.release.execute((&*key.queue, message_id, now))?;
        }
        let succeeded = attempted.fate == Fate::Delivered;
        self.health(&key.queue, succeeded, attempt.at).map(Some)
    }

    /// Queues of URLs that messages name have no endpoint whose health could be kept.
    fn health(
        &mut self,
        queue: &str,
        succeeded: bool,
        at: Timestamp,
    ) -> Result<Settled, StoreError> {
        let Ok(id) = queue.parse::<EndpointId>() else {
            return Ok(Settled {
                failing_since: None,
            });
        };
        let failing_since = self
            .health
            .query_row((id.as_bytes(), succeeded, at.as_millis()), |row| {
                optional_time(row, 0)
            })
            .optional()?;
        Ok(Settled {
            failing_since: failing_since.flatten(),
        })
    }
}

/// Of the deliveries of one message to one queue (?1, ?2) one at most is due; when none is, the
/// oldest becomes so (?3).
pub(super) const RELEASE: &str = "UPDATE deliveries SET next_at = ?3 WHERE number = (\
     SELECT number FROM deliveries INDEXED BY deliveries_pending \
     WHERE state = 0 AND queue = ?1 AND message_id = ?2 ORDER BY seq LIMIT 1) \
     AND NOT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_pending \
     WHERE state = 0 AND queue = ?1 AND message_id = ?2 AND next_at IS NOT NULL)";
