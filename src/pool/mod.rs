//! Which agent takes the next message.
//!
//! A [`Pool`] is a plain value, owned by the dispatcher: which agents are registered, which have
//! room, which was used longest ago. It owns no task and no lock.

mod directory;
mod probation;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::agent::AgentIndex;
use crate::clock::Rate;
use crate::message::Outcome;
pub use directory::Directory;
use probation::Probation;

/// Permission to send one message through one agent. Give it back with [`Pool::release`].
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub struct Slot {
    /// Whose.
    pub agent: AgentIndex,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Busy {
    /// No agent that may send it is registered.
    NoAgent,
    /// Every such agent has as many open transactions as it may.
    Full,
    /// The account has sent as much as its rate allows, until then.
    Limited(Instant),
}

/// The agents that can be chosen, and how busy they are.
#[derive(Debug, Default)]
pub struct Pool {
    agents: HashMap<AgentIndex, AgentLoad>,
    accounts: Vec<AccountLoad>,
    by_uri: HashMap<Arc<str>, usize>,
    /// Seats with room, of every account, the idlest first.
    free: BTreeSet<Candidate>,
    /// Counts choices, so that among equals the one used longest ago comes first.
    clock: u64,
    /// What was chosen last in this turn.
    batch: Option<Batch>,
}

/// Messages that begin together and go through one agent, so that their requests share a write.
#[derive(Clone, Copy, Debug)]
struct Batch {
    agent: AgentIndex,
    /// How many more it takes.
    room: usize,
}

#[derive(Debug)]
struct AgentLoad {
    account: usize,
    capacity: u32,
    in_flight: u32,
    used: u64,
    up: bool,
    probation: Probation,
}

#[derive(Debug)]
struct AccountLoad {
    /// Its agents with room, the idlest first.
    free: BTreeSet<Candidate>,
    /// How many agents it has, and how many of them are registered.
    agents: usize,
    up: usize,
    rate: Option<Rate>,
}

/// An agent as the order of choice sees it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Candidate {
    in_flight: u32,
    used: u64,
    agent: AgentIndex,
}

/// How far the messages sent may run ahead of the clock: a tenth of a second's worth, so that a
/// rate of thousands a second is not held back by timers of a millisecond.
const BURST: Duration = Duration::from_millis(100);

/// How many rate-limited agents a search among all accounts steps over before it gives up. It
/// bounds the cost of one choice; the search goes on when the first of them may send again.
const MAX_STEPS: usize = 64;

/// How many messages that begin together go through one agent before the next one is chosen. Many
/// share a write; a server, though, often does what comes over one connection one by one.
const BATCH: usize = 8;

impl Pool {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an account known, or changes it: how many messages a second it may send, `None` for
    /// any number. An account is never forgotten: without agents it costs nothing.
    pub fn add_account(&mut self, uri: &Arc<str>, rate: Option<f64>) {
        match self.by_uri.get(uri) {
            Some(&known) => match (&mut self.accounts[known].rate, rate) {
                (Some(known), Some(rate)) => known.set(rate),
                (known, rate) => *known = rate.map(new_rate),
            },
            None => {
                self.by_uri.insert(uri.clone(), self.accounts.len());
                self.accounts.push(AccountLoad {
                    free: BTreeSet::new(),
                    agents: 0,
                    up: 0,
                    rate: rate.map(new_rate),
                });
            }
        }
    }

    /// Adds an agent, not registered yet. It may have `capacity` requests open. An account that is
    /// not known yet may send any number of messages.
    pub fn add_agent(&mut self, agent: AgentIndex, account: &Arc<str>, capacity: u32) {
        if !self.by_uri.contains_key(account) {
            self.add_account(account, None);
        }
        let Some(&account) = self.by_uri.get(account) else {
            return;
        };
        let load = AgentLoad {
            account,
            capacity: capacity.max(1),
            in_flight: 0,
            used: 0,
            up: false,
            probation: Probation::default(),
        };
        if self.agents.insert(agent, load).is_none() {
            self.accounts[account].agents += 1;
        }
    }

    /// Forgets an agent that has ended.
    pub fn remove_agent(&mut self, agent: AgentIndex) {
        self.down(agent);
        if let Some(load) = self.agents.remove(&agent) {
            self.accounts[load.account].agents -= 1;
        }
    }

