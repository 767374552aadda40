//! Which queue posts next. A machine: events go in, actions come out, and it has neither a clock
//! nor a socket.
//!
//! Every queue has a width, how many of its posts may be under way: one at first, twice as many
//! after each success, one again after a failure. Three rules share out what may be under way in
//! all:
//!
//! 1. queues take turns;
//! 2. a queue has fewer posts under way than are left to others, so that even several of them that
//!    do not answer leave room;
//! 3. queues whose last attempt failed have half of all together, and the others always the rest.
//!
//! So one bad endpoint delays no other. Deliveries wait in the store until they are due; a few due
//! ones of each queue are in memory.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use crate::message::Timestamp;
use crate::store::{Due, DueDelivery, PageSize};

/// Queues known at the same time. Further ones are found again in the store when others are done.
const MAX_QUEUES: usize = 1_024;
/// Deliveries of one queue that are read ahead.
const AHEAD: usize = 32;
/// Bytes of deliveries in memory, those that are being read with them.
const MAX_LOADED: usize = 16 * 1024 * 1024;
/// Bytes that one look reads ahead at most, unless it is one delivery.
const LOOK: usize = 1024 * 1024;
/// How far ahead of its time a queue is known.
const HORIZON: Duration = Duration::from_secs(60);

/// What to do next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum QueueAction {
    /// Read what this queue has to post, at most so much.
    Look(Arc<str>, PageSize),
    Post(DueDelivery),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PostEnd {
    /// The endpoint took it.
    Succeeded,
    /// It did not; it is tried again then, or, without a time, not any more.
    Failed(Option<Timestamp>),
    /// It is not known, or the delivery is gone: nothing is learned from it.
    Void,
}

/// The queues that have something to post soon.
#[derive(Debug)]
pub(super) struct Queues {
    known: BTreeMap<Arc<str>, Queue>,
    /// Whose turn it was last.
    turn: Arc<str>,
    concurrency: usize,
    in_flight: usize,
    failing_in_flight: usize,
    loaded: usize,
    looking: usize,
}

#[derive(Debug)]
struct Queue {
    /// Read, and not begun.
    waiting: VecDeque<DueDelivery>,
    /// Weights of deliveries waiting or under way: the store still says that they are due.
    held: HashMap<u64, usize>,
    /// Ended since the look that is under way began, which may still see them as they were.
    ended: HashSet<u64>,
    in_flight: usize,
    width: usize,
    is_failing: bool,
    /// When the store has more, as far as is known.
    look_at: Option<Timestamp>,
    is_looking: bool,
}

impl Queue {
    fn new(look_at: Timestamp) -> Self {
        Self {
            waiting: VecDeque::new(),
            held: HashMap::new(),
            ended: HashSet::new(),
            in_flight: 0,
            width: 1,
            is_failing: false,
            look_at: Some(look_at),
            is_looking: false,
        }
    }

    fn look_no_later_than(&mut self, at: Timestamp) {
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }

    /// Whether nothing would be lost by forgetting it.
    fn is_idle(&self, now: Timestamp) -> bool {
        let waits = self.look_at.is_some_and(|at| at <= now.plus(HORIZON));
        self.held.is_empty() && !self.is_looking && !waits
    }
}

impl Queues {
    /// At most `concurrency` posts are under way at the same time.
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            known: BTreeMap::new(),
            turn: "".into(),
            concurrency: concurrency.max(1),
            in_flight: 0,
            failing_in_flight: 0,
            loaded: 0,
            looking: 0,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// This queue has something to post then.
    pub(super) fn handle_head(&mut self, queue: &Arc<str>, next_at: Timestamp, now: Timestamp) {
        if let Some(known) = self.known.get_mut(queue) {
            known.look_no_later_than(next_at);
        } else if next_at <= now.plus(HORIZON) && self.known.len() < MAX_QUEUES {
            self.known.insert(queue.clone(), Queue::new(next_at));
        }
    }

    /// What a look has found.
    pub(super) fn handle_found(&mut self, queue: &Arc<str>, due: Due) {
        let Some(known) = self.known.get_mut(queue) else {
            return;
        };
        if std::mem::take(&mut known.is_looking) {
            self.looking -= 1;
        }
        let ended = std::mem::take(&mut known.ended);
        if let Some(next_at) = due.next_at {
            known.look_no_later_than(next_at);
        }
        for delivery in due.deliveries {
            let seq = delivery.key.seq;
            let weight = delivery.weight();
            if !ended.contains(&seq) && !known.held.contains_key(&seq) {
                known.held.insert(seq, weight);
                self.loaded += weight;
                known.waiting.push_back(delivery);
            }
        }
    }

