//! How attempts begin and end: their requests are built and recorded, handed to their agents, and
//! their outcomes taken back.
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
//! The last line makes one commit hold the whole life of a message to a quick peer. It costs what
//! `onUnknown: resend` allows: should the process or the store fail in that very commit, the peer
//! has a message that was never acknowledged to its client, and the client, answered with an error,
//! sends it again.

use std::collections::HashMap;
use std::time::Duration;

use rand::RngExt as _;

use super::super::board::{AttemptKey, EndedAttempt, NewAttempt, SentBy, event};
use super::super::observer::FinishedAttempt;
use super::journal::{After, RecordBatch};
use super::{Dispatcher, log};
use crate::agent::{AgentCommand, AgentHandle, AgentIndex, BodyForm, Job};
use crate::clock;
use crate::message::{Event, Outcome, Status, Timestamp, What};
use crate::store::{Record, Recorded};

impl Dispatcher {
    /// Builds the requests of attempts that may begin, and records them. Requests that need not
    /// wait for their record are handed over now.
    pub(super) fn begin(&mut self, starts: Vec<NewAttempt>, now: Timestamp) {
        let begun = clock::now();
        let mut jobs: HashMap<AgentIndex, Vec<Job>> = HashMap::new();
        for start in starts {
            let (index, key) = (start.agent, start.key);
            let Some(agent) = self.agents.get(&index) else {
                // It ended while the content was read.
                self.board.unstarted(key, now);
                continue;
            };
            let message = &start.message;
            let wants_receipts = !message.contents.receipts.is_empty();
            let uri = &message.contents.uri;
            let is_bare = wants_receipts && self.bare_targets.contains(uri, begun);
            let form = if is_bare {
                BodyForm::Bare
            } else {
                BodyForm::Asked
            };
            let (request, mut job) = agent.prepare(key, message, start.attempt, now, form);
            job.alone = start.alone;
            let what = What::Sending { request };
            let record = Record {
                event: event(
                    &start.message,
                    start.attempt,
                    Some(&sent_by(agent)),
                    what,
                    now,
                ),
                status: Status::Sending,
                not_before: None,
            };
            if start.may_precede_record && self.journal.send_early(key, uri) {
                self.observer.begun(&record.event, start.since, begun);
                self.board.sending(key, clock::now());
                jobs.entry(index).or_default().push(job);
                self.journal.push(record, After::Begun(key));
            } else {
                let after = After::Transmit {
                    agent: index,
                    job,
                    since: start.since,
                    begun,
                };
                self.journal.push(record, after);
            }
        }
        for (index, jobs) in jobs {
            self.transmit(index, jobs, now);
        }
    }

    /// Does what follows from durable records.
    pub(super) fn follow_up(&mut self, batch: RecordBatch, answers: Vec<Recorded>) {
        let RecordBatch { records, after } = batch;
        let now = self.clock.now();
        let given = clock::now();
        let mut jobs: HashMap<AgentIndex, Vec<Job>> = HashMap::new();
        for ((record, after), answer) in records.iter().zip(after).zip(answers) {
            if let Recorded::Appended(_) = answer {
                let took = record.event.time.since(record.event.message_id.made_at());
                log::write(&record.event, took, &self.settings.targets);
                if record.status.is_final() {
                    self.observer.finished(&record.event, took);
                }
            }
            if let After::Begun(key) = after {
                self.journal.settle_early(key, answer);
            }
            match (after, answer) {
                (After::Nothing, _) => {}
                (
                    After::Transmit {
                        agent,
                        job,
                        since,
                        begun,
                    },
                    Recorded::Appended(_),
                ) => {
                    self.observer.begun(&record.event, since, begun);
                    if self.board.lapsed(job.key, now) {
                        self.observe_unwritten(&record.event);
                    } else {
                        self.board.sending(job.key, given);
                        jobs.entry(agent).or_default().push(job);
                    }
                }
                (After::Begun(_), Recorded::Appended(_)) => {}
                // A record that the store rejects is its message's last.
                (After::Transmit { job, .. }, Recorded::Ended | Recorded::Rejected) => {
                    self.board.superseded(job.key, now);
                }
                (After::Begun(key), Recorded::Ended | Recorded::Rejected) => {
                    self.board.superseded(key, now);
                }
                (After::Canceled(reply), answer) => {
                    drop(reply.send(super::intake::canceled(answer)));
                }
            }
        }
        for (index, jobs) in jobs {
            self.transmit(index, jobs, now);
        }
    }

    /// Ends attempts whose messages were not taken in.
    pub(super) fn supersede(&mut self, keys: Vec<AttemptKey>) {
        let now = self.clock.now();
        for key in keys {
            self.board.superseded(key, now);
        }
    }

    /// Hands jobs to their agent. One that has ended meanwhile takes none, and its last report is
    /// behind us or knows nothing of these. None are handed over by a replica that was not heard of
    /// for too long: another one may have begun with them.
    fn transmit(&mut self, index: AgentIndex, jobs: Vec<Job>, now: Timestamp) {
        let keys: Vec<_> = jobs.iter().map(|job| job.key).collect();
        let agent = self.agents.get(&index);
        let is_held = self.store.is_held();
        if is_held && agent.is_some_and(|agent| agent.tell(AgentCommand::Send(jobs))) {
            return;
        }
        let sent_by = agent.map(sent_by);
        for key in keys {
            self.end_attempt(key, Outcome::NotWritten, sent_by.as_ref(), now);
        }
    }

    /// Ends an attempt: as its agent reports, or because its agent is gone.
    pub(super) fn end_attempt(
        &mut self,
        key: AttemptKey,
        outcome: Outcome,
        sent_by: Option<&SentBy>,
        now: Timestamp,
    ) {
        let (code, jitter) = (outcome.code(), self.rng.random());
        if let Outcome::Answered(answer) = &outcome
            && answer.is_bare
            && let Some(uri) = self.board.target_of(key)
        {
            self.bare_targets.insert(uri, clock::now());
        }
        if let Some(ended) = self.board.ended(key, outcome, sent_by, now, jitter) {
            self.frames.ended(ended.message);
            let took = self.observe_attempt(&ended, sent_by, code);
            self.journal.attempt_ended(key, took);
        } else {
            self.journal.attempt_ended(key, None);
        }
    }

    /// Counts an attempt whose time was over before an agent was given it.
    fn observe_unwritten(&self, sending: &Event) {
        self.observer.attempted(&FinishedAttempt {
            message: sending.message_id,
            trace: sending.trace,
            attempt: sending.attempt,
            agent: None,
            code: Outcome::NotWritten.code(),
            given: None,
            ended: clock::now(),
        });
    }

    /// Counts an attempt that ended, and returns how long it took.
    pub(super) fn observe_attempt(
        &self,
        ended: &EndedAttempt,
        sent_by: Option<&SentBy>,
        code: Result<u16, &'static str>,
    ) -> Option<Duration> {
        let attempted = FinishedAttempt {
            message: ended.message,
            trace: ended.trace,
            attempt: ended.attempt,
            agent: sent_by.map(|sent_by| &*sent_by.agent),
            code,
            given: ended.given,
            ended: clock::now(),
        };
        self.observer.attempted(&attempted);
        attempted.took()
    }
}

pub(super) fn sent_by(agent: &AgentHandle) -> SentBy {
    SentBy {
        agent: agent.identity.id.clone(),
        account: agent.identity.account.clone(),
    }
}
