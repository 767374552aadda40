//! From the log to deliveries, each event once.

use rusqlite::CachedStatement;
use rusqlite::params;

use crate::message::Timestamp;
use crate::store::sqlite::rows::kind_number;
use crate::store::sqlite::schema;
use crate::store::sqlite::turn::Turn;
use crate::store::{NewDelivery, Plan, StoreError};

pub(super) fn plan(turn: &mut Turn<'_>, plan: &Plan) -> Result<bool, StoreError> {
    let planned_to = schema::fact(turn.connection, "planned_to")?;
    let revision = schema::fact(turn.connection, "endpoints_revision")?;
    if planned_to != plan.from || revision != plan.revision {
        return Ok(false);
    }
    let mut insert = Insert::prepare(turn)?;
    for delivery in &plan.deliveries {
        insert.delivery(turn, delivery, plan.now)?;
    }
    schema::set_fact(turn.connection, "planned_to", plan.to)?;
    Ok(true)
}

/// Adds deliveries; one that waits for an earlier event of its message is not due yet.
pub(super) struct Insert<'c>(CachedStatement<'c>);

impl<'c> Insert<'c> {
    pub(super) fn prepare(turn: &Turn<'c>) -> Result<Self, StoreError> {
        Ok(Self(turn.prepare(
            "INSERT INTO deliveries (queue, seq, message_id, kind, event_at, created_at, state, \
             tries, attempts, next_at, url, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0, \
             CASE WHEN EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_pending \
             WHERE state = 0 AND queue = ?1 AND message_id = ?3) THEN NULL ELSE ?6 END, ?7, ?8) \
             ON CONFLICT DO NOTHING",
        )?))
    }

    /// One that is rejected is left out, so that the others are posted.
    pub(super) fn delivery(
        &mut self,
        turn: &mut Turn<'_>,
        delivery: &NewDelivery,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let columns = params![
            &*delivery.queue,
            delivery.seq,
            delivery.message_id.as_bytes(),
            kind_number(delivery.kind),
            delivery.time.as_millis(),
            now.as_millis(),
            delivery.url.as_deref(),
            &*delivery.json,
        ];
        if let Err(error) = turn.part(|_| Ok(self.0.execute(columns)?))? {
            tracing::error!(message.id = %delivery.message_id, error, "a delivery is rejected");
        }
        Ok(())
    }
}