    /// Whether there is an agent that may send for this account, registered or not.
    pub fn has_agent(&self, account: Option<&Arc<str>>) -> bool {
        match account {
            Some(uri) => self
                .by_uri
                .get(uri)
                .is_some_and(|&at| self.accounts[at].agents > 0),
            None => !self.agents.is_empty(),
        }
    }

    /// The agent is registered.
    pub fn up(&mut self, agent: AgentIndex) {
        self.change(agent, |load| load.up = true);
    }

    /// The agent takes no more messages.
    pub fn down(&mut self, agent: AgentIndex) {
        self.change(agent, |load| load.up = false);
    }

    /// Slots taken from here on begin together, and apart from those taken before. Without a
    /// turn each message goes through the idlest agent.
    pub fn begin_turn(&mut self) {
        self.batch = None;
    }

    /// Chooses the idlest registered agent of `account`, or of any when `None`; another than
    /// `avoid` when there is one. In one turn it is chosen [`BATCH`] times in a row.
    pub fn take(
        &mut self,
        account: Option<&Arc<str>>,
        avoid: Option<AgentIndex>,
        now: Instant,
    ) -> Result<Slot, Busy> {
        let agent = match (self.same_again(account, avoid, now), account) {
            (Some(agent), _) => agent,
            (None, Some(uri)) => {
                let account = self.by_uri.get(uri).ok_or(Busy::NoAgent)?;
                self.choose_of(&self.accounts[*account], avoid, now)?
            }
            (None, None) => self.choose_any(avoid, now)?,
        };
        let room = match self.batch {
            Some(Batch { agent: same, room }) if same == agent && room > 0 => room - 1,
            Some(_) | None => BATCH - 1,
        };
        self.batch = Some(Batch { agent, room });
        self.clock += 1;
        let clock = self.clock;
        if let Some(load) = self.agents.get(&agent)
            && let Some(rate) = &mut self.accounts[load.account].rate
        {
            rate.count(1, now);
        }
        self.change(agent, |load| {
            load.in_flight += 1;
            load.used = clock;
        });
        Ok(Slot { agent })
    }

    /// Gives a slot back.
    pub fn release(&mut self, agent: AgentIndex) {
        self.change(agent, |load| {
            load.in_flight = load.in_flight.saturating_sub(1);
            load.probation.released(load.in_flight);
        });
    }

    /// What was taken of this agent last is to be sent alone: it takes no more until all of its
    /// slots are given back.
    pub fn isolate(&mut self, agent: AgentIndex) {
        self.change(agent, |load| load.probation.isolate());
    }

    /// An attempt through this agent ended.
    pub fn ended(&mut self, agent: AgentIndex, outcome: &Outcome) {
        self.change(agent, |load| load.probation.ended(outcome));
    }

    /// Whether an agent that may send for this account is registered.
    pub fn is_up(&self, account: Option<&Arc<str>>) -> bool {
        match account {
            Some(uri) => self
                .by_uri
                .get(uri)
                .is_some_and(|&at| self.accounts[at].up > 0),
            None => self.accounts.iter().any(|account| account.up > 0),
        }
    }

    /// Why there is no slot for this account, or for any when `None`; `None` when there is one.
    pub fn busy(&self, account: Option<&Arc<str>>, now: Instant) -> Option<Busy> {
        let choice = match account {
            Some(uri) => match self.by_uri.get(uri) {
                Some(&account) => self.choose_of(&self.accounts[account], None, now),
                None => Err(Busy::NoAgent),
            },
            None => self.choose_any(None, now),
        };
        choice.err()
    }

    /// The agent that was chosen last in this turn, when it may take one more.
    fn same_again(
        &self,
        account: Option<&Arc<str>>,
        avoid: Option<AgentIndex>,
        now: Instant,
    ) -> Option<AgentIndex> {
        let agent = self.batch.filter(|batch| batch.room > 0)?.agent;
        let load = self.agents.get(&agent)?;
        let is_asked_for = match account {
            Some(uri) => self.by_uri.get(uri) == Some(&load.account),
            None => true,
        };
        let is_free = load.has_room() && self.accounts[load.account].limited_until(now).is_none();
        (is_asked_for && is_free && avoid != Some(agent)).then_some(agent)
    }

