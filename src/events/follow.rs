//! Following single messages: a registry by id, told by one reader of the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::message::{EventKind, MessageId};
use crate::store::{Logged, ReceiptTimes};

/// What a follower wants to hear of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Interest {
    Everything,
    /// The end, and receipts before it: a caller that waits for the end is not woken in vain.
    End,
}

/// Who follows which message.
#[derive(Debug, Default)]
pub(super) struct Following {
    by_message: Mutex<HashMap<MessageId, Vec<FollowerEntry>>>,
}

#[derive(Debug)]
struct FollowerEntry {
    follower: u64,
    interest: Interest,
    heard: mpsc::UnboundedSender<Heard>,
    waiting: Arc<AtomicUsize>,
    /// The last it was sent is [`Heard::Missed`].
    is_missing: bool,
}

/// What waits for a follower at most, in bytes, unless it is one event.
const MAX_WAITING: usize = 16 * 1024;

/// What a follower hears.
#[derive(Clone, Debug)]
pub enum Heard {
    Event(Logged),
    /// More happened than could wait here. The log has it.
    Missed,
}

impl Heard {
    fn weight(&self) -> usize {
        match self {
            Self::Event(event) => event.weight(),
            // Nothing is put behind it.
            Self::Missed => MAX_WAITING,
        }
    }
}

/// Hears the events of one message. When it takes nothing, what waits for it stays bounded.
#[derive(Debug)]
pub struct Follower {
    following: Arc<Following>,
    id: MessageId,
    follower: u64,
    heard: mpsc::UnboundedReceiver<Heard>,
    waiting: Arc<AtomicUsize>,
}

impl Following {
    pub(super) fn is_empty(&self) -> bool {
        self.by_message
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    pub(super) fn tell(&self, events: Vec<Logged>) {
        let mut by_message = self
            .by_message
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if by_message.is_empty() {
            return;
        }
        for event in events {
            let places = by_message.get_mut(&event.message_id);
            for place in places.into_iter().flatten() {
                place.tell(&event);
            }
        }
    }
}

/// Whether a caller that waits for the end of a message is told of such an event.
fn is_of_the_end(kind: EventKind) -> bool {
    match kind {
        EventKind::Sending | EventKind::Deferred | EventKind::Received => false,
        EventKind::Succeeded | EventKind::Failed => true,
        EventKind::Delivered | EventKind::Displayed | EventKind::Undelivered => true,
    }
}

impl FollowerEntry {
    fn tell(&mut self, event: &Logged) {
        if self.interest == Interest::End && !is_of_the_end(event.kind) {
            return;
        }
        let waiting = self.waiting.load(Ordering::Acquire);
        // A caller that waits for the end gets it in any case.
        let is_end = self.interest == Interest::End && event.kind.is_terminal();
        let has_room = waiting == 0 || waiting + event.weight() <= MAX_WAITING;
        let heard = if has_room || is_end {
            Heard::Event(event.clone())
        } else if self.is_missing {
            // The follower has yet to look at the log, which has this event by now.
            return;
        } else {
            Heard::Missed
        };
        self.is_missing = matches!(heard, Heard::Missed);
        self.waiting.fetch_add(heard.weight(), Ordering::AcqRel);
        // A follower that is gone takes its place away itself.
        let _ = self.heard.send(heard);
    }
}

impl Follower {
    pub(super) fn new(following: Arc<Following>, id: MessageId, interest: Interest) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let waiting = Arc::<AtomicUsize>::default();
        let follower = {
            let mut by_message = following
                .by_message
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let places = by_message.entry(id).or_default();
            let follower = places.last().map_or(0, |place| place.follower + 1);
            places.push(FollowerEntry {
                follower,
                interest,
                heard: sender,
                waiting: waiting.clone(),
                is_missing: false,
            });
            follower
        };
        Self {
            following,
            id,
            follower,
            heard,
            waiting,
        }
    }

    /// Whose events these are.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// What happens next to the message; cancel-safe.
    pub async fn next(&mut self) -> Option<Heard> {
        let heard = self.heard.recv().await?;
        self.waiting.fetch_sub(heard.weight(), Ordering::AcqRel);
        Some(heard)
    }

