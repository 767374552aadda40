//! Which message is where: the lanes, and who waits for what.
//!
//! A lane holds the messages to one target in the order of their acceptance, and only its head is
//! ever in flight (RFC 3428 §8). The board is a plain value: time, slots and contents come from
//! outside, and what is to be done goes out through [`Board::take_work`] and [`Board::pump`].
//!
//! | phase     | where                           | leaves when                              |
//! |-----------|---------------------------------|------------------------------------------|
//! | Scheduled | in no lane                      | `sendAt` comes: to the end of its lane   |
//! | Queued    | in its lane, behind the head    | it becomes the head                      |
//! | Ready     | head, waits for a slot          | the pool has one, or its time is over    |
//! | Loading   | head, has a slot                | its content was read from the store      |
//! | Starting  | head, has a slot                | `sending` is durable                     |
//! | Sending   | head, has a slot                | the attempt has an outcome               |
//! | Waiting   | head, deferred                  | the next attempt is due                  |
//! | Ending    | in no lane                      | its content was read, so its end is told |

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

use super::ready::Ready;
use crate::agent::AgentIndex;
use crate::message::Cause;
use crate::message::Event;
use crate::message::Message;
use crate::message::MessageId;
use crate::message::OnUnknown;
use crate::message::Originator;
use crate::message::Outcome;
use crate::message::Status;
use crate::message::Timestamp;
use crate::message::What;
use crate::message::retry;
use crate::message::retry::Backoff;
use crate::message::retry::Situation;
use crate::pool::Busy;
use crate::pool::Pool;
use crate::store::Claimed;
use crate::store::Record;

/// Names one attempt between the dispatcher and an agent.
pub(super) type AttemptKey = u64;

/// Every message that has not ended.
#[derive(Debug)]
pub(super) struct Board {
    entries: HashMap<MessageId, Entry>,
    lanes: HashMap<Arc<str>, VecDeque<MessageId>>,
    ready: Ready,
    timers: BTreeSet<(Timestamp, MessageId)>,
    attempts: HashMap<AttemptKey, MessageId>,
    next_key: AttemptKey,
    /// Heads that became ready and have no timer yet: most are taken at once and never need one.
    untimed: Vec<MessageId>,
    work: Work,
    held_bytes: usize,
    max_held_bytes: usize,
    backoff: Backoff,
}

/// What the driver has to do for the board.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// To be made durable, in this order.
    pub(super) records: Vec<Record>,
    /// To be read from the store and handed to [`Board::loaded`].
    pub(super) loads: Vec<MessageId>,
    /// Slots to give back.
    pub(super) released: Vec<AgentIndex>,
}

/// An attempt that may begin: to be recorded, and then handed to its agent.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) key: AttemptKey,
    pub(super) agent: AgentIndex,
    pub(super) attempt: u32,
    pub(super) message: Arc<Message>,
}

#[derive(Debug)]
struct Entry {
    uri: Arc<str>,
    account: Option<Arc<str>>,
    phase: Phase,
    attempt: u32,
    attempts: u32,
    on_unknown: OnUnknown,
    not_before: Option<Timestamp>,
    expires_at: Timestamp,
    timer: Option<Timestamp>,
    avoid: Option<AgentIndex>,
    content: Option<Arc<Message>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Scheduled,
    Queued,
    Ready(u64),
    Loading(AgentIndex),
    Starting(AgentIndex),
    Sending(AgentIndex),
    Waiting,
    Ending(End),
}

/// An end that no attempt brought about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Canceled,
    Expired,
    NobodyRegistered,
    Died,
}

/// What [`Board::cancel`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cancel {
    /// Its end will be recorded.
    Canceled,
    /// It is being sent.
    TooLate,
    /// It is not here: ended, or never was.
    Unknown,
}

