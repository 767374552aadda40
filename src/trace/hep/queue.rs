//! The queue in front of the task that sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::super::frame::RawFrame;
use crate::message::MessageId;

/// Frames that wait, and their bytes. Further ones are dropped.
const FRAMES: usize = 8_192;
const BYTES: usize = 16 * 1024 * 1024;

/// Where agents offer frames.
#[derive(Clone, Debug)]
pub struct HepQueue {
    frames: mpsc::Sender<Queued>,
    waiting: Arc<AtomicUsize>,
}

/// A frame on its way, and the message that it belongs to.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) frame: RawFrame,
    pub(super) message: Option<MessageId>,
    waiting: Arc<AtomicUsize>,
}

pub(super) fn queue() -> (HepQueue, mpsc::Receiver<Queued>) {
    let (frames, queue) = mpsc::channel(FRAMES);
    let waiting = Arc::default();
    (HepQueue { frames, waiting }, queue)
}

impl HepQueue {
    /// Hands a frame over, without waiting; false when there is no room.
    pub(in crate::trace) fn offer(&self, frame: RawFrame, message: Option<MessageId>) -> bool {
        let bytes = frame.bytes.len();
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > BYTES {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        let waiting = self.waiting.clone();
        let queued = Queued {
            frame,
            message,
            waiting,
        };
        // One that finds no room gives its bytes back.
        self.frames.try_send(queued).is_ok()
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.waiting
            .fetch_sub(self.frame.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::frame::tests::raw;
    use super::*;
    use crate::message::Direction;

    #[test]
    fn what_the_queue_has_no_room_for_is_refused_at_once() {
        let frame = |length: usize| raw(Direction::Sent, 0, &"a".repeat(length));
        let (offered, mut queue) = queue();
        assert!(offered.offer(frame(BYTES), None));
        assert!(!offered.offer(frame(1), None));
        drop(queue.try_recv());
        for _ in 0..FRAMES {
            assert!(offered.offer(frame(1), None));
        }
        assert!(!offered.offer(frame(1), None));
        drop(queue);
        assert_eq!(offered.waiting.load(Ordering::Relaxed), 0);
    }
}
