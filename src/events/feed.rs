//! Reading the log: from where, and what happens when that is not there any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::follow::Follower;
use super::follow::Following;
use super::id::EventId;
use crate::message::MessageId;
use crate::store::EventFilter;
use crate::store::Logged;
use crate::store::Store;
use crate::store::StoreError;

/// The log, for whoever wants to follow it. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    store: Arc<dyn Store>,
    following: Arc<Following>,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// With the oldest event kept.
    Earliest,
    /// With what comes next.
    Now,
    /// After this event.
    After(EventId),
}

/// A reader asked to go on where the log cannot.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// What it asked for.
    pub requested: EventId,
    /// It goes on after this.
    pub resumed_from: EventId,
    /// Why, in a sentence.
    pub reason: &'static str,
}

/// A reader of the log.
pub struct Subscription {
    store: Arc<dyn Store>,
    filter: EventFilter,
    cursor: u64,
    committed: watch::Receiver<u64>,
    /// When the log was last looked at.
    looked: Option<Instant>,
}

/// Events taken from the log at once.
const BATCH: usize = 512;

/// How often a reader looks at the log at most. At hundreds of commits a second and a thousand
/// readers, waking each for each commit would cost more than everything else together.
const PACE: Duration = Duration::from_millis(5);

impl Feed {
    /// The feed of this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            following: Arc::default(),
        }
    }

    /// The number that names the log.
    pub fn epoch(&self) -> u64 {
        self.store.epoch()
    }

    /// Finds where a reader begins, and tells what it has missed for good.
    pub async fn position(&self, start: Start) -> Result<(u64, Option<Gap>), StoreError> {
        let bounds = self.store.bounds().await?;
        let epoch = self.epoch();
        let requested = match start {
            Start::Earliest => return Ok((bounds.forgotten_to, None)),
            Start::Now => return Ok((bounds.last, None)),
            Start::After(id) => id,
        };
        let reason = if requested.epoch != epoch {
            "the id is of another log"
        } else if requested.seq > bounds.last {
            "the id is of no event"
        } else if requested.seq < bounds.forgotten_to {
            "events after the id are not kept any more"
        } else {
            return Ok((requested.seq, None));
        };
        let seq = bounds.forgotten_to;
        let resumed_from = EventId { epoch, seq };
        Ok((
            seq,
            Some(Gap {
                requested,
                resumed_from,
                reason,
            }),
        ))
    }

    /// Reads the log after this number, whatever passes the filter, for ever.
    pub fn subscribe(&self, after: u64, filter: EventFilter) -> Subscription {
        Subscription {
            store: self.store.clone(),
            filter,
            cursor: after,
            committed: self.store.committed(),
            looked: None,
        }
    }

    /// Follows one message from now on: what is committed later, this hears.
    pub fn follow(&self, id: MessageId) -> Follower {
        Follower::new(self.following.clone(), id)
    }

    /// Hands events to those who follow single messages, until the store is gone. One task does
    /// this for all of them: it reads each event once, however many wait.
    pub async fn run(self) {
        let mut committed = self.store.committed();
        let mut cursor = *committed.borrow_and_update();
        while committed.changed().await.is_ok() {
            let last = *committed.borrow_and_update();
            while cursor < last {
                if self.following.is_empty() {
                    cursor = last;
                    break;
                }
                match self
                    .store
                    .events(cursor, EventFilter::default(), BATCH)
                    .await
                {
                    Ok(page) => {
                        cursor = page.scanned_to.max(cursor);
                        self.following.tell(page.events);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the log cannot be read; trying again");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        }
    }
}

impl Subscription {
    /// Where the reader is: everything up to here was seen, or held back by the filter.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// What comes next, at least one event. Cancel-safe: nothing is taken before it is returned.
    pub async fn next(&mut self) -> Result<Vec<Logged>, StoreError> {
        loop {
            if let Some(looked) = self.looked {
                tokio::time::sleep_until(looked + PACE).await;
            }
            // Before the look, so that what is committed while we look is not missed.
            self.committed.borrow_and_update();
            let page = self
                .store
                .events(self.cursor, self.filter.clone(), BATCH)
                .await?;
            let is_full = page.events.len() == BATCH;
            let moved = page.scanned_to > self.cursor;
            self.cursor = page.scanned_to;
            self.looked = (!is_full).then(Instant::now);
            if !page.events.is_empty() {
                return Ok(page.events);
            }
            // The filter held everything back, and there is more to look at.
            if moved && *self.committed.borrow() > self.cursor {
                self.looked = None;
                continue;
            }
            if self.committed.changed().await.is_err() {
                return Err(StoreError::Closed);
            }
        }
    }
}
