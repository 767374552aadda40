//! Lanes that nobody here can send, because other replicas have the agents they need.

use std::collections::HashSet;
use std::sync::Arc;

use super::Board;
use super::Phase;
use crate::message::MessageId;
use crate::pool::Pool;
use crate::store::Stranded;

impl Board {
    /// Lanes whose head is ready, and no agent that may send it is here; at most so many.
    pub(in crate::dispatch) fn stranded(&self, pool: &Pool, limit: usize) -> Vec<Stranded> {
        let lost = self
            .ready
            .lost(|account| !pool.has_agent(account.as_ref()), limit);
        let stranded = |id: MessageId| {
            let entry = self.entries.get(&id)?;
            Some(Stranded {
                uri: entry.uri.clone(),
                account: entry.account.clone(),
            })
        };
        lost.into_iter().filter_map(stranded).collect()
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
            let phase = self.entries.get(&id).map(|entry| entry.phase);
            match phase {
                Some(Phase::Scheduled | Phase::Queued | Phase::Ready(_) | Phase::Waiting) => {
                    self.forget(id);
                }
                // Its end is on its way to the log.
                Some(
                    Phase::Loading(_) | Phase::Starting(_) | Phase::Sending(_) | Phase::Ending(_),
                )
                | None => {}
            }
        }
        for uri in uris {
            self.lanes.remove(uri);
        }
    }
}
