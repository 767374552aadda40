//! The log as it is read: its events, a page of them, and how far it reaches.

use std::sync::Arc;

use bytes::Bytes;

use super::EventFilter;
use crate::message::{Event, EventKind, MessageId, Timestamp};

/// An event in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Logged {
    /// Its number: total order, and the cursor.
    pub seq: u64,
    /// Whose event it is.
    pub message_id: MessageId,
    pub kind: EventKind,
    /// The normalized target, for filters.
    pub uri: Arc<str>,
    /// The account that sent or must send it, for filters.
    pub account: Option<Arc<str>>,
    /// Where the message's own events are posted.
    pub webhook: Option<Arc<str>>,
    /// The whole object with its id, as every reader gets it.
    pub json: Bytes,
}

impl Logged {
    /// How much it is, for every budget: no less than it takes in memory, and no less than its
    /// JSON.
    pub fn weight(&self) -> usize {
        let shared = |text: &Option<Arc<str>>| text.as_deref().map_or(0, str::len);
        size_of::<Self>()
            + self.json.len()
            + self.uri.len()
            + shared(&self.account)
            + shared(&self.webhook)
    }

    /// The attempt the event belongs to, and when it happened, as its JSON says.
    pub fn facts(&self) -> (u32, Option<Timestamp>) {
        if let Some((attempt, time)) = Event::read_facts(&self.json) {
            return (attempt, Some(time));
        }
        #[derive(serde::Deserialize)]
        struct Facts<'a> {
            #[serde(default)]
            attempt: u32,
            time: &'a str,
        }
        match serde_json::from_slice::<Facts<'_>>(&self.json) {
            Ok(facts) => (facts.attempt, facts.time.parse().ok()),
            Err(_) => (0, None),
        }
    }
}

/// A page of the log.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// In the order in which they were read: oldest first, unless the page leads back.
    pub events: Vec<Logged>,
    /// Everything up to here was looked at. Equal to `after` when nothing follows yet.
    pub scanned_to: u64,
    /// Whether the page was full before everything was looked at that could be.
    pub is_cut: bool,
}

impl Events {
    /// What the filter lets pass of the events of one message; `last` was durable before they were
    /// read.
    pub(in crate::store) fn filtered(mut self, filter: &EventFilter, last: u64) -> Self {
        if !self.is_cut {
            self.scanned_to = self.scanned_to.max(last);
        }
        self.events.retain(|event| filter.passes(event));
        self
    }
}

/// How far the log reaches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bounds {
    /// Up to this event the log has holes: a reader that read less far may have missed some. Events
    /// of messages that had not ended when their neighbours were removed are still there.
    pub forgotten_to: u64,
    /// The newest durable event; 0 in a new log.
    pub last: u64,
}
