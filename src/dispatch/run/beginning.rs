//! How attempts begin: their requests are built and recorded, and handed to their agents.
//!
//! | message                                     | its request is handed over           |
//! |---------------------------------------------|--------------------------------------|
//! | `onUnknown: fail`                           | when its `sending` is durable        |
//! | its request has a key that may be known     | when it is taken in                  |
//! | another replica may be sending to its target | when it is taken in                 |
//! | the end of one before it is not durable yet | when its `sending` is durable        |
//! | any, when the last commit failed            | when its `sending` is durable        |
//! | any other                                   | at once, while it is made durable    |
//!
//! The last is what makes a commit hold the whole life of a message to a quick peer. It costs what
//! `onUnknown: resend` allows: should the process or the store fail in that very commit, the peer
//! has a message that nobody was told was taken in, and the client, told of an error, sends it
//! again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::board::{Start, event};
use super::recording::After;
use super::{Dispatcher, teller};
use crate::agent::{AgentIndex, Job};
use crate::clock;
use crate::message::{Status, Timestamp, What};
use crate::store::Record;

/// Targets to which a message has ended that the store still knows as open. Should the process end
/// now, that message would be sent again, and must not come after a later one.
#[derive(Default)]
pub(super) struct Unsettled {
    gathered: HashSet<Arc<str>>,
    committing: HashSet<Arc<str>>,
}

impl Unsettled {
    /// The end of a message to this target will be in the next commit.
    pub(super) fn insert(&mut self, uri: Arc<str>) {
        self.gathered.insert(uri);
    }

    /// What has gathered is being made durable.
    pub(super) fn commit(&mut self) {
        self.committing.extend(self.gathered.drain());
    }

    /// What was being made durable is.
    pub(super) fn committed(&mut self) {
        self.committing.clear();
    }

    fn contains(&self, uri: &str) -> bool {
        self.gathered.contains(uri) || self.committing.contains(uri)
    }
}

impl Dispatcher {
    /// Whether requests may be written before their records are durable.
    pub(super) fn may_begin_early(&self) -> bool {
        self.is_well && self.is_alone && !self.draining
    }

    /// Builds the requests of attempts that may begin, and records them. Those that need not wait
    /// for their record are handed over now.
    pub(super) fn begin(&mut self, starts: Vec<Start>, now: Timestamp) {
        let early = self.may_begin_early();
        let mut jobs: HashMap<AgentIndex, Vec<Job>> = HashMap::new();
        for start in starts {
            let (index, key) = (start.agent, start.key);
            let Some(agent) = self.agents.get(&index) else {
                // It ended while the content was read.
                self.board.unstarted(key, now);
                continue;
            };
            let (request, mut job) = agent.prepare(key, &start.message, start.attempt, now);
            job.alone = start.alone;
            let what = What::Sending { request };
            let teller = teller(agent);
            let record = Record {
                event: event(&start.message, start.attempt, Some(&teller), what, now),
                status: Status::Sending,
                not_before: None,
            };
            let uri = &start.message.contents.uri;
            if early && start.may_precede_record && !self.unsettled.contains(uri) {
                let given = clock::now();
                self.observer.begun(&record.event, start.since, given);
                self.board.sending(key, given);
                self.lingering.begun(key);
                jobs.entry(index).or_default().push(job);
                self.gathered.push((record, After::Begun(key)));
            } else {
                let after = After::Transmit {
                    agent: index,
                    job,
                    since: start.since,
                };
                self.gathered.push((record, after));
            }
        }
        for (index, jobs) in jobs {
            self.transmit(index, jobs, now);
        }
    }
}
