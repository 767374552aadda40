//! Which queue posts next. A machine: events go in, actions come out, and it has neither a clock
//! nor a socket.
//!
//! A queue is one receiver's. The queues of one origin share it, and those that one client asked
//! for share what the client has. So neither many URLs at one host nor many hosts of one client
//! delay what others asked for:
//!
//! 1. clients take turns, the origins of a client, and the queues of an origin;
//! 2. a client leaves at least an eighth of what there is to others. Within that an origin, and a
//!    queue, has no more than it leaves;
//! 3. a queue has one post under way at first, twice as many after each success, and one again
//!    after a failure. An origin has a few, twice as many after each answer, whatever it says, and
//!    a few again after a silence. Queues that did not succeed last leave a quarter of theirs;
//! 4. posts to origins that have not answered yet, and to what failed last, have three quarters of
//!    all together, and the latter a half: the others always have the rest. Of the first a client
//!    leaves a quarter to others, and of the latter a half.
//!
//! Deliveries wait in the store until they are due; a few due ones of each queue are in memory.

mod origin;
mod queue;
mod room;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use crate::message::Timestamp;
use crate::store::{Due, DueDelivery, PageSize};
pub(super) use origin::{Asker, QueueOwner};
use origin::{AskerQueues, Load, Origin};
use queue::Queue;
use room::Allowance;

/// Queues known at the same time. For a further one the client that has most of them gives up one,
/// which is found again in the store when others are done.
const MAX_QUEUES: usize = 1_024;
/// Origins of a client that are remembered without a queue.
const MAX_ORIGINS: usize = 1_024;
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
    /// It did not.
    Failed {
        /// It is tried again then, or, without a time, not any more.
        again_at: Option<Timestamp>,
        /// Whether there was an answer; `None` when nothing was posted.
        has_answered: Option<bool>,
    },
    /// It is not known, or the delivery is gone: nothing is learned from it.
    Void,
}

impl PostEnd {
    fn has_answered(self) -> Option<bool> {
        match self {
            Self::Succeeded => Some(true),
            Self::Failed { has_answered, .. } => has_answered,
            Self::Void => None,
        }
    }
}

/// The queues that have something to post soon.
#[derive(Debug)]
pub(super) struct Queues {
    askers: BTreeMap<Asker, AskerQueues>,
    /// Whose each queue is.
    owners: HashMap<Arc<str>, QueueOwner>,
    /// Whose turn it was last.
    turn: Asker,
    concurrency: usize,
    load: Load,
    ended: u64,
}

/// A queue, with the loads that count it.
struct QueueEntry<'a> {
    queue: &'a mut Queue,
    asker: &'a mut Load,
    all: &'a mut Load,
}

