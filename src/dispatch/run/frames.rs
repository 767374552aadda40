//! Which frames of attempts are kept.
//!
//! | `trace.keep` | an attempt ended     | its message ended `failed` | it ended `succeeded` |
//! |--------------|----------------------|----------------------------|----------------------|
//! | `off`        | no agent holds frames | –                         | –                    |
//! | `failed`     | its frames wait      | they are kept              | they are dropped     |
//! | `all`        | its frames are kept  | –                          | –                    |
//!
//! A message that fails while it is sent, because its time is over, is kept when that attempt ends.

use std::collections::HashSet;

use super::super::board::Board;
use super::super::sip_traces::SipTraces;
use crate::agent::TracedFrames;
use crate::message::{ByMessage, Cause, MessageId, What};
use crate::store::Record;
use crate::trace::{HeldFrames, Keep, NotKept};

/// Messages whose frames wait are looked through when there are so many more.
const SWEEP: usize = 256;

pub(super) struct AttemptFrames {
    traces: SipTraces,
    /// Of attempts whose messages go on.
    waiting: ByMessage<HeldFrames>,
    /// Messages that failed while they were sent.
    failed: HashSet<MessageId>,
    /// When there are so many that wait, those of messages that are gone are dropped.
    sweep_at: usize,
}

impl AttemptFrames {
    pub(super) fn new(traces: SipTraces) -> Self {
        Self {
            traces,
            waiting: ByMessage::default(),
            failed: HashSet::new(),
            sweep_at: SWEEP,
        }
    }

    /// Takes what agents held, before they report how the attempts ended.
    pub(super) fn take(&mut self, traced: Vec<TracedFrames>, board: &Board) {
        for one in traced {
            match one {
                TracedFrames::OfReceived(message, frames) => self.traces.keep(message, frames),
                TracedFrames::OfAttempt(message, frames) => self.attempted(message, frames, board),
            }
        }
    }

    fn attempted(&mut self, message: MessageId, frames: HeldFrames, board: &Board) {
        let recorder = self.traces.recorder();
        if recorder.keep() == Keep::All || self.failed.contains(&message) {
            return self.traces.keep(message, frames);
        }
        if let Some(earlier) = self.waiting.get_mut(&message) {
            let left_out = earlier.append(frames);
            return recorder.not_kept(NotKept::Memory, left_out);
        }
        self.waiting.insert(message, frames);
        if self.waiting.len() >= self.sweep_at {
            // Other replicas took them over, or ended them.
            self.waiting.retain(|message, _| board.has(*message));
            self.sweep_at = SWEEP + 2 * self.waiting.len();
        }
    }

    /// The frames of an attempt were taken, if there are any.
    pub(super) fn ended(&mut self, message: MessageId) {
        if !self.failed.is_empty() {
            self.failed.remove(&message);
        }
    }

    /// This is about to be recorded.
    pub(super) fn record(&mut self, record: &Record) {
        let message = record.event.message_id;
        let (frames, is_failed) = match &record.event.what {
            What::Failed {
                cause, ambiguous, ..
            } => {
                // Only a message that is being sent expires so.
                let is_sent = *cause == Cause::Expires && *ambiguous;
                if is_sent && self.traces.recorder().keep() == Keep::Failed {
                    self.failed.insert(message);
                }
                (self.waiting.remove(&message), true)
            }
            What::Succeeded { .. } => (self.waiting.remove(&message), false),
            What::Sending { .. }
            | What::Deferred { .. }
            | What::Received(_)
            | What::Receipt { .. }
            | What::AgentUp { .. }
            | What::AgentDown { .. } => return,
        };
        if is_failed && let Some(frames) = frames {
            self.traces.keep(message, frames);
        }
    }
}
