//! Lanes that nobody here can send, because other replicas have the agents they need.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Board, Phase};
use crate::message::MessageId;
use crate::pool::Pool;
use crate::store::Stranded;

impl Board {
    /// Targets with a lane whose head is ready, and no agent that may send it is here; at most so
    /// many. Those with a request in flight stay, for whoever has a target sends to it.
    pub(in crate::dispatch) fn stranded(&self, pool: &Pool, limit: usize) -> Vec<Stranded> {
        let lost = self.ready.lost(|account| !pool.has_agent(account.as_ref()));
        let stranded = |id: MessageId| {
            let entry = self.entries.get(&id)?;
            let is_free = !self.busy.contains_key(&entry.uri);
            is_free.then(|| Stranded {
                uri: entry.uri.clone(),
                account: entry.account.clone(),
            })
        };
        lost.filter_map(stranded).take(limit).collect()
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
            let Some(entry) = self.entries.get(&id) else {
                continue;
            };
            self.lanes.remove(&entry.lane());
            match entry.phase {
                Phase::Scheduled | Phase::Queued | Phase::Ready(_) | Phase::Waiting => {
                    self.forget(id);
                }
                // Its end is on its way to the log.
                Phase::Loading(_) | Phase::Starting(_) | Phase::Sending(_) | Phase::Ending(_) => {}
            }
        }
    }
}
