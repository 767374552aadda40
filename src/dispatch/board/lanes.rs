//! The order of messages: the lanes, and the targets with a request in flight.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::message::MessageId;

/// A target, and the `from` of the messages to it; `None` for those that any account may send.
pub(super) type Lane = (Arc<str>, Option<Arc<str>>);

/// See the module. No lane is empty.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<Lane, VecDeque<MessageId>>,
    /// Targets with a request in flight, and the heads of lanes that wait for its end.
    busy: HashMap<Arc<str>, Vec<MessageId>>,
}

impl Lanes {
    /// Adds a message at the end of its lane; whether it is the head.
    pub(super) fn push(&mut self, lane: Lane, id: MessageId) -> bool {
        let lane = self.lanes.entry(lane).or_default();
        lane.push_back(id);
        lane.len() == 1
    }

    /// Takes a message out of its lane; the new head, when it was the head.
    pub(super) fn remove(&mut self, lane: &Lane, id: MessageId) -> Option<MessageId> {
        let messages = self.lanes.get_mut(lane)?;
        let at = messages.iter().position(|other| *other == id)?;
        messages.remove(at);
        let head = messages.front().copied();
        if at > 0 {
            return None;
        }
        if let Some(heads) = self.busy.get_mut(&lane.0) {
            heads.retain(|head| *head != id);
        }
        if head.is_none() {
            self.lanes.remove(lane);
        }
        head
    }

    /// Forgets a lane with all its messages.
    pub(super) fn forget(&mut self, lane: &Lane) {
        self.lanes.remove(lane);
    }

    pub(super) fn get(&self, lane: &Lane) -> Option<&VecDeque<MessageId>> {
        self.lanes.get(lane)
    }

    pub(super) fn is_head(&self, lane: &Lane, id: MessageId) -> bool {
        let lane = self.lanes.get(lane);
        lane.is_some_and(|lane| lane.front() == Some(&id))
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
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Lane, &VecDeque<MessageId>)> {
        self.lanes.iter()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.busy.is_empty()
    }
}
