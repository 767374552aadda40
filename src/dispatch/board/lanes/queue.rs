//! Those that wait behind the head of a lane: a queue for each class.
//!
//! Nearly all messages are normal, so the queues of the other classes are made when the first of
//! them comes. In each queue ranks only rise, so the lane's order is that of the queues, merged.

use std::collections::VecDeque;

use super::super::precedence::Rank;
use super::LaneMessage;
use crate::message::{MessageId, Priority};

#[derive(Debug, Default)]
pub(super) struct LaneQueues {
    normal: VecDeque<LaneMessage>,
    others: Option<Box<OtherQueues>>,
}

#[derive(Debug, Default)]
struct OtherQueues {
    non_urgent: VecDeque<LaneMessage>,
    urgent: VecDeque<LaneMessage>,
    emergency: VecDeque<LaneMessage>,
}

impl LaneQueues {
    pub(super) fn push_back(&mut self, message: LaneMessage) {
        self.queue_mut(message.class).push_back(message);
    }

    pub(super) fn push_front(&mut self, message: LaneMessage) {
        self.queue_mut(message.class).push_front(message);
    }

    /// The last one of a class.
    pub(super) fn last(&self, class: Priority) -> Option<LaneMessage> {
        self.queue(class)?.back().copied()
    }

    /// Takes the one that is next.
    pub(super) fn pop(&mut self) -> Option<LaneMessage> {
        let first = self.first()?;
        self.queue_mut(first.class).pop_front()
    }

    /// The same, if it goes before a message of this rank.
    pub(super) fn pop_before(&mut self, rank: Rank) -> Option<LaneMessage> {
        let first = self.first().filter(|first| first.rank() < rank)?;
        self.queue_mut(first.class).pop_front()
    }

    pub(super) fn remove(&mut self, id: MessageId, class: Priority) {
        let queue = self.queue_mut(class);
        if let Some(at) = queue.iter().position(|other| other.id == id) {
            queue.remove(at);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queues().map(VecDeque::len).sum()
    }

    /// In the opposite of their order.
    pub(super) fn backwards(&self) -> impl Iterator<Item = LaneMessage> {
        let mut queues: Vec<_> = self
            .queues()
            .map(|queue| queue.iter().rev().peekable())
            .collect();
        std::iter::from_fn(move || {
            let ends = queues
                .iter_mut()
                .filter_map(|queue| Some((queue.peek()?.rank(), queue)));
            let (_, last) = ends.max_by_key(|(rank, _)| *rank)?;
            last.next().copied()
        })
    }

    fn first(&self) -> Option<LaneMessage> {
        let fronts = self.queues().filter_map(VecDeque::front);
        fronts.min_by_key(|message| message.rank()).copied()
    }

    fn queues(&self) -> impl Iterator<Item = &VecDeque<LaneMessage>> {
        let others = self.others.iter();
        let others =
            others.flat_map(|others| [&others.non_urgent, &others.urgent, &others.emergency]);
        std::iter::once(&self.normal).chain(others)
    }

    fn queue(&self, class: Priority) -> Option<&VecDeque<LaneMessage>> {
        let others = self.others.as_deref();
        match class {
            Priority::Normal => Some(&self.normal),
            Priority::NonUrgent => others.map(|others| &others.non_urgent),
            Priority::Urgent => others.map(|others| &others.urgent),
            Priority::Emergency => others.map(|others| &others.emergency),
        }
    }

    fn queue_mut(&mut self, class: Priority) -> &mut VecDeque<LaneMessage> {
        match class {
            Priority::Normal => &mut self.normal,
            Priority::NonUrgent => &mut self.others.get_or_insert_default().non_urgent,
            Priority::Urgent => &mut self.others.get_or_insert_default().urgent,
            Priority::Emergency => &mut self.others.get_or_insert_default().emergency,
        }
    }
}
