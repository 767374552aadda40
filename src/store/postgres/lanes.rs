//! Lanes: the open messages to one target belong to one replica.
//!
//! The lanes of new messages are locked for the transaction, lowest first, so that a replica that
//! takes in a message to the same target waits, and then sees this one. [`look`] writes nothing,
//! and so can be asked together with the transaction's beginning. A replica that is alone need not
//! look: every lane is its own.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::connection::Connection;
use super::session;
use crate::store::{StoreError, Submission};

/// Lanes that have open messages, each with where the newest of them is.
pub(super) type OpenLanes = HashMap<i64, LaneOwner>;

/// Where a new message goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneOwner {
    pub(super) owner: i64,
    pub(super) claimed: bool,
}

/// The lanes of these submissions, lowest first.
pub(super) fn of(submissions: &[&Submission]) -> Vec<i64> {
    let messages = submissions.iter().flat_map(|one| &one.messages);
    let mut lanes: Vec<i64> = messages.map(|m| session::lane(&m.contents.uri)).collect();
    lanes.sort_unstable();
    lanes.dedup();
    lanes
}

/// Locks lanes for the transaction, in this order.
pub(super) async fn lock(connection: &Connection, lanes: &[i64]) -> Result<(), StoreError> {
    if !lanes.is_empty() {
        let statement = connection.prepare(LOCK).await?;
        connection.client().execute(&statement, &[&lanes]).await?;
    }
    Ok(())
}

/// Says which of these lanes, which are locked, have open messages.
pub(super) async fn look(
    connection: &Connection,
    me: i64,
    lanes: &[i64],
) -> Result<OpenLanes, StoreError> {
    if lanes.is_empty() {
        return Ok(OpenLanes::new());
    }
    let statement = connection.prepare(LOOK).await?;
    let found = connection.client().query(&statement, &[&lanes]).await?;
    let place = |row: &Row| {
        let (owner, claimed): (i64, bool) = (row.try_get(1)?, row.try_get(2)?);
        let claimed = claimed && owner == me;
        Ok((row.try_get(0)?, LaneOwner { owner, claimed }))
    };
    found.iter().map(place).collect()
}

/// These lanes when all of them are this replica's.
pub(super) fn own(me: i64, lanes: &[i64]) -> OpenLanes {
    let own = LaneOwner {
        owner: me,
        claimed: true,
    };
    lanes.iter().map(|lane| (*lane, own)).collect()
}

/// Statements that are sent together with others, and so are prepared before.
pub(super) const STATEMENTS: [&str; 2] = [LOCK, LOOK];

const LOCK: &str = "SELECT pg_advisory_xact_lock(lane) FROM unnest($1::int8[]) AS lane";
/// A statement of its own after the lock: it sees what those we waited for have committed.
const LOOK: &str = "SELECT u.lane, s.owner, s.claimed FROM (SELECT unnest($1::int8[]) AS lane) u \
     CROSS JOIN LATERAL (SELECT owner, claimed FROM states \
     WHERE lane = u.lane AND completed_at IS NULL ORDER BY number DESC LIMIT 1) s";
