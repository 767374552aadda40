//! Following single messages: a registry by id, told by one reader of the log.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::message::{ByMessage, MessageId, Status};
use crate::store::{Logged, ReceiptTimes};

/// Who follows which message.
#[derive(Debug, Default)]
pub(super) struct Following(Mutex<Registry>);

#[derive(Debug, Default)]
struct Registry {
    by_message: ByMessage<Vec<FollowerEntry>>,
    /// No end is awaited any more.
    is_released: bool,
}

#[derive(Debug)]
struct FollowerEntry {
    number: u64,
    hears: Hears,
}

/// What a follower receives.
#[derive(Debug)]
enum Hears {
    Everything(EventQueue),
    /// The end alone, once: a client that waits for it is not woken in vain.
    End {
        receipts: ReceiptTimes,
        /// `None` when it was told.
        reply: Option<oneshot::Sender<MessageEnd>>,
    },
}

/// The way to a [`Follower`].
#[derive(Debug)]
struct EventQueue {
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

/// How a message ended.
#[derive(Clone, Debug)]
pub struct MessageEnd {
    /// Its terminal event.
    pub event: Logged,
    /// Its status from then on.
    pub status: Status,
    /// Receipts that came before it, since it was followed.
    pub receipts: ReceiptTimes,
}

/// Hears the events of one message. When it takes nothing, what waits for it stays bounded.
#[derive(Debug)]
pub struct Follower {
    registration: FollowerGuard,
    heard: mpsc::UnboundedReceiver<Heard>,
    waiting: Arc<AtomicUsize>,
}

/// Waits for the end of one message.
#[derive(Debug)]
pub struct EndFollower {
    end: oneshot::Receiver<MessageEnd>,
    _registration: FollowerGuard,
}

/// The entry of a follower; it is removed with it.
#[derive(Debug)]
struct FollowerGuard {
    following: Arc<Following>,
    id: MessageId,
    number: u64,
}

impl Following {
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().by_message.is_empty()
    }

    pub(super) fn tell(&self, events: Vec<Logged>) {
        let mut registry = self.lock();
        if registry.by_message.is_empty() {
            return;
        }
        for event in events {
            let entries = registry.by_message.get_mut(&event.message_id);
            for entry in entries.into_iter().flatten() {
                entry.hears.tell(&event);
            }
        }
    }

    /// Lets every client go that waits for an end, from now on.
    pub(super) fn release(&self) {
        let mut registry = self.lock();
        registry.is_released = true;
        for entry in registry.by_message.values_mut().flatten() {
            if let Hears::End { reply, .. } = &mut entry.hears {
                *reply = None;
            }
        }
    }

    fn register(self: &Arc<Self>, id: MessageId, mut hears: Hears) -> FollowerGuard {
        let mut registry = self.lock();
        if let Hears::End { reply, .. } = &mut hears
            && registry.is_released
        {
            *reply = None;
        }
        let entries = registry.by_message.entry(id).or_default();
        let number = entries.last().map_or(0, |entry| entry.number + 1);
        entries.push(FollowerEntry { number, hears });
        drop(registry);
        FollowerGuard {
            following: self.clone(),
            id,
            number,
        }
    }
}

impl Drop for FollowerGuard {
    fn drop(&mut self) {
        let mut registry = self.following.lock();
        if let Entry::Occupied(mut entries) = registry.by_message.entry(self.id) {
            entries
                .get_mut()
                .retain(|entry| entry.number != self.number);
            if entries.get().is_empty() {
                entries.remove();
            }
        }
    }
}

impl Hears {
    fn tell(&mut self, event: &Logged) {
        match self {
            Self::Everything(queue) => queue.tell(event),
            Self::End { receipts, reply } => match event.kind.status() {
                Some(status) if status.is_final() => {
                    if let Some(reply) = reply.take() {
                        // A follower that is gone removes its entry itself.
                        let _ = reply.send(MessageEnd {
                            event: event.clone(),
                            status,
                            receipts: *receipts,
                        });
                    }
                }
                Some(_) => {}
                None => {
                    if let (_, Some(time)) = event.facts() {
                        receipts.note(event.kind, time);
                    }
                }
            },
        }
    }
}

