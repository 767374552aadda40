//! Sending again what failed or was missed, step by step, also over restarts.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::planner;
use super::roster::Roster;
use crate::message::Timestamp;
use crate::store::{EventFilter, Recovery, RecoveryStep, Store, StoreError};

/// Events looked at, and deliveries begun anew, in one step.
const PAGE: usize = 512;

/// Goes one step on with the first endpoint that recovers; whether there is one.
pub(super) async fn step(
    store: &dyn Store,
    roster: &Roster,
    now: Timestamp,
    hints: &mpsc::Sender<Arc<str>>,
) -> Result<bool, StoreError> {
    let known = roster.known();
    let found = known
        .members
        .values()
        .find_map(|member| member.endpoint.recovery.map(|recovery| (member, recovery)));
    let Some((member, recovery)) = found else {
        return Ok(false);
    };
    let everything = EventFilter::default();
    let page = store
        .events(recovery.cursor, everything, PAGE.into())
        .await?;
    // Where nothing follows there is nothing left up to the end.
    let reached = match page.scanned_to > recovery.cursor {
        true => page.scanned_to.min(recovery.end),
        false => recovery.end,
    };
    let in_time = |time| recovery.since <= time && time < recovery.until;
    let events = page.events.iter().filter(|event| event.seq <= reached);
    let wanted = events
        .filter(|event| member.wants(event))
        .filter_map(|event| {
            let time = planner::time_of(event);
            in_time(time).then(|| planner::delivery(member.endpoint.queue(), None, event, time))
        });
    let step = RecoveryStep {
        endpoint: member.endpoint.id,
        from: recovery.cursor,
        to: reached,
        wanted: wanted.collect(),
        now,
        limit: PAGE,
    };
    store.recover(step).await?;
    // When there is no room, the sender finds it by looking.
    let _ = hints.try_send(member.endpoint.queue());
    if let Err(error) = roster.reload().await {
        tracing::warn!(%error, "webhooks cannot be read; the recovery waits");
        return Ok(false);
    }
    Ok(true)
}

/// Where in the log a recovery of this time begins: at an event that came before it, and not long
/// before. Times in the log are in order but for what is recorded a little late.
pub(super) async fn begin(
    store: &dyn Store,
    since: Timestamp,
    until: Timestamp,
) -> Result<Recovery, StoreError> {
    let end = store.bounds().await?.last;
    let early = since.minus(LATE);
    let (mut low, mut high) = (0, end);
    while high - low > CLOSE {
        let middle = low + (high - low) / 2;
        let page = store
            .events(middle, EventFilter::default(), 1.into())
            .await?;
        match page.events.first() {
            Some(event) if planner::time_of(event) < early => low = middle,
            Some(_) => high = middle,
            None if page.scanned_to < end && page.scanned_to > middle => low = middle,
            None => high = middle,
        }
    }
    Ok(Recovery {
        since,
        until,
        cursor: low,
        end,
    })
}

/// How late an event may be recorded.
const LATE: std::time::Duration = std::time::Duration::from_secs(60);
/// Near enough: so many events are read at once anyway.
const CLOSE: u64 = 256;
