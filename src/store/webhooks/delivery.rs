//! An event on its way to a queue, and what became of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::message::{EndpointId, EventKind, MessageId, Timestamp, Trace, json_weight};

/// What follows from a stretch of the log.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cursor from which the plan was made.
    pub from: u64,
    /// Where it is then.
    pub to: u64,
    /// [`Endpoints::revision`] of the endpoints that were looked at.
    pub revision: u64,
    /// When they become due, unless they wait for another.
    pub now: Timestamp,
    /// What to post; at most one for each queue and event. In the order of the log.
    pub deliveries: Vec<NewDelivery>,
}

/// An event to be posted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewDelivery {
    /// The name of an endpoint's queue, or a URL without its query.
    pub queue: Arc<str>,
    /// Where to; `None` for what the endpoint says when the time comes.
    pub url: Option<Arc<str>>,
    /// The event's number in the log.
    pub seq: u64,
    pub message_id: MessageId,
    pub kind: EventKind,
    pub time: Timestamp,
    /// The whole object, which is posted byte by byte. It is kept here, so that retention cannot
    /// pull it away.
    pub json: Bytes,
}

impl NewDelivery {
    /// How much it is, for every budget.
    pub fn weight(&self) -> usize {
        let url = self.url.as_deref().map_or(0, str::len);
        size_of::<Self>() + self.queue.len() + url + self.json.len()
    }
}

/// The name of a delivery: an event goes to a queue once.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeliveryKey {
    pub queue: Arc<str>,
    pub seq: u64,
}

/// A queue that has something to post.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueueHead {
    pub queue: Arc<str>,
    /// When its first delivery is due.
    pub next_at: Timestamp,
}

/// What a queue has to post.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Due {
    /// What waits longest first.
    pub deliveries: Vec<DueDelivery>,
    /// When the first of those is due that are not due yet.
    pub next_at: Option<Timestamp>,
}

/// A delivery whose time has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DueDelivery {
    pub key: DeliveryKey,
    /// Where to; `None` for what the endpoint says.
    pub url: Option<Arc<str>>,
    /// Attempts made since it was last begun anew: where in the schedule it is.
    pub tries: u32,
    /// The whole object.
    pub json: Bytes,
    pub message_id: MessageId,
    /// The type of its event.
    pub kind: EventKind,
    /// The trace of its message; `None` when it has none, or is gone.
    pub trace: Option<Trace>,
}

impl DueDelivery {
    /// How much it is, for every budget.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.url.as_deref().map_or(0, str::len) + self.json.len()
    }
}

/// An attempt that ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempted {
    pub key: DeliveryKey,
    pub attempt: Attempt,
    pub fate: Fate,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// Nothing: it succeeded.
    Delivered,
    /// Nothing: it failed for good.
    Failed,
    /// Another one at this time.
    Again(Timestamp),
}

/// How an attempt went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// Which it was of its delivery, from 1. Set by the store.
    pub number: u32,
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The status of the answer; `None` when there was none.
    pub status: Option<u16>,
    /// The first bytes of the answer; bytes that are not UTF-8 are replaced.
    pub answer: String,
    /// Why there was no answer.
    pub error: Option<String>,
}

/// What an attempt did to its endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settled {
    /// [`Endpoint::failing_since`], now.
    pub failing_since: Option<Timestamp>,
}

/// A delivery and how it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delivery {
    pub seq: u64,
    pub message_id: MessageId,
    pub kind: EventKind,
    pub state: DeliveryState,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When the next attempt begins; `None` when it ended, or waits for an earlier event of its
    /// message.
    pub next_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    /// The last [`MAX_ATTEMPTS_KEPT`] attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

impl Delivery {
    /// How much it is on a page: no less than its JSON.
    pub(in crate::store) fn weight(&self) -> usize {
        /// What JSON has besides texts, of a delivery and of an attempt.
        const FRAME: usize = 512;
        const ATTEMPT: usize = 256;
        let attempts = self.attempts.iter().map(|attempt| {
            let error = attempt.error.as_deref().unwrap_or_default();
            ATTEMPT + json_weight(attempt.answer.as_bytes()) + json_weight(error.as_bytes())
        });
        FRAME + attempts.sum::<usize>()
    }
}

/// Attempts that are kept of each delivery.
pub const MAX_ATTEMPTS_KEPT: u32 = 20;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeliveryState {
    /// It has not ended.
    Pending,
    /// The endpoint took it.
    Delivered,
    /// Every attempt failed.
    Failed,
}

impl DeliveryState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// The word the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The state of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Which deliveries to list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeliveryFilter {
    pub endpoint: EndpointId,
    /// Where they stand; `None` for all.
    pub state: Option<DeliveryState>,
}

/// A page of deliveries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Deliveries {
    /// The newest event first.
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<u64>,
}
