//! Heads of one class that wait for a slot: within what the pool can give, the one that has waited
//! longest is first, also when it became the head of its lane late.
//! Clients that have a share of the room take turns: each head has a turn after the one before it
//! of its client, so a client with many of them is not before one with few. Without such clients
//! all heads have the same turn.
//!
//! They wait in groups: those that one account must send, and those that any may. A group that the
//! pool had no slot for is closed, and not asked about again before a slot is freed or its rate
//! allows; so a thousand waiting messages of a silent account cost the others nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::super::quota::QuotaHolder;
use crate::message::{MessageId, Timestamp};

/// The account that must send; `None` when any may.
pub(super) type Group = Option<Arc<str>>;

#[derive(Debug, Default)]
pub(super) struct ClassHeads {
    groups: HashMap<Group, GroupHeads>,
    /// Groups that may get a slot, by the place of their first.
    open: BTreeSet<(ReadyPlace, Group)>,
    /// When closed groups open by themselves.
    timers: BTreeSet<(Instant, Group)>,
    next: u64,
    /// The turn of the last head that was taken.
    turn: u64,
    /// Whether there was a client with a share.
    has_turns: bool,
}

#[derive(Debug, Default)]
struct GroupHeads {
    heads: BTreeMap<ReadyPlace, MessageId>,
    /// Since which turn there is no slot for it.
    closed: Option<u64>,
    /// The last turn of each client that has heads here.
    last_turns: HashMap<Option<QuotaHolder>, u64>,
}

/// Where a head stands among the others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct ReadyPlace {
    turn: u64,
    /// Since when the message waits.
    since: Timestamp,
    number: u64,
}

impl ClassHeads {
    /// Adds a head; its place is what [`ClassHeads::remove`] wants.
    pub(super) fn push(
        &mut self,
        group: Group,
        holder: Option<QuotaHolder>,
        id: MessageId,
        since: Timestamp,
    ) -> ReadyPlace {
        self.next += 1;
        self.has_turns |= holder.is_some();
        let waiting = self.groups.entry(group.clone()).or_default();
        let mut place = ReadyPlace {
            turn: waiting.closed.unwrap_or(self.turn),
            since,
            number: self.next,
        };
        if self.has_turns {
            let last = waiting.last_turns.entry(holder).or_default();
            *last = place.turn.max(*last) + 1;
            place.turn = *last;
        }
        let first = waiting.heads.keys().next().copied();
        if waiting.closed.is_none() && first.is_none_or(|first| place < first) {
            if let Some(first) = first {
                self.open.remove(&(first, group.clone()));
            }
            self.open.insert((place, group));
        }
        waiting.heads.insert(place, id);
        place
    }

    /// The head whose turn it is among the open groups; of several the one that waits longest.
    pub(super) fn first(&self) -> Option<(&Group, MessageId)> {
        let (place, group) = self.open.first()?;
        let id = self.groups.get(group)?.heads.get(place)?;
        Some((group, *id))
    }

    /// The first head that may take a slot which this group may have too, whether or not there is
    /// one. Of a group that any account may send for, that is the first of all that may get one.
    pub(super) fn first_rival(&self, group: &Group) -> Option<MessageId> {
        if group.is_none()
            && let Some((_, id)) = self.first()
        {
            return Some(id);
        }
        let mut groups = [group, &None].into_iter();
        groups.find_map(|group| self.groups.get(group)?.heads.values().next().copied())
    }

    /// Takes the first head of an open group away.
    pub(super) fn pop(&mut self, group: &Group) {
        let first = self
            .groups
            .get(group)
            .and_then(|waiting| waiting.heads.keys().next().copied());
        if let Some(place) = first {
            self.turn = self.turn.max(place.turn);
            self.remove(group, place);
        }
    }

    /// Takes a head away.
    pub(super) fn remove(&mut self, group: &Group, place: ReadyPlace) {
        let Some(waiting) = self.groups.get_mut(group) else {
            return;
        };
        let first = waiting.heads.keys().next().copied();
        waiting.heads.remove(&place);
        if first == Some(place) && waiting.closed.is_none() {
            self.open.remove(&(place, group.clone()));
            if let Some(next) = waiting.heads.keys().next() {
                self.open.insert((*next, group.clone()));
            }
        }
        // A closed group is remembered while it is closed: whether there is a slot for it does not
        // depend on its heads.
        if waiting.heads.is_empty() {
            waiting.last_turns.clear();
            if waiting.closed.is_none() {
                self.groups.remove(group);
            }
        }
    }

    /// Heads of the groups that `is_lost`.
    pub(super) fn lost(&self, is_lost: impl Fn(&Group) -> bool) -> impl Iterator<Item = MessageId> {
        let lost = self.groups.iter().filter(move |(group, _)| is_lost(group));
        lost.flat_map(|(_, waiting)| waiting.heads.values().copied())
    }