impl Queues {
    /// At most `concurrency` posts are under way at the same time.
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            askers: BTreeMap::new(),
            owners: HashMap::new(),
            turn: Asker::Standing,
            concurrency: concurrency.max(1),
            load: Load::default(),
            ended: 0,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.load.posts
    }

    /// This queue has something to post then. `owner` is asked for when the queue is not known; one
    /// without an owner is not taken in.
    pub(super) fn handle_head(
        &mut self,
        queue: &Arc<str>,
        next_at: Timestamp,
        now: Timestamp,
        owner: impl FnOnce() -> Option<QueueOwner>,
    ) {
        if let Some(known) = self.find(queue) {
            return known.queue.look_no_later_than(next_at);
        }
        if next_at > now.plus(HORIZON) {
            return;
        }
        let Some(owner) = owner() else {
            return;
        };
        if self.owners.len() >= MAX_QUEUES && !self.give_up_one_for(&owner) {
            return;
        }
        let max_width = self.max_width();
        let asker = self.askers.entry(owner.asker.clone()).or_default();
        asker.queues += 1;
        let origin = asker.origins.entry(owner.origin.clone());
        let origin = origin.or_insert_with(|| Origin::new(max_width));
        origin.queues.insert(queue.clone(), Queue::new(next_at));
        self.owners.insert(queue.clone(), owner);
    }

    /// What a look has found.
    pub(super) fn handle_found(&mut self, queue: &Arc<str>, due: Due) {
        if let Some(mut known) = self.find(queue) {
            known.end_look();
            let added = known.queue.add(due);
            known.asker.bytes += added;
            known.all.bytes += added;
        }
    }

    /// A look has failed; another may succeed then.
    pub(super) fn handle_not_found(&mut self, queue: &Arc<str>, again_at: Timestamp) {
        if let Some(mut known) = self.find(queue) {
            known.end_look();
            known.queue.look_again(again_at);
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
        let max_width = self.max_width();
        self.ended += 1;
        let last_end = self.ended;
        let Some(owner) = self.owners.get(queue) else {
            return;
        };
        let Some(asker) = self.askers.get_mut(&owner.asker) else {
            return;
        };
        let Some(origin) = asker.origins.get_mut(&owner.origin) else {
            return;
        };
        let Some(known) = origin.queues.get_mut(queue) else {
            return;
        };
        if let Some(post) = known.end(seq, end, max_width, now) {
            self.load.end(post.trust);
            asker.load.end(post.trust);
            origin.posts = origin.posts.saturating_sub(1);
            origin.unproven -= usize::from(post.is_unproven && origin.unproven > 0);
        }
        origin.learn(end, max_width, last_end);
    }

    /// Nothing is posted to this queue any more, for now: what was read of it is let go.
    pub(super) fn handle_closed(&mut self, queue: &Arc<str>) {
        if let Some(mut known) = self.find(queue) {
            known.let_go();
            known.queue.look_at = None;
        }
    }

    /// What to do next, if anything.
    pub(super) fn poll(&mut self, now: Timestamp) -> Option<QueueAction> {
        let (owner, name) = self.next(now)?;
        self.turn = owner.asker.clone();
        let asker = self.askers.get_mut(&owner.asker)?;
        asker.turn = owner.origin.clone();
        let origin = asker.origins.get_mut(&owner.origin)?;
        origin.turn = name.clone();
        let queue = origin.queues.get(&name)?;
        let post = origin.post_of(queue);
        let queue = origin.queues.get_mut(&name)?;
        let Some(delivery) = queue.begin(post) else {
            queue.is_looking = true;
            queue.look_at = None;
            asker.load.bytes += LOOK;
            self.load.bytes += LOOK;
            // Held deliveries are read once more, and dropped again.
            let (held, bytes) = queue.held();
            let size = PageSize {
                rows: held + queue.width.saturating_mul(2).min(AHEAD),
                bytes: bytes + LOOK,
            };
            return Some(QueueAction::Look(name, size));
        };
        origin.posts += 1;
        origin.unproven += usize::from(post.is_unproven);
        let weight = delivery.weight();
        for load in [&mut asker.load, &mut self.load] {
            load.begin(post.trust);
            load.bytes = load.bytes.saturating_sub(weight);
        }
        Some(QueueAction::Post(delivery))
    }

    /// When something is to be done at the latest, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let waits = |queue: &&Queue| !queue.is_looking && queue.waiting.is_empty();
        let waiting = self.queues().filter(waits);
        waiting.filter_map(|queue| queue.look_at).min()
    }

    /// Forgets queues that have nothing to do soon, those that are well where there are many, and
    /// of too many origins without a queue those that have had none for longest.
    pub(super) fn tidy(&mut self, now: Timestamp) {
        let is_crowded = self.owners.len() > MAX_QUEUES / 2;
        let owners = &mut self.owners;
        for asker in self.askers.values_mut() {
            for origin in asker.origins.values_mut() {
                origin.queues.retain(|name, queue| {
                    let is_kept = !queue.is_idle(now) || (queue.is_well() && !is_crowded);
                    if !is_kept {
                        owners.remove(name);
                        asker.queues -= 1;
                    }
                    is_kept
                });
            }
            let idle = asker.origins.values().filter(|one| one.queues.is_empty());
            let mut ends: Vec<u64> = idle.map(|origin| origin.last_end).collect();
            if let Some(surplus) = ends.len().checked_sub(MAX_ORIGINS + 1) {
                let (_, last, _) = ends.select_nth_unstable(surplus);
                let last = *last;
                let is_kept = |origin: &Origin| !origin.queues.is_empty() || origin.last_end > last;
                asker.origins.retain(|_, origin| is_kept(origin));
            }
        }
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        let origins = self.askers.values().flat_map(|one| one.origins.values());
        origins.flat_map(|origin| origin.queues.values())
    }

    /// Posts of a queue, or to an origin, at once.
    fn max_width(&self) -> usize {
        (self.concurrency / 2).max(1)
    }

    fn find(&mut self, queue: &Arc<str>) -> Option<QueueEntry<'_>> {
        let owner = self.owners.get(queue)?;
        let asker = self.askers.get_mut(&owner.asker)?;
        let origin = asker.origins.get_mut(&owner.origin)?;
        Some(QueueEntry {
            queue: origin.queues.get_mut(queue)?,
            asker: &mut asker.load,
            all: &mut self.load,
        })
    }

    fn forget(&mut self, queue: &Arc<str>) {
        if let Some(mut known) = self.find(queue) {
            known.let_go();
        }
        let owner = self.owners.remove(queue);
        let of_owner = owner.and_then(|owner| {
            let asker = self.askers.get_mut(&owner.asker)?;
            asker.queues -= 1;
            asker.origins.get_mut(&owner.origin)
        });
        if let Some(origin) = of_owner {
            origin.queues.remove(queue);
        }
    }

    /// Forgets a queue of the client that has most of them, at its origin that has most, if that
    /// has more than this owner: a client, or an origin, fills the table for itself only.
    fn give_up_one_for(&mut self, owner: &QueueOwner) -> bool {
        let queues_of = |asker: &Asker| self.askers.get(asker).map_or(0, |one| one.queues);
        let Some((most, asker)) = self.askers.iter().max_by_key(|(_, one)| one.queues) else {
            return false;
        };
        let is_own = *most == owner.asker;
        if !is_own && queues_of(&owner.asker) + 1 >= asker.queues {
            return false;
        }
        let origins = asker.origins.iter();
        let Some((_, origin)) = origins.max_by_key(|(_, origin)| origin.queues.len()) else {
            return false;
        };
        let own = asker.origins.get(&owner.origin).filter(|_| is_own);
        let own = own.map_or(0, |origin| origin.queues.len());
        if is_own && own + 1 >= origin.queues.len() {
            return false;
        }
        let at_rest = origin.queues.iter().filter(|(_, queue)| queue.is_at_rest());
        let Some((name, _)) = at_rest.min_by_key(|(_, queue)| queue.held().0) else {
            return false;
        };
        self.forget(&name.clone());
        true
    }

    /// The next queue that can do something.
    fn next(&self, now: Timestamp) -> Option<(QueueOwner, Arc<str>)> {
        for (name, asker) in in_turn(&self.askers, &self.turn) {
            let room = Allowance::of(self.concurrency, &self.load, &asker.load);
            for (at, origin) in in_turn(&asker.origins, &asker.turn) {
                let may = |queue: &Queue| room.takes(origin, queue) && room.has_work(queue, now);
                let mut queues = in_turn(&origin.queues, &origin.turn);
                if let Some((queue, _)) = queues.find(|(_, queue)| may(queue)) {
                    let owner = QueueOwner {
                        asker: name.clone(),
                        origin: at.clone(),
                    };
                    return Some((owner, queue.clone()));
                }
            }
        }
        None
    }
}

impl QueueEntry<'_> {
    fn end_look(&mut self) {
        if std::mem::take(&mut self.queue.is_looking) {
            self.asker.bytes = self.asker.bytes.saturating_sub(LOOK);
            self.all.bytes = self.all.bytes.saturating_sub(LOOK);
        }
    }

    fn let_go(&mut self) {
        let freed = self.queue.let_go();
        self.asker.bytes = self.asker.bytes.saturating_sub(freed);
        self.all.bytes = self.all.bytes.saturating_sub(freed);
    }
}

/// Everything once, beginning after the one whose turn it was.
fn in_turn<'a, K: Ord, V>(
    all: &'a BTreeMap<K, V>,
    turn: &'a K,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    let after = all.range((Bound::Excluded(turn), Bound::Unbounded));
    after.chain(all.range((Bound::Unbounded, Bound::Included(turn))))
}

#[cfg(test)]
mod tests;
