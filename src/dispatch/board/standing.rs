//! What can be said of the messages that wait: how many, since when, and what for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::observer::{Standing, WaitingFor};
use super::{Board, Entry, Phase};
use crate::message::{MessageId, Timestamp};
use crate::pool::{Busy, Pool};

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
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let since = entry.waits_since(id);
        let entries = &self.entries;
        self.ages
            .push(since, id, entries.len(), |id| !entries.contains_key(&id));
    }

    /// How many messages are where, and since when the oldest waits.
    pub(in crate::dispatch) fn standing(&mut self) -> Standing {
        let entries = &self.entries;
        self.ages.drop_ended(|id| !entries.contains_key(&id));
        // Those in flight are few, so one that waits is found soon, if there is one.
        let oldest = self.ages.order.iter().find(|(_, id)| {
            let phase = entries.get(id).map(|entry| entry.phase);
            phase.is_some_and(|phase| match phase {
                Phase::Queued | Phase::Ready(_) | Phase::Waiting => true,
                Phase::Scheduled
                | Phase::Loading(_)
                | Phase::Starting(_)
                | Phase::Sending(_)
                | Phase::Ending(_) => false,
            })
        });
        let sending = self.in_flight();
        Standing {
            scheduled: self.scheduled,
            queued: self.entries.len().saturating_sub(self.scheduled + sending),
            sending,
            oldest: oldest.map(|(since, _)| *since),
        }
    }

    /// What this message waits for; `None` when it does not wait, or is not here.
    pub(in crate::dispatch) fn waiting_for(
        &self,
        id: MessageId,
        pool: &Pool,
        now: Timestamp,
        steady: Instant,
    ) -> Option<WaitingFor> {
        let entry = self.entries.get(&id)?;
        match entry.phase {
            Phase::Scheduled => entry.not_before.map(WaitingFor::Schedule),
            Phase::Waiting => entry.not_before.map(WaitingFor::Retry),
            Phase::Queued => {
                let lane = self.lanes.get(&entry.lane())?;
                let behind = lane.iter().position(|other| *other == id)?;
                let head = self.entries.get(lane.front()?)?;
                let is_sent = matches!(
                    head.phase,
                    Phase::Loading(_) | Phase::Starting(_) | Phase::Sending(_)
                );
                // One of another lane is in flight.
                let is_blocked = !is_sent && self.busy.contains_key(&entry.uri);
                let before = behind + usize::from(is_blocked);
                Some(WaitingFor::Lane { before })
            }
            Phase::Ready(_) => match pool.busy(entry.account.as_ref(), steady) {
                Some(Busy::NoAgent) => Some(WaitingFor::Agent(entry.account.clone())),
                Some(Busy::Limited(until)) => {
                    // Whole milliseconds, and never too early.
                    let wait = until.saturating_duration_since(steady) + ROUNDING;
                    Some(WaitingFor::Rate(now.plus(wait)))
                }
                // With room in the pool it is this message's turn within the moment.
                Some(Busy::Full) | None => Some(WaitingFor::Slot),
            },
            // Its content is to be read, or its `sending` to be written: of a healthy store that
            // is no wait.
            Phase::Loading(_) | Phase::Starting(_) => Some(WaitingFor::Store),
            Phase::Sending(_) | Phase::Ending(_) => None,
        }
    }
}

impl Entry {
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
    use std::cell::RefCell;
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn those_that_have_ended_are_forgotten_although_the_oldest_waits_on() {
        let mut ages = Ages::default();
        let live: RefCell<HashSet<MessageId>> = RefCell::default();
        let has_ended = |id| !live.borrow().contains(&id);
        for number in 0..100_000 {
            let id = MessageId::new(Uuid::from_u128(number));
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
        assert_eq!(first, MessageId::new(Uuid::from_u128(0)));
    }
}