impl Board {
    /// An empty board that keeps at most about `max_held_bytes` of waiting messages in memory, and
    /// only their names beyond.
    pub(super) fn new(backoff: Backoff, max_held_bytes: usize) -> Self {
        Self {
            entries: HashMap::new(),
            lanes: HashMap::new(),
            ready: Ready::default(),
            timers: BTreeSet::new(),
            attempts: HashMap::new(),
            next_key: 0,
            untimed: Vec::new(),
            work: Work::default(),
            held_bytes: 0,
            max_held_bytes,
            backoff,
        }
    }

    /// How many messages have not ended.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many attempts are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.attempts.len()
    }

    /// Takes in a message that was just accepted.
    pub(super) fn accept(&mut self, message: Arc<Message>, now: Timestamp) {
        let claimed = Claimed {
            id: message.id,
            uri: message.uri.clone(),
            account: message.account.clone(),
            status: match message.send_at {
                Some(time) if time > now => Status::Scheduled,
                _ => Status::Queued,
            },
            attempt: 0,
            attempts: message.attempts,
            on_unknown: message.on_unknown,
            not_before: message.send_at,
            expires_at: message.expires_at,
        };
        self.insert(claimed, Some(message), now);
    }

    /// Takes over a message of before a restart, or of a replica that is gone.
    pub(super) fn claim(&mut self, claimed: Claimed, now: Timestamp) {
        self.insert(claimed, None, now);
    }

    fn insert(&mut self, claimed: Claimed, content: Option<Arc<Message>>, now: Timestamp) {
        let Claimed {
            id,
            uri,
            account,
            status,
            attempt,
            ..
        } = claimed;
        let content = content.filter(|message| self.hold(message));
        let entry = Entry {
            uri,
            account,
            phase: Phase::Queued,
            attempt,
            attempts: claimed.attempts,
            on_unknown: claimed.on_unknown,
            not_before: claimed.not_before,
            expires_at: claimed.expires_at,
            timer: None,
            avoid: None,
            content,
        };
        self.entries.insert(id, entry);
        match status {
            Status::Scheduled if claimed.not_before.is_some_and(|time| time > now) => {
                self.set_phase(id, Phase::Scheduled);
                self.set_timer(id, claimed.not_before);
            }
            // An attempt was under way when the process that made it ended.
            Status::Sending => {
                self.enqueue(id, now);
                self.end(id, End::Died, now, 0.0);
            }
            Status::Scheduled | Status::Queued => self.enqueue(id, now),
            Status::Succeeded | Status::Failed => self.forget(id),
        }
    }

    /// Counts a content as held, unless that would be too much.
    fn hold(&mut self, message: &Message) -> bool {
        let size = size_of_content(message);
        if self.held_bytes + size > self.max_held_bytes {
            return false;
        }
        self.held_bytes += size;
        true
    }

    /// Puts a message at the end of its lane.
    fn enqueue(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let lane = self.lanes.entry(entry.uri.clone()).or_default();
        lane.push_back(id);
        if lane.len() == 1 {
            self.become_head(id, now);
        } else {
            entry.phase = Phase::Queued;
            let expires_at = entry.expires_at;
            self.set_timer(id, Some(expires_at));
        }
    }

    fn become_head(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        match entry.not_before {
            Some(time) if time > now => {
                entry.phase = Phase::Waiting;
                let until = time.min(entry.expires_at);
                self.set_timer(id, Some(until));
            }
            _ => {
                let place = self.ready.push(entry.account.clone(), id);
                entry.phase = Phase::Ready(place);
                self.untimed.push(id);
            }
        }
    }

    /// Starts whatever can start now.
    pub(super) fn pump(&mut self, pool: &mut Pool, now: Timestamp) -> Vec<Start> {
        let mut starts = Vec::new();
        while let Some((group, id)) = self.ready.first() {
            let avoid = self.entries.get(&id).and_then(|entry| entry.avoid);
            match pool.take(group.as_ref(), avoid, now) {
                Ok(slot) => {
                    self.ready.pop(&group);
                    self.give_slot(id, slot.agent, &mut starts);
                }
                Err(Busy::Limited(until)) => self.ready.close(group, Some(until)),
                Err(Busy::Full | Busy::NoAgent) => self.ready.close(group, None),
            }
        }
        for id in std::mem::take(&mut self.untimed) {
            if let Some(entry) = self.entries.get(&id)
                && let (Phase::Ready(_), None) = (entry.phase, entry.timer)
            {
                self.set_timer(id, Some(entry.expires_at));
            }
        }
        starts
    }

    fn give_slot(&mut self, id: MessageId, agent: AgentIndex, starts: &mut Vec<Start>) {
        self.set_timer(id, None);
        let Some(entry) = self.entries.get_mut(&id) else {
            self.work.released.push(agent);
            return;
        };
        match entry.content.clone() {
            Some(message) => self.start(id, agent, message, starts),
            None => {
                entry.phase = Phase::Loading(agent);
                self.work.loads.push(id);
            }
        }
    }

    fn start(
        &mut self,
        id: MessageId,
        agent: AgentIndex,
        message: Arc<Message>,
        starts: &mut Vec<Start>,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.phase = Phase::Starting(agent);
        entry.attempt += 1;
        entry.not_before = None;
        self.next_key += 1;
        self.attempts.insert(self.next_key, id);
        starts.push(Start {
            key: self.next_key,
            agent,
            attempt: entry.attempt,
            message,
        });
    }

    /// Takes contents that were asked for; `None` for a message that is gone from the store.
    pub(super) fn loaded(
        &mut self,
        id: MessageId,
        message: Option<Arc<Message>>,
        now: Timestamp,
        jitter: f64,
    ) -> Vec<Start> {
        let mut starts = Vec::new();
        let Some(entry) = self.entries.get_mut(&id) else {
            return starts;
        };
        let phase = entry.phase;
        let Some(message) = message else {
            if let Phase::Loading(agent) = phase {
                self.work.released.push(agent);
            }
            self.leave_lane(id, now);
            self.forget(id);
            return starts;
        };
        if entry.content.is_none() {
            self.held_bytes += size_of_content(&message);
            entry.content = Some(message.clone());
        }
        match phase {
            Phase::Loading(agent) => self.start(id, agent, message, &mut starts),
            Phase::Ending(end) => self.tell_end(id, end, now, jitter),
            Phase::Scheduled
            | Phase::Queued
            | Phase::Ready(_)
            | Phase::Starting(_)
            | Phase::Sending(_)
            | Phase::Waiting => {}
        }
        starts
    }

    /// `sending` is durable: the request is on its way.
    pub(super) fn sending(&mut self, key: AttemptKey) {
        if let Some(entry) = self
            .attempts
            .get(&key)
            .and_then(|id| self.entries.get_mut(id))
            && let Phase::Starting(agent) = entry.phase
        {
            entry.phase = Phase::Sending(agent);
        }
    }

    /// The store knows the message as ended: somebody else saw to it.
    pub(super) fn superseded(&mut self, key: AttemptKey, now: Timestamp) {
        let Some(id) = self.attempts.remove(&key) else {
            return;
        };
        if let Some(entry) = self.entries.get(&id)
            && let Phase::Starting(agent) | Phase::Sending(agent) = entry.phase
        {
            self.work.released.push(agent);
        }
        self.leave_lane(id, now);
        self.forget(id);
    }

    /// An attempt ended. `agent_name` and `account` are told in the event.
    pub(super) fn ended(
        &mut self,
        key: AttemptKey,
        outcome: Outcome,
        teller: &Teller,
        now: Timestamp,
        jitter: f64,
    ) {
        let Some(id) = self.attempts.remove(&key) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let (Phase::Starting(agent) | Phase::Sending(agent)) = entry.phase else {
            return;
        };
        self.work.released.push(agent);
        entry.avoid = Some(agent);
        self.conclude(id, outcome, Some(teller), now, jitter);
    }

    /// Records what follows from an outcome, and moves the message on.
    fn conclude(
        &mut self,
        id: MessageId,
        outcome: Outcome,
        teller: Option<&Teller>,
        now: Timestamp,
        jitter: f64,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Some(message) = entry.content.clone() else {
            return;
        };
        let situation = Situation {
            attempt: entry.attempt,
            attempts: entry.attempts,
            on_unknown: entry.on_unknown,
            expires_at: entry.expires_at,
            now,
            jitter,
        };
        let what = retry::decide(outcome, situation, self.backoff);
        let deferred_to = match &what {
            What::Deferred {
                next_attempt_at, ..
            } => Some(*next_attempt_at),
            What::Sending { .. } | What::Succeeded { .. } | What::Failed { .. } => None,
        };
        let event = event(&message, entry.attempt, teller, what, now);
        self.work.records.push(record(event, deferred_to));
        match deferred_to {
            Some(time) => {
                entry.not_before = Some(time);
                entry.phase = Phase::Queued;
                let (uri, expires_at) = (entry.uri.clone(), entry.expires_at);
                let is_head = self
                    .lanes
                    .get(&uri)
                    .is_some_and(|lane| lane.front() == Some(&id));
                if is_head {
                    self.become_head(id, now);
                } else {
                    self.set_timer(id, Some(expires_at));
                }
            }
            None => {
                self.leave_lane(id, now);
                self.forget(id);
            }
        }
    }

    /// Cancels a message that is not being sent.
    pub(super) fn cancel(&mut self, id: MessageId, now: Timestamp) -> Cancel {
        let Some(entry) = self.entries.get(&id) else {
            return Cancel::Unknown;
        };
        match entry.phase {
            Phase::Scheduled | Phase::Queued | Phase::Ready(_) | Phase::Waiting => {
                self.end(id, End::Canceled, now, 0.0);
                Cancel::Canceled
            }
            Phase::Loading(_) | Phase::Starting(_) | Phase::Sending(_) => Cancel::TooLate,
            Phase::Ending(_) => Cancel::TooLate,
        }
    }

    /// The earliest time at which [`Board::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let first = self.timers.first().map(|(time, _)| *time);
        match (first, self.ready.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Lets time pass until `now`.
    pub(super) fn handle_timeout(&mut self, pool: &Pool, now: Timestamp, jitter: f64) {
        self.ready.open_due(now);
        while let Some(&(time, id)) = self.timers.first() {
            if time > now {
                break;
            }
            self.set_timer(id, None);
            let Some(entry) = self.entries.get(&id) else {
                continue;
            };
            if entry.expires_at <= now {
                let end = if pool.is_up(entry.account.as_ref()) {
                    End::Expired
                } else {
                    End::NobodyRegistered
                };
                self.end(id, end, now, jitter);
                continue;
            }
            match entry.phase {
                Phase::Scheduled => self.enqueue(id, now),
                Phase::Waiting => self.become_head(id, now),
                Phase::Queued
                | Phase::Ready(_)
                | Phase::Loading(_)
                | Phase::Starting(_)
                | Phase::Sending(_)
                | Phase::Ending(_) => {}
            }
        }
    }

    /// The pool may have a slot for this account again.
    pub(super) fn slot_freed(&mut self, account: &Arc<str>) {
        self.ready.open(&Some(account.clone()));
        self.ready.open(&None);
    }

    /// What there is to do since the last time.
    pub(super) fn take_work(&mut self) -> Work {
        std::mem::take(&mut self.work)
    }

    /// Ends a message that has no attempt under way; its content is read first when only its name
    /// is here. A message found in flight after a restart keeps its place in the lane until it is
    /// decided whether it is sent again.
    fn end(&mut self, id: MessageId, end: End, now: Timestamp, jitter: f64) {
        self.set_timer(id, None);
        self.leave_ready(id);
        match end {
            End::Canceled | End::Expired | End::NobodyRegistered => self.leave_lane(id, now),
            End::Died => {}
        }
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.phase = Phase::Ending(end);
        if entry.content.is_some() {
            self.tell_end(id, end, now, jitter);
        } else {
            self.work.loads.push(id);
        }
    }

    fn tell_end(&mut self, id: MessageId, end: End, now: Timestamp, jitter: f64) {
        let (originator, cause) = match end {
            End::Canceled => (Originator::Local, Cause::Canceled),
            End::Expired => (Originator::System, Cause::Expires),
            End::NobodyRegistered => (Originator::System, Cause::ConnectionError),
            End::Died => {
                let outcome = Outcome::Unknown(crate::message::Unknown::Died);
                return self.conclude(id, outcome, None, now, jitter);
            }
        };
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let Some(message) = entry.content.clone() else {
            return;
        };
        let what = What::Failed {
            originator,
            cause,
            response: None,
            ambiguous: false,
        };
        let event = event(&message, entry.attempt, None, what, now);
        self.work.records.push(record(event, None));
        self.forget(id);
    }

    /// Takes a message out of its lane; the next becomes the head if it was.
    fn leave_lane(&mut self, id: MessageId, now: Timestamp) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let uri = entry.uri.clone();
        let Some(lane) = self.lanes.get_mut(&uri) else {
            return;
        };
        let Some(at) = lane.iter().position(|other| *other == id) else {
            return;
        };
        lane.remove(at);
        let next = lane.front().copied();
        match next {
            None => drop(self.lanes.remove(&uri)),
            Some(next) if at == 0 => {
                self.set_timer(next, None);
                self.become_head(next, now);
            }
            Some(_) => {}
        }
    }

    fn leave_ready(&mut self, id: MessageId) {
        if let Some(entry) = self.entries.get(&id)
            && let Phase::Ready(place) = entry.phase
        {
            self.ready.remove(&entry.account, place);
        }
    }

    /// Forgets a message that has ended.
    fn forget(&mut self, id: MessageId) {
        self.set_timer(id, None);
        if let Some(content) = self.entries.remove(&id).and_then(|entry| entry.content) {
            self.held_bytes = self.held_bytes.saturating_sub(size_of_content(&content));
        }
    }

    fn set_phase(&mut self, id: MessageId, phase: Phase) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.phase = phase;
        }
    }

    /// A message has at most one timer.
    fn set_timer(&mut self, id: MessageId, time: Option<Timestamp>) {
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

/// Who made an attempt, as its events say.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    /// The agent's id.
    pub(super) agent: Arc<str>,
    /// Its address of record.
    pub(super) account: Arc<str>,
}