    /// A look has failed; another may succeed then.
    pub(super) fn handle_not_found(&mut self, queue: &Arc<str>, again_at: Timestamp) {
        if let Some(known) = self.known.get_mut(queue) {
            if std::mem::take(&mut known.is_looking) {
                self.looking -= 1;
            }
            known.ended.clear();
            known.look_no_later_than(again_at);
        }
    }

    /// A post has ended, and the store knows how.
    pub(super) fn handle_ended(
        &mut self,
        queue: &Arc<str>,
        seq: u64,
        end: PostEnd,
        now: Timestamp,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let max_width = (self.concurrency / 2).max(1);
        let Some(known) = self.known.get_mut(queue) else {
            return;
        };
        let was_failing = known.is_failing;
        if was_failing {
            self.failing_in_flight = self.failing_in_flight.saturating_sub(1);
        }
        known.in_flight = known.in_flight.saturating_sub(1);
        known.held.remove(&seq);
        if known.is_looking {
            known.ended.insert(seq);
        }
        // What waited for this one may be due now.
        let mut look_at = now;
        match end {
            PostEnd::Succeeded => {
                known.width = known.width.saturating_mul(2).min(max_width);
                known.is_failing = false;
            }
            PostEnd::Failed(again_at) => {
                known.width = 1;
                known.is_failing = true;
                look_at = again_at.unwrap_or(now);
            }
            PostEnd::Void => {}
        }
        known.look_no_later_than(look_at);
        let still_under_way = known.in_flight;
        match (was_failing, known.is_failing) {
            (false, true) => self.failing_in_flight += still_under_way,
            (true, false) => {
                self.failing_in_flight = self.failing_in_flight.saturating_sub(still_under_way);
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Nothing is posted to this queue any more, for now: what was read of it is let go.
    pub(super) fn handle_closed(&mut self, queue: &Arc<str>) {
        let Some(known) = self.known.get_mut(queue) else {
            return;
        };
        for delivery in known.waiting.drain(..) {
            self.loaded = self.loaded.saturating_sub(delivery.weight());
            known.held.remove(&delivery.key.seq);
        }
        known.look_at = None;
    }

    /// What to do next, if anything.
    pub(super) fn poll(&mut self, now: Timestamp) -> Option<QueueAction> {
        let after = (Bound::Excluded(self.turn.clone()), Bound::Unbounded);
        let upto = (Bound::Unbounded, Bound::Included(self.turn.clone()));
        let ready = |(name, queue): (&Arc<str>, &Queue)| {
            let ready = self.may_post(queue) || self.may_look(queue, now);
            ready.then(|| name.clone())
        };
        let first = self.known.range(after).find_map(ready);
        let name = first.or_else(|| self.known.range(upto).find_map(ready))?;
        self.turn = name.clone();
        self.take(name)
    }

    /// When something is to be done at the latest, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let waits = |queue: &&Queue| !queue.is_looking && queue.waiting.is_empty();
        let waiting = self.known.values().filter(waits);
        waiting.filter_map(|queue| queue.look_at).min()
    }

    /// Forgets queues that have nothing to do soon.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        self.known.retain(|_, queue| !queue.is_idle(now));
    }

    fn may_post(&self, queue: &Queue) -> bool {
        let left = self.concurrency.saturating_sub(self.in_flight);
        let share = (self.concurrency / 2).max(1);
        !queue.waiting.is_empty()
            && queue.in_flight < queue.width
            && queue.in_flight < left
            && (!queue.is_failing || self.failing_in_flight < share)
    }

    fn may_look(&self, queue: &Queue, now: Timestamp) -> bool {
        queue.waiting.is_empty()
            && !queue.is_looking
            && queue.in_flight < queue.width
            && queue.look_at.is_some_and(|at| at <= now)
            && self.loaded + (self.looking + 1) * LOOK <= MAX_LOADED
    }

    fn take(&mut self, name: Arc<str>) -> Option<QueueAction> {
        let queue = self.known.get_mut(&name)?;
        let Some(delivery) = queue.waiting.pop_front() else {
            queue.is_looking = true;
            queue.look_at = None;
            self.looking += 1;
            let ahead = queue.width.saturating_mul(2).min(AHEAD);
            // Held deliveries are read once more, and dropped again.
            let size = PageSize {
                rows: queue.held.len() + ahead,
                bytes: queue.held.values().sum::<usize>() + LOOK,
            };
            return Some(QueueAction::Look(name, size));
        };
        queue.in_flight += 1;
        self.in_flight += 1;
        self.loaded = self.loaded.saturating_sub(delivery.weight());
        if queue.is_failing {
            self.failing_in_flight += 1;
        }
        Some(QueueAction::Post(delivery))
    }
}

#[cfg(test)]
mod tests;
