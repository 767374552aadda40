//! From the log to deliveries: reads behind everyone else, and turns each event into what is to be
//! posted, once.
//!
//! Where nobody wants to know, only a cursor is moved, and that is written down now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::recovery;
use super::roster::{Known, Roster};
use crate::clock::Clock;
use crate::message::Timestamp;
use crate::store::{EventFilter, Logged, NewDelivery, Plan, Store, StoreError};

/// Events looked at in one step.
const PAGE: usize = 512;
/// Between two steps while events keep coming, so that a plan is made of many of them.
const REST: Duration = Duration::from_millis(5);
/// Before another try, when the store does not do what it is asked.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a cursor is written down that has nothing with it, and how far behind it may be.
const SAVE_EVERY: Duration = Duration::from_secs(1);
const SAVE_AFTER: u64 = 10_000;
/// How often the endpoints are read again, which another replica may have changed.
const REFRESH: Duration = Duration::from_secs(10);

/// Plans, for ever.
pub(super) async fn run(
    store: Arc<dyn Store>,
    roster: Arc<Roster>,
    clock: Clock,
    hints: mpsc::Sender<Arc<str>>,
) {
    let mut committed = store.committed();
    let mut changes = roster.changes();
    let mut planner = Planner::new(store, roster, clock, hints);
    let mut refresh = Instant::now() + REFRESH;
    loop {
        committed.borrow_and_update();
        changes.borrow_and_update();
        match planner.catch_up().await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "webhooks cannot be planned; trying again");
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
                planner.refresh().await;
            }
        }
    }
}

struct Planner {
    store: Arc<dyn Store>,
    roster: Arc<Roster>,
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
    fn new(
        store: Arc<dyn Store>,
        roster: Arc<Roster>,
        clock: Clock,
        hints: mpsc::Sender<Arc<str>>,
    ) -> Self {
        Self {
            store,
            roster,
            clock,
            hints,
            cursor: None,
            planned_to: 0,
            seen: 0,
            saved_at: Instant::now(),
        }
    }

    /// Plans what is in the log, and goes on with what is being recovered.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        loop {
            let planned = self.step().await?;
            let (store, hints) = (&*self.store, &self.hints);
            let now = self.clock.now();
            let recovered = recovery::step(store, &self.roster, now, hints).await?;
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
            self.refresh().await;
        }
        let known = self.roster.known();
        let filter = EventFilter {
            // Where there is no standing endpoint, only messages can have webhooks.
            has_webhook: !known.members.values().any(|member| member.is_enabled()),
            ..EventFilter::default()
        };
        let page = self.store.events(self.seen, filter, PAGE.into()).await?;
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
            // Somebody planned in our place, or the endpoints are others by now.
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

    async fn refresh(&self) {
        if let Err(error) = self.roster.reload().await {
            tracing::warn!(%error, "webhooks cannot be read; those known before are used");
        }
    }
}

/// What this event leads to.
fn wanted(known: &Known, event: &Logged) -> Vec<NewDelivery> {
    let time = time_of(event);
    let mut wanted: Vec<_> = known
        .members
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

/// An event on its way to a queue.
pub(super) fn delivery(
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
pub(super) fn time_of(event: &Logged) -> Timestamp {
    event.facts().1.unwrap_or(Timestamp::EPOCH)
}

/// URLs that differ in their query only are one place, which is well or not.
fn queue_of(url: &Arc<str>) -> Arc<str> {
    match url.find(['?', '#']) {
        Some(at) => url[..at].into(),
        None => url.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_differ_in_their_query_share_a_queue() {
        for (url, queue) in [
            ("https://app.example/a", "https://app.example/a"),
            ("https://app.example/a?b=c", "https://app.example/a"),
            ("https://app.example/a#d?e", "https://app.example/a"),
            ("https://app.example?b", "https://app.example"),
        ] {
            assert_eq!(&*queue_of(&url.into()), queue);
        }
    }
}
