//! From the log to deliveries: reads the log by a cursor, and turns each event into deliveries
//! once.
//!
//! Without an endpoint only the cursor moves, and is written down now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::endpoint_cache::{CachedEndpoints, EndpointCache};
use crate::clock::Clock;
use crate::message::{Timestamp, webhook};
use crate::store::{
    EventFilter, Logged, NewDelivery, PageSize, Plan, Recovery, RecoveryStep, Store, StoreError,
};

/// Events read, and deliveries begun anew, in one step.
const PAGE: usize = 512;
/// Between two steps while events keep coming, so that a plan is made of many of them.
const REST: Duration = Duration::from_millis(5);
/// Before another try after an error of the store.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a cursor is written down that has nothing with it, and how far behind it may be.
const SAVE_EVERY: Duration = Duration::from_secs(1);
const SAVE_AFTER: u64 = 10_000;
/// How late an event may be recorded.
const LATE: Duration = Duration::from_secs(60);
/// How close to its beginning a recovery starts: so many events are read at once anyway.
const CLOSE: u64 = 256;
/// How often the endpoints are read again, which another replica may have changed.
const REFRESH: Duration = Duration::from_secs(10);

/// Plans without end.
pub(super) async fn run(
    store: Arc<dyn Store>,
    endpoints: Arc<EndpointCache>,
    clock: Clock,
    hints: mpsc::Sender<Arc<str>>,
) {
    let mut committed = store.committed();
    let mut changes = endpoints.changes();
    let mut planner = Planner {
        store,
        endpoints,
        clock,
        hints,
        cursor: None,
        planned_to: 0,
        seen: 0,
        saved_at: Instant::now(),
    };
    let mut refresh = Instant::now() + REFRESH;
    loop {
        committed.borrow_and_update();
        changes.borrow_and_update();
        match planner.catch_up().await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "failed to plan deliveries; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        tokio::time::sleep(REST).await;
        let unsaved = planner.seen > planner.planned_to;
        tokio::select! {
            changed = committed.changed() => if changed.is_err() {
                return;
            },
            _ = changes.changed() => {}
            () = tokio::time::sleep(SAVE_EVERY), if unsaved => {}
            () = tokio::time::sleep_until(refresh) => {
                refresh = Instant::now() + REFRESH;
                planner.endpoints.reload_or_keep().await;
            }
        }
    }
}

struct Planner {
    store: Arc<dyn Store>,
    endpoints: Arc<EndpointCache>,
    clock: Clock,
    hints: mpsc::Sender<Arc<str>>,
    /// As the store knows it; `None` until it was asked.
    cursor: Option<u64>,
    planned_to: u64,
    /// Up to here there was nothing to post.
    seen: u64,
    saved_at: Instant,
}

impl Planner {
    /// Plans new events of the log, and goes on with recoveries.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        loop {
            let planned = self.step().await?;
            let (store, hints) = (&*self.store, &self.hints);
            let now = self.clock.now();
            let recovered = recover_step(store, &self.endpoints, now, hints).await?;
            if !planned && !recovered {
                return Ok(());
            }
        }
    }

    /// Looks at one page of the log; whether there may be more.
    async fn step(&mut self) -> Result<bool, StoreError> {
        if self.cursor.is_none() {
            self.planned_to = self.store.planned_to().await?;
            self.seen = self.planned_to;
            self.cursor = Some(self.planned_to);
            self.endpoints.reload_or_keep().await;
        }
        let known = self.endpoints.known();
        let filter = EventFilter {
            // Where there is no standing endpoint, only messages can have webhooks.
            has_webhook: !known.endpoints.values().any(|member| member.is_enabled()),
            ..EventFilter::default()
        };
        let page = self
            .store
            .events(self.seen, filter, PageSize::small(PAGE))
            .await?;
        let deliveries: Vec<_> = page
            .events
            .iter()
            .flat_map(|event| wanted(&known, event))
            .collect();
        let moved = page.scanned_to > self.seen;
        let behind = page.scanned_to.saturating_sub(self.planned_to);
        let is_time = behind >= SAVE_AFTER || self.saved_at.elapsed() >= SAVE_EVERY;
        if behind > 0 && (is_time || !deliveries.is_empty()) {
            let (to, revision) = (page.scanned_to, known.revision);
            return self.plan(to, revision, deliveries).await;
        }
        self.seen = page.scanned_to;
        Ok(moved)
    }

    /// Whether there may be more, or the same again.
    async fn plan(
        &mut self,
        to: u64,
        revision: u64,
        deliveries: Vec<NewDelivery>,
    ) -> Result<bool, StoreError> {
        let mut queues: Vec<_> = deliveries.iter().map(|one| one.queue.clone()).collect();
        let plan = Plan {
            from: self.planned_to,
            to,
            revision,
            now: self.clock.now(),
            deliveries,
        };
        if !self.store.plan(plan).await? {
            // Another replica has planned these, or the endpoints have changed.
            self.cursor = None;
            return Ok(true);
        }
        self.planned_to = to;
        self.seen = to;
        self.saved_at = Instant::now();
        queues.dedup();
        for queue in queues {
            // When there is no room, the sender finds it by looking.
            let _ = self.hints.try_send(queue);
        }
        Ok(true)
    }
}

