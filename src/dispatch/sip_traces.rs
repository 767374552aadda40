//! The frames that are kept of messages: on their way to the store, and as they are read.
//!
//! The dispatcher hands them over in memory before it records how their messages ended, and a task
//! writes them. A reader looks in memory first and then in the store, so that a trace is there as
//! soon as the event that it explains.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::message::{Frame, FrameRecord, MessageId};
use crate::store::{Store, StoreError};
use crate::trace::{HeldFrames, NotKept, Recorder, TapReader};

/// Bytes of one write, and its records: less than the writer takes in at once.
const WRITE_BYTES: usize = 1024 * 1024;
const WRITE_RECORDS: usize = 256;

/// The frames that are kept, for API handlers and for the task that writes them. Cheap to clone.
#[derive(Clone)]
pub struct SipTraces(Arc<TraceQueue>);

struct TraceQueue {
    recorder: Arc<Recorder>,
    store: Arc<dyn Store>,
    /// Not written yet, oldest first. As many as may be held in memory.
    waiting: Mutex<VecDeque<(MessageId, Arc<HeldFrames>)>>,
    /// One is added.
    added: Notify,
}

impl SipTraces {
    /// The frames that agents hand to this recorder, kept in this store.
    pub fn new(recorder: Arc<Recorder>, store: Arc<dyn Store>) -> Self {
        Self(Arc::new(TraceQueue {
            recorder,
            store,
            waiting: Mutex::default(),
            added: Notify::new(),
        }))
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// Keeps the frames of a message.
    pub(super) fn keep(&self, message: MessageId, frames: HeldFrames) {
        let mut waiting = self.0.waiting();
        waiting.push_back((message, Arc::new(frames)));
        drop(waiting);
        self.0.added.notify_one();
    }

    /// The frames that were kept of a message, in the order in which they passed.
    pub async fn of_message(&self, message: MessageId) -> Result<Vec<Frame>, StoreError> {
        // In this order: frames written meanwhile are in both, and never in none.
        let waiting = self.0.waiting_of(message);
        let mut records = self.0.store.frames(message).await?;
        for record in waiting {
            let mut known = records.iter();
            if !known.any(|other| other.begun() == record.begun()) {
                records.push(record);
            }
        }
        let frames = records.into_iter().flat_map(|record| record.frames);
        let mut frames: Vec<_> = frames.collect();
        frames.sort_by_key(|frame| frame.micros);
        Ok(frames)
    }

    /// Reads the frames of the agent of this name as they pass.
    pub fn read(&self, agent: &Arc<str>) -> TapReader {
        self.0.recorder.read(agent)
    }

    /// Writes kept frames until `stop`, and then those that wait.
    pub async fn write(self, clock: Clock, stop: CancellationToken) {
        let mut is_failing = false;
        loop {
            let added = self.0.added.notified();
            let batch = self.0.batch();
            if batch.is_empty() {
                if stop.is_cancelled() {
                    return;
                }
                tokio::select! {
                    () = added => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            let written = self.0.store.keep_frames(batch.records, clock.now()).await;
            match &written {
                Err(error) if !is_failing => {
                    tracing::warn!(%error, "failed to store traces; they are dropped until the store takes them");
                }
                Ok(()) if is_failing => tracing::info!("traces are stored again"),
                Ok(()) | Err(_) => {}
            }
            is_failing = written.is_err();
            if is_failing {
                self.recorder().not_kept(NotKept::Store, batch.frames);
            }
            self.0.waiting().drain(..batch.taken);
        }
    }
}

/// Frames of one commit.
#[derive(Default)]
struct FrameBatch {
    records: Vec<FrameRecord>,
    frames: usize,
    /// How many of those that wait it is; they wait until it is written.
    taken: usize,
}

impl FrameBatch {
    fn is_empty(&self) -> bool {
        self.taken == 0
    }
}

impl TraceQueue {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<(MessageId, Arc<HeldFrames>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting_of(&self, message: MessageId) -> Vec<FrameRecord> {
        let waiting = self.waiting();
        let of_message = waiting.iter().filter(|(id, _)| *id == message);
        let frames: Vec<_> = of_message.map(|(_, frames)| frames.clone()).collect();
        drop(waiting);
        let records = frames.iter().map(|frames| self.masked(message, frames));
        records.collect()
    }

    /// The oldest of those that wait.
    fn batch(&self) -> FrameBatch {
        let mut bytes = 0;
        let waiting = self.waiting();
        let oldest = waiting.iter().take(WRITE_RECORDS).take_while(|(_, held)| {
            let fits = bytes < WRITE_BYTES;
            bytes += held.bytes();
            fits
        });
        let oldest: Vec<_> = oldest.cloned().collect();
        drop(waiting);
        FrameBatch {
            taken: oldest.len(),
            frames: oldest.iter().map(|(_, held)| held.frames().len()).sum(),
            records: oldest
                .iter()
                .map(|(message, held)| self.masked(*message, held))
                .collect(),
        }
    }

    fn masked(&self, message: MessageId, held: &HeldFrames) -> FrameRecord {
        let shows_bodies = self.recorder.shows_bodies();
        let frames = held.frames().iter();
        FrameRecord {
            message,
            frames: frames.map(|frame| frame.masked(shows_bodies)).collect(),
        }
    }
}

impl std::fmt::Debug for SipTraces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SipTraces").finish_non_exhaustive()
    }
}
