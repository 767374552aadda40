//! Frames as agents see them: not masked yet, and counted against what all of them may hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::mask::Masking;
use crate::message::{Direction, Frame};

/// Whose frames these are.
#[derive(Debug)]
pub struct FrameSource {
    /// The agent's name.
    pub agent: Arc<str>,
    /// Names of headers whose values are secrets, in lower case.
    pub hidden_headers: Arc<[Box<str>]>,
}

/// The two ends of an agent's connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketAddresses {
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

/// A frame with everything that is secret in it. It leaves the memory only by [`Self::masked`].
#[derive(Clone, Debug)]
pub struct RawFrame {
    /// As [`Frame::micros`].
    pub micros: i64,
    pub direction: Direction,
    pub source: Arc<FrameSource>,
    pub ends: SocketAddresses,
    pub bytes: Bytes,
}

impl RawFrame {
    /// The frame as it may be shown; its body only where bodies are traced.
    pub fn masked(&self, shows_bodies: bool) -> Frame {
        let mut bytes = self.bytes.to_vec();
        let masking = Masking {
            shows_bodies,
            hidden_headers: &self.source.hidden_headers,
        };
        masking.apply(&mut bytes);
        Frame {
            micros: self.micros,
            direction: self.direction,
            agent: self.source.agent.clone(),
            local: self.ends.local,
            remote: self.ends.remote,
            bytes: bytes.into(),
        }
    }
}

/// Bytes of frames that may be held in memory, over all messages.
#[derive(Debug)]
pub struct FrameBudget {
    used: AtomicUsize,
    most: usize,
}

/// What a frame takes besides its bytes: itself, and room that was made for it and is not used.
const FRAME: usize = 1_024;
/// Of one message.
const MAX_FRAMES: usize = 64;
const MAX_BYTES: usize = 256 * 1024;

impl FrameBudget {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            most,
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= self.most {
            return true;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    /// Room for a frame until the share is dropped; `None` when there is none left.
    pub(super) fn share(self: &Arc<Self>, frame: &RawFrame) -> Option<FrameShare> {
        let bytes = FRAME + frame.bytes.len();
        self.take(bytes).then(|| FrameShare {
            bytes,
            budget: self.clone(),
        })
    }
}

/// The room that a frame takes of a budget.
#[derive(Debug)]
pub(super) struct FrameShare {
    bytes: usize,
    budget: Arc<FrameBudget>,
}

impl Drop for FrameShare {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Frames of one message, held until it is known whether they are kept.
#[derive(Debug)]
pub struct HeldFrames {
    frames: Vec<RawFrame>,
    bytes: usize,
    budget: Arc<FrameBudget>,
}

impl HeldFrames {
    pub fn new(budget: Arc<FrameBudget>) -> Self {
        Self {
            frames: Vec::new(),
            bytes: 0,
            budget,
        }
    }

    /// Adds a frame; false when there is no room for it, of this message or of all.
    pub fn push(&mut self, frame: RawFrame) -> bool {
        let bytes = FRAME + frame.bytes.len();
        let fits = self.frames.len() < MAX_FRAMES && self.bytes + bytes <= MAX_BYTES;
        if !fits || !self.budget.take(bytes) {
            return false;
        }
        self.bytes += bytes;
        self.frames.push(frame);
        true
    }

    /// Adds the frames of a later attempt at the same message; how many there was no room for.
    pub fn append(&mut self, mut later: Self) -> usize {
        let frames = std::mem::take(&mut later.frames);
        // Their bytes are given back first, so that they can be taken again.
        drop(later);
        let mut left_out = 0;
        for frame in frames {
            left_out += usize::from(!self.push(frame));
        }
        left_out
    }

    pub fn frames(&self) -> &[RawFrame] {
        &self.frames
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for HeldFrames {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn raw(direction: Direction, micros: i64, text: &str) -> RawFrame {
        RawFrame {
            micros,
            direction,
            source: Arc::new(FrameSource {
                agent: "alice-1".into(),
                hidden_headers: [].into(),
            }),
            ends: SocketAddresses {
                local: "127.0.0.1:40312".parse().unwrap(),
                remote: "127.0.0.1:5062".parse().unwrap(),
            },
            bytes: Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    fn sent(length: usize) -> RawFrame {
        raw(Direction::Sent, 0, &"a".repeat(length))
    }

    #[test]
    fn frames_are_bounded_for_a_message_and_for_all_and_give_back_what_they_took() {
        let budget = FrameBudget::new(MAX_BYTES + 2 * FRAME);
        let mut held = HeldFrames::new(budget.clone());
        assert!(held.push(sent(MAX_BYTES - FRAME)));
        assert!(!held.push(sent(0)), "the message has no more room");

        let mut other = HeldFrames::new(budget.clone());
        assert!(other.push(sent(FRAME)));
        assert!(!other.push(sent(0)), "all have no more room");
        drop(held);
        assert!(other.push(sent(0)));

        let mut later = HeldFrames::new(budget.clone());
        for _ in 0..MAX_FRAMES {
            assert!(later.push(sent(1)));
        }
        assert!(!later.push(sent(1)), "a message has so many frames");
        assert_eq!(other.append(later), 2);
        assert_eq!(other.frames().len(), MAX_FRAMES);
        drop(other);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
