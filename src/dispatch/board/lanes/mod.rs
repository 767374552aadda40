//! The order of messages: the lanes, and the targets with a request in flight.

mod queue;

use std::collections::HashMap;
use std::sync::Arc;

use super::precedence::Rank;
use crate::message::{MessageId, Priority, Timestamp};
use queue::LaneQueues;

/// A target, and the `from` of the messages to it; `None` for those that any account may send.
pub(super) type Lane = (Arc<str>, Option<Arc<str>>);

/// A message in its lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneMessage {
    pub(super) id: MessageId,
    pub(super) class: Priority,
    /// Since when it waits.
    pub(super) since: Timestamp,
}

/// What became of a message that was added to a lane.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pushed {
    /// It is the only one.
    Head,
    /// Others go before it.
    Behind,
    /// It goes before this head, unless that one is in flight: see [`Lanes::overtake`].
    Outranks(MessageId),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<Lane, LaneQueue>,
    /// Targets with a request in flight, and the heads of lanes that wait for its end.
    busy: HashMap<Arc<str>, Vec<MessageId>>,
}

/// The messages of a lane: the head, and those that wait behind it.
#[derive(Debug)]
pub(super) struct LaneQueue {
    head: LaneMessage,
    waiting: LaneQueues,
}

impl LaneMessage {
    pub(super) fn rank(&self) -> Rank {
        Rank::of(self.class, self.since)
    }
}

impl Lanes {
    /// Adds a message at the end of its class in its lane.
    pub(super) fn push(&mut self, lane: Lane, message: LaneMessage) -> Pushed {
        let mut pushed = Pushed::Head;
        self.lanes
            .entry(lane)
            .and_modify(|lane| pushed = lane.push(message))
            .or_insert_with(|| LaneQueue {
                head: message,
                waiting: LaneQueues::default(),
            });
        pushed
    }

    /// Puts the message that goes before the head, if there is one, in its place: the new head. The
    /// head is not in flight, and is the first of its class from now on.
    pub(super) fn overtake(&mut self, lane: &Lane) -> Option<MessageId> {
        let queue = self.lanes.get_mut(lane)?;
        let next = queue.waiting.pop_before(queue.head.rank())?;
        let head = std::mem::replace(&mut queue.head, next);
        queue.waiting.push_front(head);
        self.wait_no_more(&lane.0, head.id);
        Some(next.id)
    }

    /// Takes a message out of its lane; the new head, when it was the head.
    pub(super) fn remove(
        &mut self,
        lane: &Lane,
        id: MessageId,
        class: Priority,
    ) -> Option<MessageId> {
        let queue = self.lanes.get_mut(lane)?;
        if queue.head.id != id {
            queue.waiting.remove(id, class);
            return None;
        }
        let next = queue.waiting.pop();
        match next {
            Some(next) => queue.head = next,
            None => drop(self.lanes.remove(lane)),
        }
        self.wait_no_more(&lane.0, id);
        next.map(|next| next.id)
    }

    /// A head waits for its target no more.
    fn wait_no_more(&mut self, uri: &str, id: MessageId) {
        if let Some(heads) = self.busy.get_mut(uri) {
            heads.retain(|head| *head != id);
        }
    }

    /// Forgets a lane with all its messages.
    pub(super) fn forget(&mut self, lane: &Lane) {
        self.lanes.remove(lane);
    }

    pub(super) fn get(&self, lane: &Lane) -> Option<&LaneQueue> {
        self.lanes.get(lane)
    }

    pub(super) fn is_head(&self, lane: &Lane, id: MessageId) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.head.id == id)
    }

    /// Whether a request to this target is in flight.
    pub(super) fn is_busy(&self, uri: &str) -> bool {
        self.busy.contains_key(uri)
    }

    /// A request to this target begins.
    pub(super) fn take_target(&mut self, uri: Arc<str>) {
        self.busy.insert(uri, Vec::new());
    }

    /// Lets a head wait as long as its target has a request in flight; false when it has none.
    pub(super) fn wait_for_target(&mut self, uri: &str, head: MessageId) -> bool {
        match self.busy.get_mut(uri) {
            Some(heads) => {
                heads.push(head);
                true
            }
            None => false,
        }
    }

    /// The request to this target has ended; the heads that waited for it.
    pub(super) fn free_target(&mut self, uri: &str) -> Vec<MessageId> {
        self.busy.remove(uri).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Lane, &LaneQueue)> {
        self.lanes.iter()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.busy.is_empty()
    }
}

impl LaneQueue {
    /// Within a class the order of the calls is that of the lane, whatever the times say.
    fn push(&mut self, mut message: LaneMessage) -> Pushed {
        let head = (self.head.class == message.class).then_some(self.head);
        if let Some(last) = self.waiting.last(message.class).or(head) {
            message.since = message.since.max(last.since);
        }
        let is_first = message.rank() < self.head.rank();
        self.waiting.push_back(message);
        if is_first {
            Pushed::Outranks(self.head.id)
        } else {
            Pushed::Behind
        }
    }

    pub(super) fn head(&self) -> LaneMessage {
        self.head
    }

    pub(super) fn len(&self) -> usize {
        1 + self.waiting.len()
    }

    /// Those behind the head, the last one first.
    pub(super) fn backwards(&self) -> impl Iterator<Item = MessageId> {
        self.waiting.backwards().map(|message| message.id)
    }
}

#[cfg(test)]
mod tests;
