//! What the board shows of messages that wait: how many, since when, what for, and which of them
//! no agent here can send.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::super::observer::{QueueCounts, WaitingFor};
use super::lanes::{Lane, LaneMessage, LaneQueue};
use super::precedence::Rank;
use super::{Board, BoardEntry, Phase};
use crate::message::{ByMessage, MessageId, Timestamp};
use crate::pool::{Busy, Pool};
use crate::store::Stranded;

/// Messages in the order in which their waiting began.
///
/// Those that have ended are taken out lazily, all at once when they are more than those that
/// have not, so keeping the order costs each message a constant time.
#[derive(Debug, Default)]
pub(super) struct Ages {
    order: VecDeque<(Timestamp, MessageId)>,
}

/// The clock on the wall counts milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);

/// Entries kept before it is worth while to look for those that have ended.
const SLACK: usize = 1_024;

impl Ages {
    /// This message begins to wait. `live` is how many messages there are.
    pub(super) fn push(
        &mut self,
        since: Timestamp,
        id: MessageId,
        live: usize,
        has_ended: impl Fn(MessageId) -> bool,
    ) {
        if self.order.len() > 2 * live + SLACK {
            self.order.retain(|(_, id)| !has_ended(*id));
        }
        self.order.push_back((since, id));
    }

    fn drop_ended(&mut self, has_ended: impl Fn(MessageId) -> bool) {
        while let Some((_, id)) = self.order.front()
            && has_ended(*id)
        {
            self.order.pop_front();
        }
    }
}

impl Board {
    /// Takes note that a message waits from now on, its time to be sent having come.
    pub(super) fn begin_to_wait(&mut self, id: MessageId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let since = entry.waits_since(id);
        entry.since = since;
        let entries = &self.entries;
        self.ages
            .push(since, id, entries.len(), |id| !entries.contains_key(&id));
    }

    /// How many messages are where, and since when the oldest waits.
    pub(in crate::dispatch) fn counts(&mut self) -> QueueCounts {
        let entries = &self.entries;
        self.ages.drop_ended(|id| !entries.contains_key(&id));
        // Those in flight are few, so one that waits is found soon, if there is one.
        let oldest = self.ages.order.iter().find(|(_, id)| {
            let phase = entries.get(id).map(|entry| entry.phase);
            phase.is_some_and(|phase| phase.waits() && phase != Phase::Scheduled)
        });
        let sending = self.in_flight();
        QueueCounts {
            scheduled: self.scheduled,
            queued: self.entries.len().saturating_sub(self.scheduled + sending),
            sending,
            oldest: oldest.map(|(since, _)| *since),
            by_class: self.by_class,
        }
    }

    /// What these messages wait for. Messages that do not wait, or are not here, are left out.
    ///
    /// Each lane is walked once, however many of its messages are asked about.
    pub(in crate::dispatch) fn waiting_for(
        &self,
        ids: &[MessageId],
        pool: &Pool,
        now: Timestamp,
        steady: Instant,
    ) -> ByMessage<WaitingFor> {
        let mut waiting = ByMessage::default();
        let mut queued: HashMap<Lane, HashSet<MessageId>> = HashMap::new();
        for id in ids {
            let Some(entry) = self.entries.get(id) else {
                continue;
            };
            let reason = match entry.phase {
                Phase::Scheduled => entry.not_before.map(WaitingFor::Schedule),
                Phase::Waiting => entry.not_before.map(WaitingFor::Retry),
                Phase::Queued => {
                    queued.entry(entry.lane()).or_default().insert(*id);
                    None
                }
                Phase::Ready(_) => Some(self.head_waits_for(entry, pool, now, steady)),
                // Its content is to be read, or its `sending` to be written: of a healthy store
                // that is no wait.
                Phase::Loading(_) | Phase::Starting(_) => Some(WaitingFor::Store),
                Phase::Sending(_) | Phase::Ending(_) => None,
            };
            waiting.extend(reason.map(|reason| (*id, reason)));
        }
        for (lane, wanted) in queued {
            let Some(messages) = self.lanes.get(&lane) else {
                continue;
            };
            let blocked = usize::from(self.is_blocked(&lane.0, messages));
            let head = messages.head();
            let behind = (1..messages.len()).rev().zip(messages.backwards());
            let places = places(behind.chain([(0, head.id)]), wanted);
            let lane = |(id, place)| {
                let waits_for = if self.was_overtaken(id, head) {
                    WaitingFor::Priority(head.class)
                } else {
                    WaitingFor::Lane {
                        before: place + blocked,
                    }
                };
                (id, waits_for)
            };
            waiting.extend(places.into_iter().map(lane));
        }
        waiting
    }