    fn choose_of(
        &self,
        account: &AccountLoad,
        avoid: Option<AgentIndex>,
        now: Instant,
    ) -> Result<AgentIndex, Busy> {
        if account.up == 0 {
            return Err(Busy::NoAgent);
        }
        if let Some(until) = account.limited_until(now) {
            return Err(Busy::Limited(until));
        }
        first_but(account.free.iter(), avoid).ok_or(Busy::Full)
    }

    fn choose_any(&self, avoid: Option<AgentIndex>, now: Instant) -> Result<AgentIndex, Busy> {
        let mut limited: Option<Instant> = None;
        let ready = self.free.iter().take(MAX_STEPS).filter(|candidate| {
            let until = self
                .agents
                .get(&candidate.agent)
                .and_then(|load| self.accounts[load.account].limited_until(now));
            if let Some(until) = until {
                limited = Some(limited.map_or(until, |earliest| earliest.min(until)));
            }
            until.is_none()
        });
        if let Some(agent) = first_but(ready, avoid) {
            return Ok(agent);
        }
        match limited {
            Some(until) => Err(Busy::Limited(until)),
            None if self.is_up(None) => Err(Busy::Full),
            None => Err(Busy::NoAgent),
        }
    }

    /// Changes the load of an agent, and its place in the orders of choice.
    fn change(&mut self, agent: AgentIndex, change: impl FnOnce(&mut AgentLoad)) {
        let Some(load) = self.agents.get_mut(&agent) else {
            return;
        };
        let account = &mut self.accounts[load.account];
        let before = load.candidate(agent);
        if load.has_room() {
            account.free.remove(&before);
            self.free.remove(&before);
        }
        let was_up = load.up;
        change(load);
        match (was_up, load.up) {
            (false, true) => account.up += 1,
            (true, false) => account.up -= 1,
            (true, true) | (false, false) => {}
        }
        if load.has_room() {
            let after = load.candidate(agent);
            account.free.insert(after);
            self.free.insert(after);
        }
    }
}

impl AgentLoad {
    fn has_room(&self) -> bool {
        self.up && self.in_flight < self.probation.limit(self.capacity)
    }

    fn candidate(&self, agent: AgentIndex) -> Candidate {
        Candidate {
            in_flight: self.in_flight,
            used: self.used,
            agent,
        }
    }
}

impl AccountLoad {
    fn limited_until(&self, now: Instant) -> Option<Instant> {
        self.rate.as_ref().and_then(|rate| rate.limited_until(now))
    }
}

/// The first place that is not `avoid`, else `avoid` itself if it is there.
fn first_but<'a>(
    mut places: impl Iterator<Item = &'a Candidate>,
    avoid: Option<AgentIndex>,
) -> Option<AgentIndex> {
    let first = places.next()?.agent;
    if Some(first) != avoid {
        return Some(first);
    }
    Some(places.next().map_or(first, |second| second.agent))
}

