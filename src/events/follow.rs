//! Following single messages: a registry by id, told by one reader of the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::mpsc;

use crate::message::MessageId;
use crate::store::Logged;

/// What a follower wants to hear of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Interest {
    Everything,
    /// Nothing before the end: who waits for it is not woken in vain.
    End,
}

/// Who follows which message.
#[derive(Debug, Default)]
pub(super) struct Following {
    by_message: Mutex<HashMap<MessageId, Vec<Place>>>,
}

#[derive(Debug)]
struct Place {
    follower: u64,
    interest: Interest,
    events: mpsc::UnboundedSender<Logged>,
}

/// Hears the events of one message. A message has few of them, at most two for each attempt and
/// one more, so what waits here is bounded by `attempts`.
#[derive(Debug)]
pub struct Follower {
    following: Arc<Following>,
    id: MessageId,
    follower: u64,
    events: mpsc::UnboundedReceiver<Logged>,
}

impl Following {
    pub(super) fn is_empty(&self) -> bool {
        self.by_message
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    pub(super) fn tell(&self, events: Vec<Logged>) {
        let by_message = self
            .by_message
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if by_message.is_empty() {
            return;
        }
        for event in events {
            for place in by_message.get(&event.message_id).into_iter().flatten() {
                if place.interest == Interest::End && !event.kind.is_terminal() {
                    continue;
                }
                // A follower that is gone takes its place away itself.
                let _ = place.events.send(event.clone());
            }
        }
    }
}

impl Follower {
    pub(super) fn new(following: Arc<Following>, id: MessageId, interest: Interest) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let follower = {
            let mut by_message = following
                .by_message
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let places = by_message.entry(id).or_default();
            let follower = places.last().map_or(0, |place| place.follower + 1);
            places.push(Place {
                follower,
                interest,
                events: sender,
            });
            follower
        };
        Self {
            following,
            id,
            follower,
            events,
        }
    }

    /// Whose events these are.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// The next event of the message; cancel-safe.
    pub async fn next(&mut self) -> Option<Logged> {
        self.events.recv().await
    }

    /// Waits for the message's end.
    pub async fn terminal(&mut self) -> Option<Logged> {
        while let Some(event) = self.next().await {
            if event.kind.is_terminal() {
                return Some(event);
            }
        }
        None
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut by_message = self
            .following
            .by_message
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = by_message.get_mut(&self.id) {
            places.retain(|place| place.follower != self.follower);
            if places.is_empty() {
                by_message.remove(&self.id);
            }
        }
    }
}