    /// Waits for the message's end, and notes receipts that come before it. `None` when there were
    /// more than could wait here: the store has them.
    pub async fn terminal(&mut self, receipts: &mut ReceiptTimes) -> Option<Logged> {
        let mut has_missed = false;
        while let Some(heard) = self.next().await {
            let Heard::Event(event) = heard else {
                has_missed = true;
                continue;
            };
            if event.kind.is_terminal() {
                return Some(event).filter(|_| !has_missed);
            }
            if let (_, Some(time)) = event.facts() {
                receipts.note(event.kind, time);
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;

    fn event(seq: u64, kind: EventKind, bytes: usize) -> Logged {
        Logged {
            seq,
            message_id: MessageId::new(Uuid::nil()),
            kind,
            uri: "sip:bob@example.com".into(),
            account: None,
            webhook: None,
            json: Bytes::from(vec![b' '; bytes]),
        }
    }

    fn follow(following: &Arc<Following>, interest: Interest) -> Follower {
        Follower::new(following.clone(), MessageId::new(Uuid::nil()), interest)
    }

    fn take(follower: &mut Follower) -> Vec<Option<u64>> {
        let mut all = Vec::new();
        while let Ok(heard) = follower.heard.try_recv() {
            follower.waiting.fetch_sub(heard.weight(), Ordering::AcqRel);
            all.push(match heard {
                Heard::Event(event) => Some(event.seq),
                Heard::Missed => None,
            });
        }
        all
    }

    #[test]
    fn what_waits_for_a_follower_is_bounded_and_it_knows_that_it_missed_something() {
        let following = Arc::<Following>::default();
        let mut follower = follow(&following, Interest::Everything);
        let tell = |seqs: std::ops::RangeInclusive<u64>, bytes| {
            let events = seqs.map(|seq| event(seq, EventKind::Sending, bytes));
            following.tell(events.collect());
        };
        tell(1..=1_000, 4_000);
        assert!(follower.waiting.load(Ordering::Acquire) <= 2 * MAX_WAITING);
        assert_eq!(take(&mut follower), [Some(1), Some(2), Some(3), None]);
        tell(1_001..=1_002, 10);
        assert_eq!(take(&mut follower), [Some(1_001), Some(1_002)]);
        // A single event is heard of whatever it weighs.
        tell(1_003..=1_005, 2 * MAX_WAITING);
        assert_eq!(take(&mut follower), [Some(1_003), None]);
    }

    #[tokio::test]
    async fn receipts_before_the_end_are_noted_with_their_times() {
        let following = Arc::<Following>::default();
        let mut follower = follow(&following, Interest::End);
        let told = [
            (EventKind::Sending, "00"),
            (EventKind::Displayed, "02"),
            (EventKind::Succeeded, "03"),
            (EventKind::Delivered, "04"),
        ];
        let events = (1..).zip(told).map(|(seq, (kind, second))| {
            let time = format!("2026-11-22T05:00:{second}.000Z");
            let id = MessageId::new(Uuid::nil());
            let json = format!(r#"{{"id":"1-1","type":"x","time":"{time}","messageId":"{id}"}}"#);
            Logged {
                json: json.into(),
                ..event(seq, kind, 0)
            }
        });
        following.tell(events.collect());
        let mut receipts = ReceiptTimes::default();
        let end = follower.terminal(&mut receipts).await.unwrap();
        assert_eq!(end.kind, EventKind::Succeeded);
        let expected = ReceiptTimes {
            displayed: "2026-11-22T05:00:02.000Z".parse().ok(),
            ..ReceiptTimes::default()
        };
        assert_eq!(receipts, expected);
    }

    #[tokio::test]
    async fn more_receipts_than_can_wait_hide_no_end() {
        let following = Arc::<Following>::default();
        let mut follower = follow(&following, Interest::End);
        let kinds = [
            EventKind::Delivered,
            EventKind::Displayed,
            EventKind::Failed,
        ];
        let events = (1..).zip(kinds);
        let events = events.map(|(seq, kind)| event(seq, kind, 2 * MAX_WAITING));
        following.tell(events.collect());
        assert_eq!(take(&mut follower), [Some(1), None, Some(3)]);
        following.tell(vec![event(4, EventKind::Delivered, MAX_WAITING)]);
        following.tell(vec![event(5, EventKind::Delivered, MAX_WAITING)]);
        following.tell(vec![event(6, EventKind::Succeeded, MAX_WAITING)]);
        // The caller looks at the store then.
        let end = follower.terminal(&mut ReceiptTimes::default()).await;
        assert_eq!(end, None);
    }

    #[test]
    fn who_waits_for_the_end_hears_of_nothing_else() {
        let following = Arc::<Following>::default();
        let mut follower = follow(&following, Interest::End);
        let kinds = [EventKind::Sending, EventKind::Deferred, EventKind::Failed];
        let events = (1..).zip(kinds);
        let events = events.map(|(seq, kind)| event(seq, kind, 2 * MAX_WAITING));
        following.tell(events.collect());
        assert_eq!(take(&mut follower), [Some(3)]);
    }
}
