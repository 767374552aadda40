//! What the agents of a process share: which frames are held, shown and sent.

use std::sync::Arc;
use std::time::Duration;

use super::frame::{FrameBudget, HeldFrames, RawFrame};
use super::hep::HepQueue;
use super::observer::{HepOutcome, NotKept, TraceObserver};
use super::tap::{Tap, TapReader, Taps};
use crate::message::MessageId;

/// Bytes of frames in memory, over all messages.
const HELD: usize = 32 * 1024 * 1024;

/// What the operator configures.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The messages whose frames are kept.
    pub keep: Keep,
    /// For how long.
    pub retention: Duration,
    /// Whether bodies are shown, here and to a HEP server.
    pub bodies: bool,
}

/// The messages whose frames are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keep {
    Off,
    /// Those that failed, and those that came in and whose sender was not told that they did.
    Failed,
    All,
}

/// Where agents hand over frames.
pub struct Recorder {
    settings: Settings,
    budget: Arc<FrameBudget>,
    queue: Option<HepQueue>,
    taps: Taps,
    observer: Arc<dyn TraceObserver>,
}

impl Recorder {
    /// `queue` leads to a HEP server, if there is one.
    pub fn new(
        settings: Settings,
        queue: Option<HepQueue>,
        observer: Arc<dyn TraceObserver>,
    ) -> Self {
        Self {
            settings,
            budget: FrameBudget::new(HELD),
            queue,
            taps: Taps::default(),
            observer,
        }
    }

    /// One that does nothing.
    pub fn off() -> Self {
        let settings = Settings {
            keep: Keep::Off,
            retention: Duration::ZERO,
            bodies: false,
        };
        Self::new(settings, None, Arc::new(()))
    }

    pub fn keep(&self) -> Keep {
        self.settings.keep
    }

    /// Whether bodies are shown.
    pub fn shows_bodies(&self) -> bool {
        self.settings.bodies
    }

    /// Whether frames are sent to a HEP server.
    pub fn sends(&self) -> bool {
        self.queue.is_some()
    }

    /// Nothing held yet, of a message.
    pub fn hold(&self) -> HeldFrames {
        HeldFrames::new(self.budget.clone())
    }

    /// Sends a frame to the HEP server.
    pub fn send(&self, frame: &RawFrame, message: Option<MessageId>) {
        if let Some(queue) = &self.queue
            && !queue.offer(frame.clone(), message)
        {
            self.observer.hep(HepOutcome::Dropped, 1);
        }
    }

    /// Counts frames that are not kept.
    pub fn not_kept(&self, reason: NotKept, frames: usize) {
        if frames > 0 {
            self.observer.not_kept(reason, frames);
        }
    }

    /// Where the agent of this name shows its frames.
    pub fn tap(&self, agent: &Arc<str>) -> Arc<Tap> {
        self.taps.of(agent)
    }

    /// Reads the frames of the agent of this name as they pass.
    pub fn read(&self, agent: &Arc<str>) -> TapReader {
        self.taps.read(agent, self.settings.bodies)
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