    /// Targets with a lane whose head is ready, and no agent that may send it is here; at most so
    /// many. Those with a request in flight stay: the replica that has a target sends to it.
    pub(in crate::dispatch) fn stranded(&self, pool: &Pool, limit: usize) -> Vec<Stranded> {
        let lost = self.ready.lost(|account| !pool.has_agent(account.as_ref()));
        let stranded = |id: MessageId| {
            let entry = self.entries.get(&id)?;
            let is_free = !self.lanes.is_busy(&entry.uri);
            is_free.then(|| Stranded {
                uri: entry.uri.clone(),
                account: entry.account.clone(),
            })
        };
        lost.filter_map(stranded).take(limit).collect()
    }

    /// What a head waits for whose target is free.
    fn head_waits_for(
        &self,
        entry: &BoardEntry,
        pool: &Pool,
        now: Timestamp,
        steady: Instant,
    ) -> WaitingFor {
        let busy = pool.busy(entry.account.as_ref(), entry.class, steady);
        if busy == Some(Busy::NoAgent) {
            return WaitingFor::Agent(entry.account.clone());
        }
        let rank = Rank::of(entry.class, entry.since);
        let since = |id| self.entries.get(&id).map_or(now, |entry| entry.since);
        let before = self
            .ready
            .class_before(entry.class, &entry.account, rank, since);
        match (before, busy) {
            (Some(class), _) => WaitingFor::Priority(class),
            (None, Some(Busy::Limited(until))) => {
                // Whole milliseconds, and never too early.
                let wait = until.saturating_duration_since(steady) + ROUNDING;
                WaitingFor::Rate(now.plus(wait))
            }
            // With room in the pool it is this message's turn within the moment.
            (None, Some(Busy::Full | Busy::NoAgent) | None) => WaitingFor::Slot,
        }
    }

    /// Whether the head of its lane came after this message, and goes first for its class.
    fn was_overtaken(&self, id: MessageId, head: LaneMessage) -> bool {
        let entry = self.entries.get(&id);
        entry.is_some_and(|entry| entry.class < head.class && entry.since <= head.since)
    }

    /// Whether a request of another lane is in flight to the target of this one.
    fn is_blocked(&self, uri: &str, lane: &LaneQueue) -> bool {
        let head = self.entries.get(&lane.head().id);
        !head.is_some_and(|head| head.phase.has_slot()) && self.lanes.is_busy(uri)
    }
}

/// The places of these messages in their lane. Lists begin with the newest messages, so the lane is
/// given and walked from its end, and no further than to the last of them.
fn places(
    mut lane: impl Iterator<Item = (usize, MessageId)>,
    mut wanted: HashSet<MessageId>,
) -> Vec<(MessageId, usize)> {
    let mut found = Vec::with_capacity(wanted.len());
    while !wanted.is_empty()
        && let Some((place, id)) = lane.next()
    {
        if wanted.remove(&id) {
            found.push((id, place));
        }
    }
    found
}

impl BoardEntry {
    /// A message of before a restart is as old as it is; one that was scheduled waits since its
    /// time came.
    fn waits_since(&self, id: MessageId) -> Timestamp {
        match (self.attempt, self.not_before) {
            (0, Some(time)) => time.max(id.made_at()),
            (_, _) => id.made_at(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> MessageId {
        MessageId::new(Uuid::from_u128(number))
    }

    #[test]
    fn those_that_have_ended_are_forgotten_although_the_oldest_waits_on() {
        let mut ages = Ages::default();
        let live: RefCell<HashSet<MessageId>> = RefCell::default();
        let has_ended = |id| !live.borrow().contains(&id);
        for number in 0..100_000 {
            let id = id(number);
            live.borrow_mut().insert(id);
            let count = live.borrow().len();
            ages.push(Timestamp::EPOCH, id, count, has_ended);
            if number > 0 {
                live.borrow_mut().remove(&id);
            }
        }
        assert!(ages.order.len() <= SLACK + 8, "{}", ages.order.len());
        ages.drop_ended(has_ended);
        let first = ages.order.front().unwrap().1;
        assert_eq!(first, id(0));
    }

    /// The steps of a walk along a lane of 100 000, to the places of these.
    fn walked(asked: std::ops::Range<u128>) -> usize {
        let steps = Cell::new(0);
        let lane = (0..100_000_usize)
            .rev()
            .map(|place| (place, id(place as u128)))
            .inspect(|_| steps.set(steps.get() + 1));
        let found = places(lane, asked.clone().map(id).collect());
        let expected: Vec<_> = asked.map(|number| (id(number), number as usize)).collect();
        assert_eq!(found.into_iter().rev().collect::<Vec<_>>(), expected);
        steps.get()
    }

    #[test]
    fn a_page_of_one_long_lane_costs_one_walk_at_most_and_the_newest_page_one_step_each() {
        assert_eq!(walked(99_500..100_000), 500);
        assert_eq!(walked(0..500), 100_000);
        assert_eq!(walked(7..7), 0);
    }
}
