//! Heads of lanes that wait for a slot. Which class begins next is up to [`super::precedence`], and
//! which head of it to [`super::turns`]: so what a begin costs does not depend on how many wait.

use std::time::Instant;

use super::super::quota::QuotaHolder;
use super::precedence::Rank;
use super::turns::ClassHeads;
pub(super) use super::turns::{Group, ReadyPlace};
use crate::message::{MessageId, Priority, Timestamp};

#[derive(Debug, Default)]
pub(super) struct Ready {
    non_urgent: ClassHeads,
    normal: ClassHeads,
    urgent: ClassHeads,
    emergency: ClassHeads,
}

/// The head that is to begin next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct NextHead {
    pub(super) class: Priority,
    pub(super) group: Group,
    pub(super) id: MessageId,
}

impl Ready {
    /// Adds a head; its place is what [`Ready::remove`] wants.
    pub(super) fn push(
        &mut self,
        class: Priority,
        group: Group,
        holder: Option<QuotaHolder>,
        id: MessageId,
        since: Timestamp,
    ) -> ReadyPlace {
        self.class_mut(class).push(group, holder, id, since)
    }

    /// The head that begins next, of the groups that may get a slot. `since` says when a message
    /// began to wait.
    pub(super) fn first(&self, since: impl Fn(MessageId) -> Timestamp) -> Option<NextHead> {
        let mut firsts = Priority::ALL.into_iter().filter_map(|class| {
            let (group, id) = self.class(class).first()?;
            Some((class, group, id))
        });
        let mut next = firsts.next()?;
        // Nearly always one class waits: its rank is not asked for.
        let mut best = None;
        for other in firsts {
            let before = best.get_or_insert_with(|| Rank::of(next.0, since(next.2)));
            let rank = Rank::of(other.0, since(other.2));
            if rank < *before {
                (best, next) = (Some(rank), other);
            }
        }
        let (class, group, id) = next;
        let group = group.clone();
        Some(NextHead { class, group, id })
    }

    /// Takes the head away that [`Ready::first`] gave.
    pub(super) fn pop(&mut self, next: &NextHead) {
        self.class_mut(next.class).pop(&next.group);
    }

    /// Takes a head away.
    pub(super) fn remove(&mut self, class: Priority, group: &Group, place: ReadyPlace) {
        self.class_mut(class).remove(group, place);
    }

    /// The highest class with a head that goes before one of this rank, and may take its slot.
    pub(super) fn class_before(
        &self,
        class: Priority,
        group: &Group,
        rank: Rank,
        since: impl Fn(MessageId) -> Timestamp,
    ) -> Option<Priority> {
        let higher = Priority::ALL.into_iter().rev();
        higher.take_while(|higher| *higher > class).find(|higher| {
            let first = self.class(*higher).first_rival(group);
            first.is_some_and(|id| Rank::of(*higher, since(id)) < rank)
        })
    }

    /// Heads of the groups that `is_lost`.
    pub(super) fn lost(&self, is_lost: impl Fn(&Group) -> bool) -> impl Iterator<Item = MessageId> {
        let classes = Priority::ALL.into_iter().rev();
        classes.flat_map(move |class| {
            let lost: Vec<_> = self.class(class).lost(&is_lost).collect();
            lost
        })
    }

    /// There is no slot for these heads, until `until` if that is known.
    pub(super) fn close(&mut self, next: NextHead, until: Option<Instant>) {
        self.class_mut(next.class).close(next.group, until);
    }

    /// There may be a slot for this group.
    pub(super) fn open(&mut self, group: &Group) {
        for class in Priority::ALL {
            self.class_mut(class).open(group);
        }
    }

    /// Opens the groups whose time has come.
    pub(super) fn open_due(&mut self, now: Instant) {
        for class in Priority::ALL {
            self.class_mut(class).open_due(now);
        }
    }

    /// When the next group opens by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let classes = Priority::ALL.into_iter();
        classes
            .filter_map(|class| self.class(class).deadline())
            .min()
    }

    fn class(&self, class: Priority) -> &ClassHeads {
        match class {
            Priority::NonUrgent => &self.non_urgent,
            Priority::Normal => &self.normal,
            Priority::Urgent => &self.urgent,
            Priority::Emergency => &self.emergency,
        }
    }

    fn class_mut(&mut self, class: Priority) -> &mut ClassHeads {
        match class {
            Priority::NonUrgent => &mut self.non_urgent,
            Priority::Normal => &mut self.normal,
            Priority::Urgent => &mut self.urgent,
            Priority::Emergency => &mut self.emergency,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> MessageId {
        MessageId::new(Uuid::from_u128(number))
    }

    fn number(id: MessageId) -> u128 {
        Uuid::from_bytes(*id.as_bytes()).as_u128()
    }

    /// The number of a message is the second since which it waits.
    fn since(id: MessageId) -> Timestamp {
        Timestamp::from_millis(number(id) as i64 * 1_000)
    }

    fn ready(heads: &[(Priority, &Group, u128)]) -> Ready {
        let mut ready = Ready::default();
        for (class, group, number) in heads {
            ready.push(
                *class,
                (*group).clone(),
                None,
                id(*number),
                Timestamp::EPOCH,
            );
        }
        ready
    }

    fn drain(ready: &mut Ready) -> Vec<u128> {
        let mut order = Vec::new();
        while let Some(next) = ready.first(since) {
            ready.pop(&next);
            order.push(number(next.id));
        }
        order
    }

    #[test]
    fn the_class_is_looked_at_before_the_group() {
        let alice: Group = Some("alice".into());
        let mut ready = ready(&[
            (Priority::Normal, &alice, 1),
            (Priority::Normal, &None, 2),
            (Priority::Urgent, &None, 3),
            (Priority::NonUrgent, &None, 4),
            (Priority::Emergency, &alice, 500),
            (Priority::Urgent, &alice, 100),
        ]);
        assert_eq!(drain(&mut ready), [500, 3, 1, 2, 100, 4]);
    }

    #[test]
    fn what_one_class_gets_no_slot_for_another_may() {
        let mut ready = ready(&[(Priority::Normal, &None, 1), (Priority::Urgent, &None, 90)]);
        let next = ready.first(since).unwrap();
        assert_eq!((next.class, number(next.id)), (Priority::Normal, 1));
        ready.close(next, None);
        assert_eq!(drain(&mut ready), [90]);
        ready.open(&None);
        assert_eq!(drain(&mut ready), [1]);
    }

    #[test]
    fn a_higher_class_is_a_reason_to_wait_only_where_it_goes_first() {
        let (alice, carol): (Group, Group) = (Some("alice".into()), Some("carol".into()));
        let before = |ready: &Ready, group: &Group, second: u128| {
            let rank = Rank::of(Priority::Normal, since(id(second)));
            ready.class_before(Priority::Normal, group, rank, since)
        };
        let ready = ready(&[
            (Priority::Urgent, &alice, 100),
            (Priority::Emergency, &carol, 200),
        ]);
        assert_eq!(before(&ready, &alice, 90), Some(Priority::Urgent));
        assert_eq!(before(&ready, &alice, 30), None);
        assert_eq!(before(&ready, &carol, 30), Some(Priority::Emergency));
        assert_eq!(before(&ready, &Some("dave".into()), 90), None);
        // Any account may send it, so any head may take its slot.
        assert_eq!(before(&ready, &None, 90), Some(Priority::Emergency));
        let open = self::ready(&[(Priority::Urgent, &None, 100)]);
        assert_eq!(before(&open, &alice, 90), Some(Priority::Urgent));
    }
}