impl EventQueue {
    fn tell(&mut self, event: &Logged) {
        let waiting = self.waiting.load(Ordering::Acquire);
        let has_room = waiting == 0 || waiting + event.weight() <= MAX_WAITING;
        let heard = if has_room {
            Heard::Event(event.clone())
        } else if self.is_missing {
            // The follower has yet to look at the log, which has this event by now.
            return;
        } else {
            Heard::Missed
        };
        self.is_missing = matches!(heard, Heard::Missed);
        self.waiting.fetch_add(heard.weight(), Ordering::AcqRel);
        // A follower that is gone removes its entry itself.
        let _ = self.heard.send(heard);
    }
}

impl Follower {
    pub(super) fn new(following: &Arc<Following>, id: MessageId) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let waiting = Arc::<AtomicUsize>::default();
        let queue = EventQueue {
            heard: sender,
            waiting: waiting.clone(),
            is_missing: false,
        };
        Self {
            registration: following.register(id, Hears::Everything(queue)),
            heard,
            waiting,
        }
    }

    /// Whose events these are.
    pub fn id(&self) -> MessageId {
        self.registration.id
    }

    /// What happens next to the message; cancel-safe.
    pub async fn next(&mut self) -> Option<Heard> {
        let heard = self.heard.recv().await?;
        self.waiting.fetch_sub(heard.weight(), Ordering::AcqRel);
        Some(heard)
    }
}

impl EndFollower {
    pub(super) fn new(following: &Arc<Following>, id: MessageId) -> Self {
        let (reply, end) = oneshot::channel();
        let hears = Hears::End {
            receipts: ReceiptTimes::default(),
            reply: Some(reply),
        };
        Self {
            end,
            _registration: following.register(id, hears),
        }
    }

    /// Resolves at the message's end; with `None` when the gateway stops before.
    pub async fn end(self) -> Option<MessageEnd> {
        self.end.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;
    use crate::message::EventKind;

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

    fn follow(following: &Arc<Following>) -> Follower {
        Follower::new(following, MessageId::new(Uuid::nil()))
    }

    fn follow_to_end(following: &Arc<Following>) -> EndFollower {
        EndFollower::new(following, MessageId::new(Uuid::nil()))
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
        let mut follower = follow(&following);
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
        let follower = follow_to_end(&following);
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
        let end = follower.end().await.unwrap();
        assert_eq!(end.event.kind, EventKind::Succeeded);
        let expected = ReceiptTimes {
            displayed: "2026-11-22T05:00:02.000Z".parse().ok(),
            ..ReceiptTimes::default()
        };
        assert_eq!(end.receipts, expected);
    }

    #[test]
    fn a_client_that_waits_for_the_end_is_told_once() {
        let following = Arc::<Following>::default();
        let (one, other) = (follow_to_end(&following), follow_to_end(&following));
        following.tell(vec![event(1, EventKind::Sending, 0)]);
        following.tell(vec![event(2, EventKind::Deferred, 0)]);
        let mut one = Box::pin(one.end());
        assert!((&mut one).now_or_never().is_none());
        following.tell(vec![event(3, EventKind::Failed, 2 * MAX_WAITING)]);
        let end = one.now_or_never().flatten().unwrap();
        assert_eq!((end.event.seq, end.receipts), (3, ReceiptTimes::default()));
        let end = other.end().now_or_never().flatten().unwrap();
        assert_eq!(end.event.seq, 3);
        assert!(following.is_empty());
    }

    #[test]
    fn a_stop_lets_those_go_that_wait_for_an_end_and_nobody_waits_afterwards() {
        let following = Arc::<Following>::default();
        let (before, mut all) = (follow_to_end(&following), follow(&following));
        following.release();
        let after = follow_to_end(&following);
        for released in [before, after] {
            assert!(matches!(released.end().now_or_never(), Some(None)));
        }
        following.tell(vec![event(1, EventKind::Succeeded, 0)]);
        assert_eq!(take(&mut all), [Some(1)]);
    }
}
