//! The frames of agents as they pass, for readers that look on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::frame::{FrameBudget, FrameShare, RawFrame};
use crate::message::Frame;

/// Frames that a reader may be behind.
const BEHIND: usize = 256;
/// Bytes of frames that wait for readers, of all agents together.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Where readers find the frames of the agents of this process.
#[derive(Debug)]
pub struct Taps {
    by_agent: Mutex<HashMap<Arc<str>, Arc<Tap>>>,
    budget: Arc<FrameBudget>,
}

/// Where an agent shows its frames.
#[derive(Debug)]
pub struct Tap {
    /// Readers. Looked at for each frame, so it is no lock.
    readers: AtomicUsize,
    frames: Mutex<Option<broadcast::Sender<TappedFrame>>>,
    budget: Arc<FrameBudget>,
}

/// A frame on its way to readers.
#[derive(Clone, Debug)]
enum TappedFrame {
    Frame {
        frame: RawFrame,
        _share: Arc<FrameShare>,
    },
    /// All agents together had no room for it.
    NoRoom,
}

/// A reader of the frames of an agent.
#[derive(Debug)]
pub struct TapReader {
    frames: broadcast::Receiver<TappedFrame>,
    shows_bodies: bool,
    tap: Arc<Tap>,
}

/// What a reader receives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Passed {
    Frame(Frame),
    /// It was too slow for so many frames, or others were.
    Missed(u64),
}

impl Default for Taps {
    fn default() -> Self {
        Self {
            by_agent: Mutex::default(),
            budget: FrameBudget::new(MAX_BYTES),
        }
    }
}

impl Taps {
    /// The tap of the agent of this name, also before it begins and after it ended.
    pub fn of(&self, agent: &Arc<str>) -> Arc<Tap> {
        let mut taps = self.by_agent.lock().unwrap_or_else(PoisonError::into_inner);
        let tap = taps.entry(agent.clone()).or_insert_with(|| {
            Arc::new(Tap {
                readers: AtomicUsize::new(0),
                frames: Mutex::default(),
                budget: self.budget.clone(),
            })
        });
        tap.clone()
    }

    /// Reads what passes from now on.
    pub fn read(&self, agent: &Arc<str>, shows_bodies: bool) -> TapReader {
        self.of(agent).read(shows_bodies)
    }
}

impl Tap {
    /// Whether anything reads.
    pub fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    /// Shows a frame to those who read. A slow one misses it.
    pub fn show(&self, frame: RawFrame) {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frames) = &*frames {
            let shown = match self.budget.share(&frame) {
                Some(share) => TappedFrame::Frame {
                    frame,
                    _share: Arc::new(share),
                },
                None => TappedFrame::NoRoom,
            };
            // The error says that nothing reads.
            let _ = frames.send(shown);
        }
    }

    fn read(self: Arc<Self>, shows_bodies: bool) -> TapReader {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = frames.get_or_insert_with(|| broadcast::Sender::new(BEHIND));
        let receiver = sender.subscribe();
        self.readers.fetch_add(1, Ordering::Relaxed);
        drop(frames);
        TapReader {
            frames: receiver,
            shows_bodies,
            tap: self,
        }
    }
}

impl TapReader {
    /// What passes next.
    pub async fn next(&mut self) -> Passed {
        match self.frames.recv().await {
            Ok(TappedFrame::Frame { frame, .. }) => Passed::Frame(frame.masked(self.shows_bodies)),
            Ok(TappedFrame::NoRoom) => Passed::Missed(1),
            Err(RecvError::Lagged(missed)) => Passed::Missed(missed),
            // Not while there is a reader: the last one takes the sender away.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Drop for TapReader {
    fn drop(&mut self) {
        let mut frames = self
            .tap
            .frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.tap.readers.fetch_sub(1, Ordering::Relaxed) == 1 {
            // With it go the frames that it holds.
            *frames = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::raw;
    use super::*;
    use crate::message::Direction;

    fn frame(micros: i64) -> RawFrame {
        raw(Direction::Sent, micros, "OPTIONS sip:a SIP/2.0\r\n\r\n")
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_much_it_missed_and_holds_nobody_up() {
        let taps = Taps::default();
        let alice = "alice-1".into();
        let tap = taps.of(&alice);
        tap.show(frame(0));
        let mut slow = taps.read(&alice, false);
        for micros in 1..=300 {
            tap.show(frame(micros));
        }
        assert_eq!(slow.next().await, Passed::Missed(44));
        let Passed::Frame(next) = slow.next().await else {
            panic!("no frame");
        };
        assert_eq!(next.micros, 45);
    }

    #[tokio::test]
    async fn the_frames_that_wait_are_bounded_over_all_agents_by_their_bytes() {
        let taps = Taps::default();
        let large = "a".repeat(MAX_BYTES / 4);
        let mut readers = ["alice-1", "alice-2"].map(|agent| taps.read(&agent.into(), false));
        for agent in ["alice-1", "alice-2"] {
            for micros in 1..=2 {
                taps.of(&agent.into())
                    .show(raw(Direction::Sent, micros, &large));
            }
        }
        // The fourth has no room: each takes a little more than its bytes.
        let [one, two] = &mut readers;
        assert!(matches!(one.next().await, Passed::Frame(_)));
        assert!(matches!(one.next().await, Passed::Frame(_)));
        assert!(matches!(two.next().await, Passed::Frame(_)));
        assert_eq!(two.next().await, Passed::Missed(1));
        // What was read is given back.
        taps.of(&"alice-2".into())
            .show(raw(Direction::Sent, 3, &large));
        assert!(matches!(two.next().await, Passed::Frame(_)));
    }

    #[test]
    fn the_last_reader_takes_what_is_held_with_it() {
        let taps = Taps::default();
        let alice = "alice-1".into();
        let tap = taps.of(&alice);
        let (one, two) = (taps.read(&alice, true), taps.read(&alice, true));
        drop(one);
        assert!(tap.is_read());
        drop(two);
        assert!(!tap.is_read() && tap.frames.lock().unwrap().is_none());
    }
}