/// The deliveries of this event.
fn wanted(known: &CachedEndpoints, event: &Logged) -> Vec<NewDelivery> {
    let time = time_of(event);
    let mut wanted: Vec<_> = known
        .endpoints
        .values()
        .filter(|member| {
            member.is_enabled() && event.seq > member.endpoint.after && member.wants(event)
        })
        .map(|member| delivery(member.endpoint.queue(), None, event, time))
        .collect();
    if let Some(url) = &event.webhook {
        wanted.push(delivery(queue_of(url), Some(url.clone()), event, time));
    }
    wanted
}

/// Goes one step on with the first endpoint that recovers: sends again what failed or was missed,
/// over restarts too. Whether there is one.
async fn recover_step(
    store: &dyn Store,
    endpoints: &EndpointCache,
    now: Timestamp,
    hints: &mpsc::Sender<Arc<str>>,
) -> Result<bool, StoreError> {
    let known = endpoints.known();
    let found = known
        .endpoints
        .values()
        .find_map(|one| one.endpoint.recovery.map(|recovery| (one, recovery)));
    let Some((one, recovery)) = found else {
        return Ok(false);
    };
    let everything = EventFilter::default();
    let page = store
        .events(recovery.cursor, everything, PageSize::small(PAGE))
        .await?;
    // Where nothing follows there is nothing left up to the end.
    let reached = if page.scanned_to > recovery.cursor {
        page.scanned_to.min(recovery.end)
    } else {
        recovery.end
    };
    let in_time = |time| recovery.since <= time && time < recovery.until;
    let events = page.events.iter().filter(|event| event.seq <= reached);
    let wanted = events.filter(|event| one.wants(event)).filter_map(|event| {
        let time = time_of(event);
        in_time(time).then(|| delivery(one.endpoint.queue(), None, event, time))
    });
    let step = RecoveryStep {
        endpoint: one.endpoint.id,
        from: recovery.cursor,
        to: reached,
        wanted: wanted.collect(),
        now,
        limit: PAGE,
    };
    store.recover(step).await?;
    // When there is no room, the sender finds it by looking.
    let _ = hints.try_send(one.endpoint.queue());
    if let Err(error) = endpoints.reload().await {
        tracing::warn!(%error, "failed to read the webhooks; the recovery waits");
        return Ok(false);
    }
    Ok(true)
}

/// Where in the log a recovery of this time begins: at an event that came before it, and not long
/// before. Times in the log are in order but for events recorded a little late.
pub(super) async fn begin_recovery(
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
            Some(event) if time_of(event) < early => low = middle,
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

/// An event on its way to a queue.
fn delivery(
    queue: Arc<str>,
    url: Option<Arc<str>>,
    event: &Logged,
    time: Timestamp,
) -> NewDelivery {
    NewDelivery {
        queue,
        url,
        seq: event.seq,
        message_id: event.message_id,
        kind: event.kind,
        time,
        json: event.json.clone(),
    }
}

/// When this event happened.
fn time_of(event: &Logged) -> Timestamp {
    event.facts().1.unwrap_or(Timestamp::EPOCH)
}

/// The queue of a message's webhook: URLs that differ in their query only are one receiver. Each
/// token whose secret signs has queues of its own.
fn queue_of(webhook: &Arc<str>) -> Arc<str> {
    let url = webhook::url(webhook);
    let Some((receiver, _)) = url.split_once('?') else {
        return webhook.clone();
    };
    let signer = &webhook[url.len()..];
    format!("{receiver}{signer}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_differ_in_their_query_share_a_queue() {
        for (url, queue) in [
            ("https://app.example/a", "https://app.example/a"),
            ("https://app.example/a?b=c", "https://app.example/a"),
            ("https://app.example?b", "https://app.example"),
            ("https://app.example/a?b#c?d", "https://app.example/a#c?d"),
            ("https://app.example/a#c", "https://app.example/a#c"),
        ] {
            assert_eq!(&*queue_of(&url.into()), queue);
        }
    }
}
