//! Where a message stands: in its lane, among the heads that are ready, on a timer.

use super::{Board, End, Entry, Lane, Phase, QuotaPermit};
use crate::agent::AgentIndex;
use crate::message::{MessageId, Timestamp};

impl Board {
    /// Puts a message at the end of its lane.
    pub(super) fn enqueue(&mut self, id: MessageId, now: Timestamp) {
        self.begin_to_wait(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let lane = self.lanes.entry(entry.lane()).or_default();
        lane.push_back(id);
        if lane.len() == 1 {
            self.become_head(id, now);
        } else {
            entry.phase = Phase::Queued;
            let expires_at = entry.expires_at;
            self.set_timer(id, Some(expires_at));
        }
    }

    pub(super) fn become_head(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        // Found in flight after a restart, behind one that was accepted before it and scheduled:
        // whether it is sent again is decided first, and it becomes the head then.
        if let Phase::Ending(_) = entry.phase {
            return;
        }
        match entry.not_before {
            Some(time) if time > now => {
                entry.phase = Phase::Waiting;
                let until = time.min(entry.expires_at);
                self.set_timer(id, Some(until));
            }
            _ if !self.busy.contains_key(&entry.uri) => {
                let place = self.ready.push(entry.account.clone(), id);
                entry.phase = Phase::Ready(place);
                self.untimed.push(id);
            }
            _ => drop(self.wait_for_target(id)),
        }
    }

    /// Lets a head wait as long as its target has a request in flight; `false` when it has none.
    pub(super) fn wait_for_target(&mut self, id: MessageId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        let Some(heads) = self.busy.get_mut(&entry.uri) else {
            return false;
        };
        heads.push(id);
        entry.phase = Phase::Queued;
        let expires_at = entry.expires_at;
        self.set_timer(id, Some(expires_at));
        true
    }

    /// Gives back what an attempt had: its slot, and its target to the heads that wait for it.
    pub(super) fn free(&mut self, agent: AgentIndex, uri: &str, now: Timestamp) {
        self.work.released.push(agent);
        for id in self.busy.remove(uri).unwrap_or_default() {
            // Those that have ended, or are about to, are not queued any more.
            let phase = self.entries.get(&id).map(|entry| entry.phase);
            if phase == Some(Phase::Queued) {
                self.become_head(id, now);
            }
        }
    }

    /// Takes a message out of its lane; the next becomes the head if it was.
    pub(super) fn leave_lane(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let name = entry.lane();
        let Some(lane) = self.lanes.get_mut(&name) else {
            return;
        };
        let Some(at) = lane.iter().position(|other| *other == id) else {
            return;
        };
        lane.remove(at);
        let next = lane.front().copied();
        if at == 0
            && let Some(heads) = self.busy.get_mut(&name.0)
        {
            heads.retain(|head| *head != id);
        }
        match next {
            None => drop(self.lanes.remove(&name)),
            Some(next) if at == 0 => {
                self.set_timer(next, None);
                self.become_head(next, now);
            }
            Some(_) => {}
        }
    }

    pub(super) fn leave_ready(&mut self, id: MessageId) {
        if let Some(entry) = self.entries.get(&id)
            && let Phase::Ready(place) = entry.phase
        {
            self.ready.remove(&entry.account, place);
        }
    }

    pub(super) fn leave_schedule(&mut self, id: MessageId) {
        let phase = self.entries.get(&id).map(|entry| entry.phase);
        if phase == Some(Phase::Scheduled) {
            self.scheduled -= 1;
        }
    }

    /// Keeps what this message holds of its client's share until it is forgotten.
    pub(in crate::dispatch) fn hold(&mut self, id: MessageId, permit: QuotaPermit) {
        if self.entries.contains_key(&id) {
            self.permits.insert(id, permit);
        }
    }

    /// Forgets a message that has ended.
    pub(super) fn forget(&mut self, id: MessageId) {
        self.set_timer(id, None);
        self.leave_schedule(id);
        if !self.permits.is_empty() {
            self.permits.remove(&id);
        }
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        if entry.phase == Phase::Ending(End::Canceled) {
            self.work.forgotten.push(id);
        }
        if let Some(content) = entry.content {
            self.held_bytes = self.held_bytes.saturating_sub(content.weight());
        }
    }

    pub(super) fn set_phase(&mut self, id: MessageId, phase: Phase) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.phase = phase;
        }
    }

    /// A message has at most one timer.
    pub(super) fn set_timer(&mut self, id: MessageId, time: Option<Timestamp>) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if let Some(before) = entry.timer.take() {
            self.timers.remove(&(before, id));
        }
        if let Some(time) = time {
            entry.timer = Some(time);
            self.timers.insert((time, id));
        }
    }
}

impl Entry {
    pub(super) fn lane(&self) -> Lane {
        (self.uri.clone(), self.account.clone())
    }
}
