//! The newest part of the log, in memory: its followers run no SQL.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::page::Filling;
use super::{Bounds, EventFilter, Events, Logged, PageSize};

/// How much of the log is kept in memory; whichever is reached first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TailSize {
    pub events: usize,
    /// Bytes, as [`Logged::weight`] counts them.
    pub bytes: usize,
}

/// Events a page looks at.
const SCAN: usize = 4_096;
/// Events a reader passes over at once: it holds up the writer meanwhile.
const STEP: usize = 256;

/// The newest durable events, and how far the log reaches. Older ones are in the database.
#[derive(Debug)]
pub(super) struct Tail {
    epoch: u64,
    ring: Mutex<Ring>,
    committed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Logged>,
    bytes: usize,
    size: TailSize,
    /// Every event after this one is here.
    complete_after: u64,
    bounds: Bounds,
}

impl Tail {
    /// Begins where the log ends.
    pub(super) fn new(epoch: u64, size: TailSize, bounds: Bounds) -> Self {
        let ring = Ring {
            events: VecDeque::new(),
            bytes: 0,
            size,
            complete_after: bounds.last,
            bounds,
        };
        Self {
            epoch,
            ring: Mutex::new(ring),
            committed: watch::Sender::new(bounds.last),
        }
    }

    /// The number that names the log.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Publishes events that have become durable, in their order, and then wakes those that wait.
    pub(super) fn publish(&self, events: Vec<Logged>) {
        let Some(last) = events.last().map(|event| event.seq) else {
            return;
        };
        self.lock().extend(events, last);
        self.committed.send_replace(last);
    }

    /// Puts a tombstone in the place of its event.
    pub(super) fn erase(&self, event: Logged) {
        self.lock().erase(event);
    }

    /// Forgets every event, so that all of them are read from the database.
    pub(super) fn clear(&self) {
        let mut ring = self.lock();
        ring.events.clear();
        ring.bytes = 0;
        ring.complete_after = ring.bounds.last;
    }

    /// Takes note that the log has holes up to this event.
    pub(super) fn forget(&self, forgotten_to: u64) {
        self.lock().forget(forgotten_to);
    }

    /// What follows `after`; `None` when that begins before the oldest event here.
    pub(super) fn after(&self, after: u64, filter: &EventFilter, size: PageSize) -> Option<Events> {
        let mut page = Events {
            events: Vec::new(),
            scanned_to: after,
            is_cut: false,
        };
        let mut filling = Filling::new(size);
        for _ in 0..SCAN / STEP {
            match self.lock().look(&mut page, filter, &mut filling) {
                TailLookup::On => {}
                TailLookup::Enough => break,
                // What was looked at before the writer dropped what follows is true all the same.
                TailLookup::Dropped if page.scanned_to > after => break,
                TailLookup::Dropped => return None,
            }
        }
        Some(page)
    }

    /// How far the log reaches.
    pub(super) fn bounds(&self) -> Bounds {
        self.lock().bounds
    }

