//! Messages that change replicas: claimed from the store, and given to another replica.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Acceptance, Board, LocalEnd, Phase};
use crate::message::{MessageId, Status, Timestamp};
use crate::pool::Slot;
use crate::store::Claimed;

impl Board {
    /// Takes over a message of before a restart, or of a replica that is gone. That may be this one
    /// itself, when it had lost its lease: then the message is here already.
    pub(in crate::dispatch) fn claim(&mut self, claimed: Claimed, now: Timestamp) {
        if !self.is_at_it(&claimed) {
            self.drop_stale(claimed.id, now);
            self.insert(claimed, Acceptance::Accepted, None, now);
        }
    }

    /// Whether the store knows of this very attempt or end: then it goes on, and counts.
    fn is_at_it(&self, claimed: &Claimed) -> bool {
        let Some(entry) = self.entries.get(&claimed.id) else {
            return false;
        };
        let is_sending = claimed.status == Status::Sending;
        let is_known = claimed.attempt == entry.attempt;
        match entry.phase {
            Phase::Sending(_) | Phase::Ending(LocalEnd::Died) => is_known && is_sending,
            Phase::Ending(_) => is_known && !is_sending,
            Phase::Scheduled
            | Phase::Queued
            | Phase::Ready(_)
            | Phase::Loading(_)
            | Phase::Starting(_)
            | Phase::Waiting => false,
        }
    }

    /// Forgets a message with its attempt: other replicas have made attempts of their own since.
    fn drop_stale(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if let Phase::Sending(_) = entry.phase {
            // A request that was written cannot be called back.
            return self.give_up(id, now);
        }
        if let Some(agent) = entry.phase.agent() {
            let (key, uri) = (entry.key, entry.uri.clone());
            let slot = Slot::of(agent, entry.class);
            self.attempts.remove(key);
            self.free(slot, &uri, now);
        }
        self.leave_ready(id);
        self.remove(id, now);
    }

    /// Forgets every message to these targets: another replica has them now.
    pub(in crate::dispatch) fn abandon(&mut self, uris: &[Arc<str>]) {
        let gone: HashSet<&Arc<str>> = uris.iter().collect();
        let theirs: Vec<MessageId> = self
            .entries
            .iter()
            .filter(|(_, entry)| gone.contains(&entry.uri))
            .map(|(id, _)| *id)
            .collect();
        for id in theirs {
            self.leave_ready(id);
            if let Some(entry) = self.entries.get(&id) {
                self.lanes.forget(&entry.lane());
                // The end of one that does not wait is on its way to the log.
                if entry.phase.waits() {
                    self.forget(id);
                }
            }
        }
    }
}