/// An event of this message.
pub(super) fn event(
    message: &Message,
    attempt: u32,
    teller: Option<&Teller>,
    what: What,
    now: Timestamp,
) -> Event {
    Event {
        message_id: message.id,
        time: now,
        attempt,
        agent: teller.map(|teller| teller.agent.clone()),
        uri: message.uri.clone(),
        account: teller
            .map(|teller| teller.account.clone())
            .or_else(|| message.account.clone()),
        metadata: message.metadata.clone(),
        what,
    }
}

fn record(event: Event, not_before: Option<Timestamp>) -> Record {
    let status = match event.what {
        What::Sending { .. } => Status::Sending,
        What::Deferred { .. } => Status::Queued,
        What::Succeeded { .. } => Status::Succeeded,
        What::Failed { .. } => Status::Failed,
    };
    Record {
        event,
        status,
        not_before,
    }
}

/// What a message in memory weighs, in bytes: near enough for a budget.
fn size_of_content(message: &Message) -> usize {
    let headers: usize = message
        .extra_headers
        .iter()
        .map(|h| h.name.len() + h.value.len())
        .sum();
    let metadata: usize = message
        .metadata
        .iter()
        .map(|(k, v)| k.len() + v.len())
        .sum();
    size_of::<Message>() + message.body.len() + message.target.len() + headers + metadata
}