fn new_rate(per_second: f64) -> Rate {
    Rate::new(per_second, BURST)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::message::Unknown;

    fn alice() -> Arc<str> {
        "sip:alice@example.com".into()
    }

    fn carol() -> Arc<str> {
        "sip:carol@example.com".into()
    }

    /// Two agents of alice and one of carol, registered, with room for two requests each.
    fn pool() -> Pool {
        let mut pool = Pool::new();
        pool.add_account(&alice(), None);
        pool.add_account(&carol(), None);
        for (index, account) in [(0, alice()), (1, alice()), (2, carol())] {
            pool.add_agent(AgentIndex(index), &account, 2);
            pool.up(AgentIndex(index));
        }
        pool
    }

    fn take(pool: &mut Pool, account: Option<&Arc<str>>) -> Result<u32, Busy> {
        pool.take(account, None, clock::now())
            .map(|slot| slot.agent.0)
    }

    #[test]
    fn the_idlest_agent_is_chosen_and_among_equals_the_one_used_longest_ago() {
        let mut pool = pool();
        let mut next = || {
            pool.begin_turn();
            take(&mut pool, None)
        };
        let chosen: Vec<_> = (0..6).map(|_| next().unwrap()).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
        assert_eq!(next(), Err(Busy::Full));
        pool.release(AgentIndex(1));
        assert_eq!(take(&mut pool, None), Ok(1));
    }

    #[test]
    fn what_begins_together_goes_through_one_agent_while_it_has_room() {
        let mut pool = pool();
        for (index, account) in [(3, alice()), (4, carol())] {
            pool.add_agent(AgentIndex(index), &account, 100);
            pool.up(AgentIndex(index));
        }
        pool.begin_turn();
        let chosen: Vec<_> = (0..8 + BATCH)
            .map(|_| take(&mut pool, None).unwrap())
            .collect();
        // Two agents have room for two, and one has room for more than a batch.
        let batched = [[0; 2].as_slice(), &[1; 2], &[2; 2], &[3; BATCH], &[4; 2]].concat();
        assert_eq!(chosen, batched);
        // Others are asked for, or to be avoided.
        assert_eq!(take(&mut pool, Some(&alice())), Ok(3));
        let another = pool
            .take(None, Some(AgentIndex(3)), clock::now())
            .unwrap()
            .agent
            .0;
        assert_eq!(another, 4);
        pool.begin_turn();
        assert_eq!(take(&mut pool, None), Ok(4));
    }

    #[test]
    fn from_picks_the_account() {
        let mut pool = pool();
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        assert_eq!(take(&mut pool, Some(&carol())), Err(Busy::Full));
        assert_eq!(take(&mut pool, Some(&"sip:x@y".into())), Err(Busy::NoAgent));
    }

    #[test]
    fn an_agent_that_is_not_registered_is_not_chosen() {
        let mut pool = pool();
        pool.down(AgentIndex(0));
        pool.down(AgentIndex(1));
        assert_eq!(take(&mut pool, None), Ok(2));
        assert_eq!(take(&mut pool, Some(&alice())), Err(Busy::NoAgent));
        assert!(!pool.is_up(Some(&alice())));
        assert!(pool.is_up(None));
    }

    #[test]
    fn another_agent_is_preferred_after_a_failure_but_not_insisted_on() {
        let mut pool = pool();
        let avoid = Some(AgentIndex(0));
        assert_eq!(
            pool.take(Some(&alice()), avoid, clock::now())
                .unwrap()
                .agent
                .0,
            1
        );
        pool.down(AgentIndex(1));
        assert_eq!(
            pool.take(Some(&alice()), avoid, clock::now())
                .unwrap()
                .agent
                .0,
            0
        );
    }

    #[test]
    fn a_rate_holds_an_account_back_and_not_the_others() {
        let (mut pool, now) = (pool(), clock::now());
        pool.add_account(&alice(), Some(1.0));
        let second = now + Duration::from_secs(1);
        let mut take = |account: Option<Arc<str>>| {
            let slot = pool.take(account.as_ref(), None, now);
            slot.map(|slot| slot.agent.0)
        };
        assert_eq!(take(Some(alice())), Ok(0));
        assert_eq!(take(Some(alice())), Err(Busy::Limited(second)));
        assert_eq!(take(None), Ok(2));
        assert!(pool.take(Some(&alice()), None, second).is_ok());
    }

    #[test]
    fn a_slot_given_back_after_its_agent_ended_changes_nothing() {
        let mut pool = pool();
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        pool.remove_agent(AgentIndex(2));
        pool.release(AgentIndex(2));
        assert_eq!(take(&mut pool, Some(&carol())), Err(Busy::NoAgent));
    }

    #[test]
    fn after_a_loss_an_agent_takes_one_message_at_a_time_until_one_ends_otherwise() {
        let mut pool = pool();
        for _ in 0..2 {
            assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        }
        pool.down(AgentIndex(2));
        for _ in 0..2 {
            pool.ended(AgentIndex(2), &Outcome::Unknown(Unknown::Disconnected));
            pool.release(AgentIndex(2));
        }
        pool.up(AgentIndex(2));
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        assert_eq!(take(&mut pool, Some(&carol())), Err(Busy::Full));
        pool.ended(AgentIndex(2), &Outcome::NotWritten);
        pool.release(AgentIndex(2));
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        assert_eq!(take(&mut pool, Some(&carol())), Err(Busy::Full));
        pool.ended(AgentIndex(2), &Outcome::Unknown(Unknown::Silent));
        pool.release(AgentIndex(2));
        for _ in 0..2 {
            assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        }
    }

    #[test]
    fn an_agent_with_a_message_that_goes_alone_takes_no_other() {
        let mut pool = pool();
        for _ in 0..2 {
            assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        }
        pool.release(AgentIndex(2));
        pool.isolate(AgentIndex(2));
        assert_eq!(take(&mut pool, Some(&carol())), Err(Busy::Full));
        pool.release(AgentIndex(2));
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
    }
}
