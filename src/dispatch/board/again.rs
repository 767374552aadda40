//! A message that is claimed although it is here: this replica had lost its lease, and with it the
//! message, and has it again.

use super::{Board, End, Phase};
use crate::message::{MessageId, Status, Timestamp};
use crate::store::Claimed;

impl Board {
    /// Whether what is under way here is what the store knows: then it goes on, and its outcome
    /// counts.
    pub(super) fn is_at_it(&self, claimed: &Claimed) -> bool {
        let Some(entry) = self.entries.get(&claimed.id) else {
            return false;
        };
        let is_sending = claimed.status == Status::Sending;
        let is_known = claimed.attempt == entry.attempt;
        match entry.phase {
            Phase::Sending(_) | Phase::Ending(End::Died) => is_known && is_sending,
            Phase::Ending(End::Canceled | End::Expired | End::NobodyRegistered) => {
                is_known && !is_sending
            }
            Phase::Scheduled
            | Phase::Queued
            | Phase::Ready(_)
            | Phase::Loading(_)
            | Phase::Starting(_)
            | Phase::Waiting => false,
        }
    }

    /// Forgets what was known of a message, and whatever comes of an attempt that is under way:
    /// others have made attempts of their own since.
    pub(super) fn drop_stale(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        match entry.phase {
            Phase::Loading(agent) | Phase::Starting(agent) => {
                let (key, uri) = (entry.key, entry.uri.clone());
                self.attempts.remove(&key);
                self.free(agent, &uri, now);
            }
            // What is on its way cannot be called back.
            Phase::Sending(_) => return self.give_up(id, now),
            Phase::Scheduled
            | Phase::Queued
            | Phase::Ready(_)
            | Phase::Waiting
            | Phase::Ending(_) => {}
        }
        self.leave_ready(id);
        self.leave_lane(id, now);
        self.forget(id);
    }
}
