//! Reading the log: from where, in which steps, and what happens when something is not there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::follow::{EndFollower, Follower, Following};
use super::subscribers::{SubscriberEntry, Subscribers};
use crate::message::{EventId, EventIdError, EventKind, MessageId};
use crate::store::{EventFilter, Logged, PageSize, Store, StoreError};

/// The log, to be followed. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    store: Arc<dyn Store>,
    following: Arc<Following>,
    subscribers: Arc<Subscribers>,
    /// How far the log reaches, told to those who follow all of it.
    pulse: Arc<watch::Sender<u64>>,
}

/// Where a reader begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FeedStart {
    /// With the oldest event kept.
    Earliest,
    /// With what comes next.
    Now,
    /// After this event.
    After(EventId),
    /// After something that is no event of any log of ours, in the reader's words.
    Unknown(String),
}

impl FeedStart {
    /// What a reader that saw `text` last, or asks for `earliest`, means.
    pub fn resume(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|_| Self::Unknown(text.chars().take(WORDS).collect()))
    }

    /// The number of the event that it begins after, in the log of this epoch; 0 for the oldest.
    pub fn in_epoch(&self, epoch: u64) -> u64 {
        match self {
            Self::After(id) if id.epoch == epoch => id.seq,
            Self::After(_) | Self::Earliest | Self::Now | Self::Unknown(_) => 0,
        }
    }

    /// `earliest`, or the id of an event.
    pub fn parse(text: &str) -> Result<Self, EventIdError> {
        match text {
            "earliest" => Ok(Self::Earliest),
            id => id.parse().map(Self::After),
        }
    }
}

/// How much of a reader's words is repeated to it.
const WORDS: usize = 64;

/// A reader asked to go on where the log cannot.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// What it asked for.
    pub requested: String,
    /// It goes on after this.
    pub resumed_from: EventId,
    /// Why, in a sentence.
    pub reason: &'static str,
}

/// A part of the log.
#[derive(Clone, Debug)]
pub struct FeedPage {
    /// What the reader has missed for good, before the events.
    pub gap: Option<Gap>,
    /// Oldest first, unless the page leads back.
    pub events: Vec<Logged>,
    /// Everything up to here was looked at: where the next page begins.
    pub next: EventId,
}

/// A reader of the log.
pub struct Subscription {
    feed: Feed,
    filter: EventFilter,
    cursor: u64,
    gap: Option<Gap>,
    pulse: watch::Receiver<u64>,
    _entry: SubscriberEntry,
}

/// Events taken from the log at once, for those who follow single messages.
const BATCH: usize = 128;

/// What a stream takes from the log at once: no more than one chunk, so that it holds nothing while
/// its client takes nothing.
pub const CHUNK: PageSize = PageSize {
    rows: 128,
    bytes: 16 * 1024,
};

/// How long the log is left alone when it could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// What each reader adds to the time between two pulses. Waking one costs some 6 µs, so readers
/// take up about a quarter of a core at most, however many commits there are in a second.
const PACE: Duration = Duration::from_micros(25);

/// Shorter rests are not worth a timer.
const MIN_REST: Duration = Duration::from_millis(1);

