//! The newest part of the log, in memory: who follows the log reads no SQL.

use std::collections::VecDeque;

use super::EventFilter;
use super::Events;
use super::Logged;

/// The newest durable events. What is not here is in the database.
#[derive(Debug)]
pub(super) struct Tail {
    events: VecDeque<Logged>,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
    /// Every event after this one is here.
    complete_after: u64,
}

impl Tail {
    /// Knows nothing of events up to `last`.
    pub(super) fn new(last: u64, max_events: usize, max_bytes: usize) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            max_events,
            max_bytes,
            complete_after: last,
        }
    }

    /// Adds events that have become durable, in order.
    pub(super) fn extend(&mut self, events: Vec<Logged>) {
        for event in events {
            self.bytes += event.json.len();
            self.events.push_back(event);
        }
        while self.events.len() > self.max_events || self.bytes > self.max_bytes {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.json.len();
            self.complete_after = oldest.seq;
        }
    }

    /// What follows `after`; `None` when that begins before what is here.
    pub(super) fn after(&self, after: u64, filter: &EventFilter, limit: usize) -> Option<Events> {
        if after < self.complete_after {
            return None;
        }
        let begin = self.events.partition_point(|event| event.seq <= after);
        let mut found = Events {
            events: Vec::new(),
            scanned_to: after,
        };
        for event in self.events.range(begin..) {
            if found.events.len() == limit {
                break;
            }
            found.scanned_to = event.seq;
            if filter.passes(event) {
                found.events.push(event.clone());
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::EventKind;
    use crate::message::MessageId;

    fn event(seq: u64) -> Logged {
        Logged {
            seq,
            message_id: MessageId::from_bytes(&[0; 16]).unwrap(),
            kind: EventKind::Sending,
            uri: "sip:bob@example.com".into(),
            account: None,
            json: bytes::Bytes::from_static(b"{}"),
        }
    }

    fn numbers(found: &Events) -> Vec<u64> {
        found.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn what_was_dropped_is_not_claimed_to_be_known() {
        let mut tail = Tail::new(10, 3, 1_000);
        assert!(tail.after(9, &EventFilter::default(), 5).is_none());
        tail.extend((11..=15).map(event).collect());
        assert!(tail.after(11, &EventFilter::default(), 5).is_none());
        assert_eq!(
            numbers(&tail.after(12, &EventFilter::default(), 5).unwrap()),
            [13, 14, 15]
        );
        let page = tail.after(12, &EventFilter::default(), 2).unwrap();
        assert_eq!((numbers(&page), page.scanned_to), (vec![13, 14], 14));
        assert_eq!(
            tail.after(15, &EventFilter::default(), 2)
                .unwrap()
                .scanned_to,
            15
        );
    }

    #[test]
    fn what_a_filter_holds_back_was_looked_at_all_the_same() {
        let mut tail = Tail::new(0, 10, 1_000);
        tail.extend((1..=4).map(event).collect());
        let filter = EventFilter {
            kinds: vec![EventKind::Failed],
            ..EventFilter::default()
        };
        let found = tail.after(0, &filter, 10).unwrap();
        assert_eq!((found.events.len(), found.scanned_to), (0, 4));
    }
}
