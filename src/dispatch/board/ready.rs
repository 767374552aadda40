//! Heads of lanes that wait for a slot, first come, first served within what the pool can give.
//!
//! They wait in groups: those that one account must send, and those that any may. A group that the
//! pool had no slot for is closed, and not asked about again before a slot is freed or its rate
//! allows; so a thousand waiting messages of a silent account cost the others nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::message::MessageId;

/// The account that must send; `None` when any may.
pub(super) type Group = Option<Arc<str>>;

#[derive(Debug, Default)]
pub(super) struct Ready {
    groups: HashMap<Group, GroupHeads>,
    /// Groups that may get a slot, by the place of their first.
    open: BTreeSet<(u64, Group)>,
    /// When closed groups open by themselves.
    timers: BTreeSet<(Instant, Group)>,
    next: u64,
}

#[derive(Debug, Default)]
struct GroupHeads {
    heads: BTreeMap<u64, MessageId>,
    closed: bool,
}

impl Ready {
    /// Adds a head; its place is what [`Ready::remove`] wants.
    pub(super) fn push(&mut self, group: Group, id: MessageId) -> u64 {
        self.next += 1;
        let place = self.next;
        let waiting = self.groups.entry(group.clone()).or_default();
        if waiting.heads.is_empty() && !waiting.closed {
            self.open.insert((place, group));
        }
        waiting.heads.insert(place, id);
        place
    }

    /// The head that waits longest among the open groups.
    pub(super) fn first(&self) -> Option<(Group, MessageId)> {
        let (place, group) = self.open.first()?;
        let id = self.groups.get(group)?.heads.get(place)?;
        Some((group.clone(), *id))
    }

    /// Takes the first head of an open group away.
    pub(super) fn pop(&mut self, group: &Group) {
        let first = self
            .groups
            .get(group)
            .and_then(|waiting| waiting.heads.keys().next().copied());
        if let Some(place) = first {
            self.remove(group, place);
        }
    }

    /// Takes a head away.
    pub(super) fn remove(&mut self, group: &Group, place: u64) {
        let Some(waiting) = self.groups.get_mut(group) else {
            return;
        };
        let first = waiting.heads.keys().next().copied();
        waiting.heads.remove(&place);
        if first == Some(place) && !waiting.closed {
            self.open.remove(&(place, group.clone()));
            if let Some(next) = waiting.heads.keys().next() {
                self.open.insert((*next, group.clone()));
            }
        }
        // A closed group is remembered while it is closed: whether there is a slot for it does not
        // depend on its heads.
        if waiting.heads.is_empty() && !waiting.closed {
            self.groups.remove(group);
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
        waiting.closed = true;
        if let Some(first) = waiting.heads.keys().next() {
            self.open.remove(&(*first, group));
        }
    }

    /// There may be a slot for this group.
    pub(super) fn open(&mut self, group: &Group) {
        let Some(waiting) = self.groups.get_mut(group) else {
            return;
        };
        if !waiting.closed {
            return;
        }
        waiting.closed = false;
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