impl Feed {
    /// The feed of this store. [`Feed::run`] keeps it going.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let last = *store.committed().borrow();
        Self {
            store,
            following: Arc::default(),
            subscribers: Arc::default(),
            pulse: Arc::new(watch::Sender::new(last)),
        }
    }

    /// The number that names the log.
    pub fn epoch(&self) -> u64 {
        self.store.epoch()
    }

    /// Up to `limit` events from `start`, without waiting for any.
    pub async fn page(
        &self,
        start: FeedStart,
        filter: EventFilter,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let (cursor, gap) = self.position(start).await?;
        let page = self.read(cursor, filter, limit.into()).await?;
        Ok(FeedPage {
            gap: gap.or(page.gap),
            ..page
        })
    }

    /// Up to `limit` events before this one, or before the end of the log, newest first. What comes
    /// older comes before `next`, whose number is 0 when there is nothing. Of another log there is
    /// nothing.
    pub async fn page_before(
        &self,
        before: Option<EventId>,
        filter: EventFilter,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let before = match before {
            Some(id) if id.epoch == self.epoch() => id.seq,
            Some(_) => 0,
            None => u64::MAX,
        };
        let page = self.store.events_before(before, filter, limit.into());
        let page = page.await?;
        Ok(FeedPage {
            gap: None,
            events: page.events,
            next: self.id(page.scanned_to),
        })
    }

    /// Reads the events that pass the filter, from `start` on, without end.
    pub async fn subscribe(
        &self,
        start: FeedStart,
        filter: EventFilter,
    ) -> Result<Subscription, StoreError> {
        let pulse = self.pulse.subscribe();
        let (cursor, gap) = self.position(start).await?;
        Ok(Subscription {
            feed: self.clone(),
            _entry: self.subscribers.enter(filter.clone()),
            filter,
            cursor,
            gap,
            pulse,
        })
    }

    /// Whether a subscription would be given an event of this type and account now.
    pub fn has_reader_for(&self, kind: EventKind, account: &str) -> bool {
        self.subscribers.has_one_for(kind, account)
    }

    /// Follows one message from now on: every event that is committed later is delivered.
    pub fn follow(&self, id: MessageId) -> Follower {
        Follower::new(&self.following, id)
    }

    /// Waits from now on for the end of one message.
    pub fn follow_to_end(&self, id: MessageId) -> EndFollower {
        EndFollower::new(&self.following, id)
    }

    /// Finds where a reader begins, and tells what it has missed for good.
    async fn position(&self, start: FeedStart) -> Result<(u64, Option<Gap>), StoreError> {
        let bounds = self.store.bounds().await?;
        let requested = match start {
            FeedStart::Earliest => return Ok((bounds.forgotten_to, None)),
            FeedStart::Now => return Ok((bounds.last, None)),
            FeedStart::After(id) => id,
            FeedStart::Unknown(words) => {
                let gap = self.gap(words, bounds.forgotten_to, "this is not the id of an event");
                return Ok((bounds.forgotten_to, Some(gap)));
            }
        };
        // A reader may have been at a replica that knew of more than this one does yet.
        let reason = if requested.epoch != self.epoch() {
            "the id is of another log"
        } else if requested.seq > bounds.last && requested.seq > self.store.newest().await? {
            "the log does not reach as far as the id"
        } else if requested.seq < bounds.forgotten_to {
            FORGOTTEN
        } else {
            return Ok((requested.seq, None));
        };
        let gap = self.gap(requested.to_string(), bounds.forgotten_to, reason);
        Ok((bounds.forgotten_to, Some(gap)))
    }

    /// The one way in which the log is read.
    async fn read(
        &self,
        after: u64,
        filter: EventFilter,
        size: PageSize,
    ) -> Result<FeedPage, StoreError> {
        let page = self.store.events(after, filter, size).await?;
        // After the look, so that what was removed before or while we looked is not passed over
        // in silence.
        let forgotten_to = self.store.bounds().await?.forgotten_to;
        if forgotten_to > after {
            let requested = self.id(after).to_string();
            return Ok(FeedPage {
                gap: Some(self.gap(requested, forgotten_to, FORGOTTEN)),
                events: Vec::new(),
                next: self.id(forgotten_to),
            });
        }
        Ok(FeedPage {
            gap: None,
            events: page.events,
            next: self.id(page.scanned_to.max(after)),
        })
    }

    fn gap(&self, requested: String, resumed_from: u64, reason: &'static str) -> Gap {
        Gap {
            requested,
            resumed_from: self.id(resumed_from),
            reason,
        }
    }

    fn id(&self, seq: u64) -> EventId {
        EventId {
            epoch: self.epoch(),
            seq,
        }
    }

    /// Hands events to those who follow single messages, and wakes those who follow the log, until
    /// the store is gone. One task does this for all of them: it reads each event once, however
    /// many wait. From `closing` on no client waits for the end of a message.
    pub async fn run(self, closing: CancellationToken) {
        let mut is_closing = false;
        let mut committed = self.store.committed();
        let mut cursor = *committed.borrow_and_update();
        let mut rest_until = Instant::now();
        loop {
            let is_behind = *self.pulse.borrow() < cursor;
            tokio::select! {
                changed = committed.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep_until(rest_until), if is_behind => {}
                () = closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    self.following.release();
                }
            }
            let last = *committed.borrow_and_update();
            cursor = self.tell(cursor, last).await;
            let now = Instant::now();
            if now >= rest_until {
                self.pulse.send_replace(cursor);
                rest_until = now + self.rest();
            }
        }
    }

    /// How long those who follow the log are left alone after they were woken.
    fn rest(&self) -> Duration {
        let readers = u32::try_from(self.pulse.receiver_count()).unwrap_or(u32::MAX);
        let rest = PACE.saturating_mul(readers);
        if rest < MIN_REST {
            Duration::ZERO
        } else {
            rest
        }
    }

    /// Tells followers what happened after `cursor`, up to `last`; where it has come to.
    async fn tell(&self, mut cursor: u64, last: u64) -> u64 {
        while cursor < last {
            // Who begins to follow later looks at the log itself first.
            if self.following.is_empty() {
                return last;
            }
            let everything = EventFilter::default();
            match self
                .store
                .events(cursor, everything, PageSize::small(BATCH))
                .await
            {
                Ok(page) => {
                    cursor = page.scanned_to.max(cursor);
                    self.following.tell(page.events);
                }
                Err(error) => {
                    tracing::warn!(%error, "the log cannot be read; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        cursor
    }
}

const FORGOTTEN: &str = "events after the id are not kept any more";

impl Subscription {
    /// Where the reader is: everything up to here was seen, or held back by the filter.
    pub fn position(&self) -> EventId {
        self.feed.id(self.cursor)
    }

    /// Some of the events that were not read yet, without waiting for more; none when all were.
    pub async fn rest(&mut self) -> Result<FeedPage, StoreError> {
        loop {
            let gap = self.gap.take();
            let page = self
                .feed
                .read(self.cursor, self.filter.clone(), CHUNK)
                .await?;
            let moved = page.next.seq > self.cursor;
            self.cursor = page.next.seq;
            if gap.is_some() || page.gap.is_some() || !page.events.is_empty() || !moved {
                return Ok(FeedPage {
                    gap: gap.or(page.gap),
                    ..page
                });
            }
        }
    }

    /// What comes next: a gap, events, or both. Cancel-safe: nothing is taken before it is
    /// returned.
    pub async fn next(&mut self) -> Result<FeedPage, StoreError> {
        if let Some(gap) = self.gap.take() {
            return Ok(FeedPage {
                next: gap.resumed_from,
                gap: Some(gap),
                events: Vec::new(),
            });
        }
        loop {
            // Before the look, so that an event that is committed meanwhile is not missed.
            let last = *self.pulse.borrow_and_update();
            let filter = self.filter.clone();
            let page = self.feed.read(self.cursor, filter, CHUNK).await?;
            let moved = page.next.seq > self.cursor;
            self.cursor = page.next.seq;
            if page.gap.is_some() || !page.events.is_empty() {
                return Ok(page);
            }
            // The filter held everything back, and there may be more to look at.
            if moved && self.cursor < last {
                continue;
            }
            if self.pulse.changed().await.is_err() {
                return Err(StoreError::Closed);
            }
        }
    }
}