    /// The number of the last durable event, renewed at each commit.
    pub(super) fn committed(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn extend(&mut self, events: Vec<Logged>, last: u64) {
        self.bounds.last = last;
        for event in events {
            self.bytes += event.weight();
            self.events.push_back(event);
        }
        while self.events.len() > self.size.events || self.bytes > self.size.bytes {
            self.drop_oldest();
        }
    }

    fn forget(&mut self, forgotten_to: u64) {
        if forgotten_to <= self.bounds.forgotten_to {
            return;
        }
        self.bounds.forgotten_to = forgotten_to;
        while self.events.front().is_some_and(|e| e.seq <= forgotten_to) {
            self.drop_oldest();
        }
    }

    fn erase(&mut self, event: Logged) {
        let place = self.events.binary_search_by_key(&event.seq, |one| one.seq);
        if let Some(place) = place.ok().and_then(|at| self.events.get_mut(at)) {
            self.bytes -= place.weight();
            self.bytes += event.weight();
            *place = event;
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.events.pop_front() {
            self.bytes -= oldest.weight();
            self.complete_after = oldest.seq;
        }
    }

    /// Looks at the next few events after those of the page.
    fn look(&self, page: &mut Events, filter: &EventFilter, filling: &mut Filling) -> TailLookup {
        if page.scanned_to < self.complete_after {
            return TailLookup::Dropped;
        }
        let begin = self
            .events
            .partition_point(|event| event.seq <= page.scanned_to);
        for event in self.events.range(begin..).take(STEP) {
            if filter.passes(event) {
                if !filling.takes(event.weight()) {
                    page.is_cut = true;
                    return TailLookup::Enough;
                }
                page.events.push(event.clone());
            }
            page.scanned_to = event.seq;
        }
        if self.events.len() > begin + STEP {
            TailLookup::On
        } else {
            TailLookup::Enough
        }
    }
}

/// What a few events more have come to.
enum TailLookup {
    /// There are more.
    On,
    /// There is no more, or the page is full.
    Enough,
    /// What follows is not here any more.
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{EventKind, MessageId};

    fn event(seq: u64) -> Logged {
        Logged {
            seq,
            message_id: MessageId::from_bytes(&[0; 16]).unwrap(),
            kind: EventKind::Sending,
            uri: "sip:bob@example.com".into(),
            account: None,
            webhook: None,
            json: bytes::Bytes::from_static(b"{}"),
        }
    }

    fn tail(last: u64, events: usize, bytes: usize) -> Tail {
        let bounds = Bounds {
            forgotten_to: 0,
            last,
        };
        Tail::new(1, TailSize { events, bytes }, bounds)
    }

    fn page(tail: &Tail, after: u64, limit: usize) -> Option<(Vec<u64>, u64)> {
        let page = tail.after(after, &EventFilter::default(), limit.into())?;
        let numbers = page.events.iter().map(|event| event.seq).collect();
        Some((numbers, page.scanned_to))
    }

    #[test]
    fn what_was_dropped_is_not_claimed_to_be_known() {
        let tail = tail(10, 3, 1_000);
        assert_eq!(page(&tail, 9, 5), None);
        assert_eq!(page(&tail, 10, 5), Some((vec![], 10)));
        tail.publish((11..=15).map(event).collect());
        assert_eq!(page(&tail, 11, 5), None);
        assert_eq!(page(&tail, 12, 5), Some((vec![13, 14, 15], 15)));
        assert_eq!(page(&tail, 12, 2), Some((vec![13, 14], 14)));
        assert_eq!(page(&tail, 15, 2), Some((vec![], 15)));
    }

    #[test]
    fn bytes_are_bounded_as_well_as_events() {
        let tail = tail(0, 100, 3 * event(1).weight());
        tail.publish((1..=9).map(event).collect());
        assert_eq!(page(&tail, 5, 9), None);
        assert_eq!(page(&tail, 6, 9), Some((vec![7, 8, 9], 9)));
    }

    #[test]
    fn what_a_filter_holds_back_was_looked_at_all_the_same() {
        let tail = tail(0, 10, 1_000);
        tail.publish((1..=4).map(event).collect());
        let filter = EventFilter {
            kinds: [EventKind::Failed].into_iter().collect(),
            ..EventFilter::default()
        };
        let found = tail.after(0, &filter, 10.into()).unwrap();
        assert_eq!((found.events.len(), found.scanned_to), (0, 4));
    }

    #[test]
    fn a_page_is_full_of_bytes_as_well_as_of_events() {
        let tail = tail(0, 100, 1_000_000);
        tail.publish((1..=9).map(event).collect());
        let size = |bytes| PageSize { rows: 100, bytes };
        let read = |size| tail.after(0, &EventFilter::default(), size).unwrap();
        let page = read(size(3 * event(1).weight()));
        assert_eq!(
            (page.events.len(), page.scanned_to, page.is_cut),
            (3, 3, true)
        );
        let page = read(size(0));
        assert_eq!(
            (page.events.len(), page.scanned_to, page.is_cut),
            (1, 1, true)
        );
        let page = read(size(1_000_000));
        assert_eq!(
            (page.events.len(), page.scanned_to, page.is_cut),
            (9, 9, false)
        );
    }

    #[test]
    fn a_page_of_many_steps_misses_nothing() {
        const EVENTS: usize = 3 * STEP + 5;
        let tail = tail(0, 10 * SCAN, usize::MAX);
        tail.publish((1..=EVENTS as u64).map(event).collect());
        let (numbers, scanned_to) = page(&tail, 1, 10 * EVENTS).unwrap();
        assert_eq!(numbers, (2..=EVENTS as u64).collect::<Vec<_>>());
        assert_eq!(scanned_to, EVENTS as u64);
        tail.publish((EVENTS as u64 + 1..=2 * SCAN as u64).map(event).collect());
        let (numbers, _) = page(&tail, 0, usize::MAX).unwrap();
        assert_eq!(numbers.len(), SCAN);
    }

    #[test]
    fn what_was_forgotten_is_gone_from_memory_too() {
        let tail = tail(0, 10, 1_000);
        tail.publish((1..=4).map(event).collect());
        tail.forget(2);
        assert_eq!(page(&tail, 1, 9), None);
        assert_eq!(page(&tail, 2, 9), Some((vec![3, 4], 4)));
        let bounds = tail.bounds();
        assert_eq!((bounds.forgotten_to, bounds.last), (2, 4));
    }

    #[test]
    fn an_erased_event_keeps_its_place() {
        let tail = tail(0, 10, 1_000);
        tail.publish((1..=3).map(event).collect());
        let left = Logged {
            json: bytes::Bytes::from_static(b"{\"erased\":true}"),
            ..event(2)
        };
        tail.erase(left.clone());
        tail.erase(event(9));
        let page = tail.after(0, &EventFilter::default(), 9.into()).unwrap();
        assert_eq!(page.events, [event(1), left, event(3)]);
        tail.clear();
        assert!(tail.after(0, &EventFilter::default(), 9.into()).is_none());
        tail.publish(vec![event(4)]);
        let page = tail.after(3, &EventFilter::default(), 9.into()).unwrap();
        assert_eq!(page.events, [event(4)]);
    }

    #[test]
    fn those_who_wait_are_told_once_per_commit() {
        let tail = tail(0, 10, 1_000);
        let mut committed = tail.committed();
        tail.publish((1..=4).map(event).collect());
        assert!(committed.has_changed().unwrap());
        assert_eq!(*committed.borrow_and_update(), 4);
        tail.publish(Vec::new());
        assert!(!committed.has_changed().unwrap());
    }
}