    /// There is no slot for this group, until `until` if that is known.
    pub(super) fn close(&mut self, group: Group, until: Option<Instant>) {
        if let Some(until) = until {
            self.timers.insert((until, group.clone()));
        }
        let Some(waiting) = self.groups.get_mut(&group) else {
            return;
        };
        waiting.closed = Some(self.turn);
        if let Some(first) = waiting.heads.keys().next() {
            self.open.remove(&(*first, group));
        }
    }

    /// There may be a slot for this group.
    pub(super) fn open(&mut self, group: &Group) {
        // Of most classes nothing waits.
        if self.groups.is_empty() {
            return;
        }
        let Some(waiting) = self.groups.get_mut(group) else {
            return;
        };
        if waiting.closed.take().is_none() {
            return;
        }
        match waiting.heads.keys().next() {
            Some(first) => drop(self.open.insert((*first, group.clone()))),
            None => drop(self.groups.remove(group)),
        }
    }

    /// Opens the groups whose time has come.
    pub(super) fn open_due(&mut self, now: Instant) {
        while let Some((time, _)) = self.timers.first()
            && *time <= now
            && let Some((_, group)) = self.timers.pop_first()
        {
            self.open(&group);
        }
    }

    /// When the next group opens by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(time, _)| *time)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::super::quota::{Quota, QuotaPermit};
    use super::*;

    fn id(number: u128) -> MessageId {
        MessageId::new(Uuid::from_u128(number))
    }

    fn permit() -> QuotaPermit {
        Arc::new(Quota::default()).take(1, 1).unwrap().remove(0)
    }

    /// Takes so many, in their order.
    fn taken(ready: &mut ClassHeads, count: usize) -> Vec<u128> {
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some((group, id)) = ready.first()
        {
            let group = group.clone();
            ready.pop(&group);
            taken.push(Uuid::from_bytes(*id.as_bytes()).as_u128());
        }
        taken
    }

    #[test]
    fn without_shares_the_first_is_served_first() {
        let mut ready = ClassHeads::default();
        let alice: Group = Some("alice".into());
        for number in 0..10 {
            let group = if number % 3 == 0 { None } else { alice.clone() };
            ready.push(group, None, id(number), Timestamp::EPOCH);
        }
        assert_eq!(taken(&mut ready, 4), [0, 1, 2, 3]);
        ready.push(None, None, id(10), Timestamp::EPOCH);
        assert_eq!(taken(&mut ready, 10), [4, 5, 6, 7, 8, 9, 10]);
        assert!(ready.groups.is_empty() && ready.open.is_empty());
    }

    #[test]
    fn clients_with_a_share_take_turns() {
        let (many, few) = (permit(), permit());
        let (many, few) = (Some(many.holder()), Some(few.holder()));
        let mut ready = ClassHeads::default();
        for number in 0..100 {
            ready.push(None, many, id(number), Timestamp::EPOCH);
        }
        assert_eq!(taken(&mut ready, 3), [0, 1, 2]);
        for number in 200..202 {
            ready.push(None, few, id(number), Timestamp::EPOCH);
        }
        // And one of a client without a share, to an account of its own.
        ready.push(Some("alice".into()), None, id(300), Timestamp::EPOCH);
        assert_eq!(taken(&mut ready, 6), [3, 200, 300, 4, 201, 5]);
        assert_eq!(taken(&mut ready, 1_000).len(), 94);
        assert!(ready.groups.is_empty() && ready.open.is_empty());
    }

    #[test]
    fn turns_stand_still_for_those_that_there_is_no_slot_for() {
        let (many, few) = (permit(), permit());
        let (many, few) = (Some(many.holder()), Some(few.holder()));
        let (alice, carol): (Group, Group) = (Some("alice".into()), Some("carol".into()));
        let mut ready = ClassHeads::default();
        for number in 0..10 {
            ready.push(alice.clone(), many, id(number), Timestamp::EPOCH);
        }
        ready.close(alice.clone(), None);
        for number in 100..120 {
            ready.push(carol.clone(), few, id(number), Timestamp::EPOCH);
        }
        assert_eq!(taken(&mut ready, 20).len(), 20);
        let place = ready.push(alice.clone(), few, id(200), Timestamp::EPOCH);
        ready.push(alice.clone(), few, id(201), Timestamp::EPOCH);
        ready.open(&alice);
        assert_eq!(taken(&mut ready, 3), [0, 200, 1]);
        // One that is taken away holds up no other.
        ready.remove(&alice, place);
        assert_eq!(taken(&mut ready, 2), [201, 2]);
    }

    #[test]
    fn a_message_that_became_a_head_late_goes_before_those_that_have_waited_less() {
        let mut ready = ClassHeads::default();
        for (number, seconds) in [(1, 5), (2, 9), (3, 1)] {
            let since = Timestamp::from_millis(seconds * 1_000);
            ready.push(None, None, id(number), since);
        }
        let mut order = Vec::new();
        while let Some((group, id)) = ready.first() {
            order.push(id);
            let group = group.clone();
            ready.pop(&group);
        }
        assert_eq!(order, [id(3), id(1), id(2)]);
    }
}
