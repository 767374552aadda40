//! A queue: its deliveries that wait, its posts under way, and its width.

use std::collections::{HashMap, HashSet, VecDeque};

use super::origin::Trust;
use super::{HORIZON, PostEnd};
use crate::message::Timestamp;
use crate::store::{Due, DueDelivery};

/// The deliveries to one receiver.
#[derive(Debug)]
pub(super) struct Queue {
    /// Read, and not begun.
    pub(super) waiting: VecDeque<DueDelivery>,
    /// Deliveries waiting or under way: the store still says that they are due.
    held: HashMap<u64, QueuedDelivery>,
    /// Ended since the look that is under way began, which may still see them as they were.
    ended: HashSet<u64>,
    pub(super) in_flight: usize,
    pub(super) width: usize,
    pub(super) record: LastOutcome,
    /// When the store has more, as far as is known.
    pub(super) look_at: Option<Timestamp>,
    pub(super) is_looking: bool,
}

/// What the last attempt showed of a queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LastOutcome {
    /// None has ended yet.
    New,
    Succeeded,
    Failed,
}

/// A delivery in memory.
#[derive(Debug)]
struct QueuedDelivery {
    weight: usize,
    post: Option<ActivePost>,
}

/// A post under way, as it was counted when it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActivePost {
    pub(super) trust: Trust,
    /// The queue had not succeeded last.
    pub(super) is_unproven: bool,
}

impl Queue {
    pub(super) fn new(look_at: Timestamp) -> Self {
        Self {
            waiting: VecDeque::new(),
            held: HashMap::new(),
            ended: HashSet::new(),
            in_flight: 0,
            width: 1,
            record: LastOutcome::New,
            look_at: Some(look_at),
            is_looking: false,
        }
    }

    pub(super) fn look_no_later_than(&mut self, at: Timestamp) {
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }

    /// Whether its last attempt succeeded.
    pub(super) fn is_well(&self) -> bool {
        self.record == LastOutcome::Succeeded
    }

    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        let waits = self.look_at.is_some_and(|at| at <= now.plus(HORIZON));
        self.held.is_empty() && !self.is_looking && !waits
    }

    /// Whether nothing of it is under way: it can be forgotten, and found again in the store.
    pub(super) fn is_at_rest(&self) -> bool {
        self.in_flight == 0 && !self.is_looking
    }

    /// Deliveries in memory, and their bytes.
    pub(super) fn held(&self) -> (usize, usize) {
        let bytes = self.held.values().map(|held| held.weight);
        (self.held.len(), bytes.sum())
    }

    /// Takes in what a look has found; the bytes that are in memory now in addition.
    pub(super) fn add(&mut self, due: Due) -> usize {
        let ended = std::mem::take(&mut self.ended);
        if let Some(next_at) = due.next_at {
            self.look_no_later_than(next_at);
        }
        let mut added = 0;
        for delivery in due.deliveries {
            let seq = delivery.key.seq;
            if ended.contains(&seq) || self.held.contains_key(&seq) {
                continue;
            }
            let weight = delivery.weight();
            self.held.insert(seq, QueuedDelivery { weight, post: None });
            added += weight;
            self.waiting.push_back(delivery);
        }
        added
    }

    /// A look has failed; another may succeed then.
    pub(super) fn look_again(&mut self, at: Timestamp) {
        self.ended.clear();
        self.look_no_later_than(at);
    }

    /// Takes out what waits longest, to be posted.
    pub(super) fn begin(&mut self, post: ActivePost) -> Option<DueDelivery> {
        let delivery = self.waiting.pop_front()?;
        self.in_flight += 1;
        if let Some(held) = self.held.get_mut(&delivery.key.seq) {
            held.post = Some(post);
        }
        Some(delivery)
    }

    /// A post has ended; how it was counted.
    pub(super) fn end(
        &mut self,
        seq: u64,
        end: PostEnd,
        max_width: usize,
        now: Timestamp,
    ) -> Option<ActivePost> {
        self.in_flight = self.in_flight.saturating_sub(1);
        let held = self.held.remove(&seq);
        if self.is_looking {
            self.ended.insert(seq);
        }
        // What waited for this one may be due now.
        let mut look_at = now;
        match end {
            PostEnd::Succeeded => {
                self.width = self.width.saturating_mul(2).min(max_width);
                self.record = LastOutcome::Succeeded;
            }
            PostEnd::Failed { again_at, .. } => {
                self.width = 1;
                self.record = LastOutcome::Failed;
                look_at = again_at.unwrap_or(now);
            }
            PostEnd::Void => {}
        }
        self.look_no_later_than(look_at);
        held?.post
    }

    /// Lets go of what was read and not begun; its bytes.
    pub(super) fn let_go(&mut self) -> usize {
        let mut freed = 0;
        for delivery in self.waiting.drain(..) {
            freed += delivery.weight();
            self.held.remove(&delivery.key.seq);
        }
        freed
    }
}
