//! Which agent takes the next message.
//!
//! A [`Pool`] is a plain value, owned by the dispatcher: which agents are registered, which have
//! room, which was used longest ago. It owns no task and no lock.

mod account;
mod candidates;
mod directory;
mod load;
mod probation;
mod roll;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::agent::AgentIndex;
use crate::message::{Outcome, Priority};
use account::AccountLoad;
use candidates::{Candidate, Candidates};
pub use directory::Directory;
use load::AgentLoad;
use probation::Probation;

/// Permission to send one message through one agent. Give it back with [`Pool::release`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Slot {
    /// Whose.
    pub agent: AgentIndex,
    /// Whether the message may use the slots that are kept.
    is_urgent: bool,
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
    /// Agents with room, of every account.
    free: Candidates,
    /// The share of each account's slots and rate that is kept for urgent messages.
    reserved: f64,
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

/// How many rate-limited agents a search among all accounts steps over before it gives up. It
/// bounds the cost of one choice; the search goes on when the first of them may send again.
const MAX_STEPS: usize = 64;

/// How many messages that begin together go through one agent before the next one is chosen. Many
/// share a write; a server, though, often does what comes over one connection one by one.
const BATCH: usize = 8;

impl Pool {
    /// Without accounts. `reserved` is the share of slots and rates that is kept.
    pub fn new(reserved: f64) -> Self {
        Self {
            reserved,
            ..Self::default()
        }
    }

    /// Makes an account known, or changes it: how many messages a second it may send, `None` for
    /// any number. An account is never forgotten: without agents it costs nothing.
    pub fn add_account(&mut self, uri: &Arc<str>, rate: Option<f64>) {
        match self.by_uri.get(uri) {
            Some(&known) => self.accounts[known].set_rate(rate, self.reserved),
            None => {
                self.by_uri.insert(uri.clone(), self.accounts.len());
                let mut account = AccountLoad::default();
                account.set_rate(rate, self.reserved);
                self.accounts.push(account);
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
            ordinary: 0,
            kept: 0,
            used: 0,
            up: false,
            probation: Probation::default(),
        };
        if self.agents.insert(agent, load).is_none() {
            self.accounts[account].agents.push(agent);
        }
    }

    /// Forgets an agent that has ended.
    pub fn remove_agent(&mut self, agent: AgentIndex) {
        self.down(agent);
        if let Some(load) = self.agents.remove(&agent) {
            self.accounts[load.account]
                .agents
                .retain(|one| *one != agent);
        }
    }

    /// Whether there is an agent that may send for this account, registered or not.
    pub fn has_agent(&self, account: Option<&Arc<str>>) -> bool {
        match account {
            Some(uri) => self
                .by_uri
                .get(uri)
                .is_some_and(|&at| !self.accounts[at].agents.is_empty()),
            None => !self.agents.is_empty(),
        }
    }

    /// The agent is registered.
    pub fn up(&mut self, agent: AgentIndex) {
        self.change(agent, |load| load.up = true);
    }

    /// The agent takes no more messages. The others of its account may have more slots than before
    /// for messages that are not urgent.
    pub fn down(&mut self, agent: AgentIndex) {
        self.change(agent, |load| load.up = false);
    }

    /// Slots taken from here on begin together, and apart from those taken before. Without a
    /// turn each message goes through the idlest agent.
    pub fn begin_turn(&mut self) {
        self.batch = None;
    }

    /// Chooses the idlest registered agent of `account`, or of any when `None`; another than
    /// `avoid` when there is one. In one turn it is chosen [`BATCH`] times in a row. A message of
    /// an urgent class takes a kept slot when no other is left.
    pub fn take(
        &mut self,
        account: Option<&Arc<str>>,
        class: Priority,
        avoid: Option<AgentIndex>,
        now: Instant,
    ) -> Result<Slot, Busy> {
        let is_urgent = class.is_urgent();
        let agent = match (self.same_again(account, is_urgent, avoid, now), account) {
            (Some(agent), _) => agent,
            (None, Some(uri)) => {
                let account = self.by_uri.get(uri).ok_or(Busy::NoAgent)?;
                self.choose_of(&self.accounts[*account], is_urgent, avoid, now)?
            }
            (None, None) => self.choose_any(is_urgent, avoid, now)?,
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
            rate.count(is_urgent, now);
        }
        self.change(agent, |load| {
            load.in_flight += 1;
            load.ordinary += u32::from(!is_urgent);
            load.used = clock;
        });
        Ok(Slot { agent, is_urgent })
    }

    /// Gives a slot back.
    pub fn release(&mut self, slot: Slot) {
        let Slot { agent, is_urgent } = slot;
        self.change(agent, |load| {
            load.in_flight = load.in_flight.saturating_sub(1);
            load.ordinary = load.ordinary.saturating_sub(u32::from(!is_urgent));
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

    /// Why there is no slot for a message of this class and this account, or any when `None`;
    /// `None` when there is one.
    pub fn busy(&self, account: Option<&Arc<str>>, class: Priority, now: Instant) -> Option<Busy> {
        let is_urgent = class.is_urgent();
        let choice = match account {
            Some(uri) => match self.by_uri.get(uri) {
                Some(&account) => self.choose_of(&self.accounts[account], is_urgent, None, now),
                None => Err(Busy::NoAgent),
            },
            None => self.choose_any(is_urgent, None, now),
        };
        choice.err()
    }

    /// The agent that was chosen last in this turn, when it may take one more.
    fn same_again(
        &self,
        account: Option<&Arc<str>>,
        is_urgent: bool,
        avoid: Option<AgentIndex>,
        now: Instant,
    ) -> Option<AgentIndex> {
        let agent = self.batch.filter(|batch| batch.room > 0)?.agent;
        let load = self.agents.get(&agent)?;
        let is_asked_for = match account {
            Some(uri) => self.by_uri.get(uri) == Some(&load.account),
            None => true,
        };
        let account = &self.accounts[load.account];
        let is_free =
            load.room().takes(is_urgent) && account.limited_until(is_urgent, now).is_none();
        (is_asked_for && is_free && avoid != Some(agent)).then_some(agent)
    }

    fn choose_of(
        &self,
        account: &AccountLoad,
        is_urgent: bool,
        avoid: Option<AgentIndex>,
        now: Instant,
    ) -> Result<AgentIndex, Busy> {
        if account.up == 0 {
            return Err(Busy::NoAgent);
        }
        if let Some(until) = account.limited_until(is_urgent, now) {
            return Err(Busy::Limited(until));
        }
        first_but(account.free.iter(is_urgent), avoid).ok_or(Busy::Full)
    }

    fn choose_any(
        &self,
        is_urgent: bool,
        avoid: Option<AgentIndex>,
        now: Instant,
    ) -> Result<AgentIndex, Busy> {
        let mut limited: Option<Instant> = None;
        let free = self.free.iter(is_urgent).take(MAX_STEPS);
        let ready = free.filter(|candidate| {
            let until = self
                .agents
                .get(&candidate.agent)
                .and_then(|load| self.accounts[load.account].limited_until(is_urgent, now));
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
        let at = load.account;
        let account = &mut self.accounts[at];
        let (room, before) = (load.room(), load.candidate(agent));
        account.free.remove(room, before);
        self.free.remove(room, before);
        let was_up = load.up;
        change(load);
        match (was_up, load.up) {
            (false, true) => account.up += 1,
            (true, false) => account.up -= 1,
            (true, true) | (false, false) => {}
        }
        let (room, after) = (load.room(), load.candidate(agent));
        account.free.insert(room, after);
        self.free.insert(room, after);
        if load.up != was_up {
            self.keep_share(at);
        }
    }

    /// Spreads the slots that an account keeps over its agents that are registered: as many as are
    /// the share of all their slots, rounded down. So the slots of other messages change only when
    /// an agent comes or goes.
    fn keep_share(&mut self, at: usize) {
        let account = &mut self.accounts[at];
        let (mut slots, mut kept) = (0, 0);
        for agent in &account.agents {
            let Some(load) = self.agents.get_mut(agent) else {
                continue;
            };
            slots += if load.up { load.capacity } else { 0 };
            let up_to_here = account::share(f64::from(slots), self.reserved) as u32;
            let (room, candidate) = (load.room(), load.candidate(*agent));
            load.kept = up_to_here - kept;
            kept = up_to_here;
            if load.room() != room {
                for free in [&mut account.free, &mut self.free] {
                    free.remove(room, candidate);
                    free.insert(load.room(), candidate);
                }
            }
        }
    }
}

impl Slot {
    /// What a message of this class has with this agent.
    pub fn of(agent: AgentIndex, class: Priority) -> Self {
        let is_urgent = class.is_urgent();
        Self { agent, is_urgent }
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
        let mut pool = Pool::new(0.1);
        pool.add_account(&alice(), None);
        pool.add_account(&carol(), None);
        for (index, account) in [(0, alice()), (1, alice()), (2, carol())] {
            pool.add_agent(AgentIndex(index), &account, 2);
            pool.up(AgentIndex(index));
        }
        pool
    }

    fn take(pool: &mut Pool, account: Option<&Arc<str>>) -> Result<u32, Busy> {
        pool.take(account, Priority::Normal, None, clock::now())
            .map(|slot| slot.agent.0)
    }

    /// Gives back what a message without a priority had.
    fn release(pool: &mut Pool, agent: u32) {
        pool.release(Slot::of(AgentIndex(agent), Priority::Normal));
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
        release(&mut pool, 1);
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
            .take(None, Priority::Normal, Some(AgentIndex(3)), clock::now())
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
            pool.take(Some(&alice()), Priority::Normal, avoid, clock::now())
                .unwrap()
                .agent
                .0,
            1
        );
        pool.down(AgentIndex(1));
        assert_eq!(
            pool.take(Some(&alice()), Priority::Normal, avoid, clock::now())
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
            let slot = pool.take(account.as_ref(), Priority::Normal, None, now);
            slot.map(|slot| slot.agent.0)
        };
        assert_eq!(take(Some(alice())), Ok(0));
        assert_eq!(take(Some(alice())), Err(Busy::Limited(second)));
        assert_eq!(take(None), Ok(2));
        assert!(
            pool.take(Some(&alice()), Priority::Normal, None, second)
                .is_ok()
        );
    }

    #[test]
    fn a_slot_given_back_after_its_agent_ended_changes_nothing() {
        let mut pool = pool();
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        pool.remove_agent(AgentIndex(2));
        release(&mut pool, 2);
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
            release(&mut pool, 2);
        }
        pool.up(AgentIndex(2));
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        assert_eq!(take(&mut pool, Some(&carol())), Err(Busy::Full));
        pool.ended(AgentIndex(2), &Outcome::NotWritten);
        release(&mut pool, 2);
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
        assert_eq!(take(&mut pool, Some(&carol())), Err(Busy::Full));
        pool.ended(AgentIndex(2), &Outcome::Unknown(Unknown::Silent));
        release(&mut pool, 2);
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
        release(&mut pool, 2);
        pool.isolate(AgentIndex(2));
        assert_eq!(take(&mut pool, Some(&carol())), Err(Busy::Full));
        release(&mut pool, 2);
        assert_eq!(take(&mut pool, Some(&carol())), Ok(2));
    }

    /// How many messages of this class may begin now; they have ended afterwards.
    fn room(pool: &mut Pool, account: Option<&Arc<str>>, class: Priority) -> usize {
        let now = clock::now();
        let slots: Vec<_> =
            std::iter::from_fn(|| pool.take(account, class, None, now).ok()).collect();
        let room = slots.len();
        slots.into_iter().for_each(|slot| pool.release(slot));
        room
    }

    #[test]
    fn a_share_of_all_slots_of_an_account_is_kept_rounded_down() {
        for (reserved, capacities, kept) in [
            (0.1, &[1_u32][..], 0),
            (0.1, &[9], 0),
            (0.1, &[10], 1),
            (0.1, &[5, 5], 1),
            (0.1, &[3, 3, 3, 3], 1),
            (0.1, &[64, 64], 12),
            (0.29, &[100], 29),
            (0.9, &[1, 1], 1),
            (0.0, &[64], 0),
        ] {
            let mut pool = Pool::new(reserved);
            for (index, capacity) in (0..).zip(capacities) {
                pool.add_agent(AgentIndex(index), &alice(), *capacity);
                pool.up(AgentIndex(index));
            }
            let all = capacities.iter().sum::<u32>() as usize;
            for account in [None, Some(&alice())] {
                let urgent = room(&mut pool, account, Priority::Urgent);
                let normal = room(&mut pool, account, Priority::Normal);
                assert_eq!((urgent, normal), (all, all - kept), "{capacities:?}");
            }
        }
    }

    #[test]
    fn what_is_kept_is_left_when_ordinary_messages_have_taken_the_rest() {
        let mut pool = Pool::new(0.1);
        let now = clock::now();
        for index in 0..2 {
            pool.add_agent(AgentIndex(index), &alice(), 10);
            pool.up(AgentIndex(index));
        }
        let mut ordinary = Vec::new();
        while let Ok(slot) = pool.take(None, Priority::NonUrgent, None, now) {
            ordinary.push(slot);
        }
        assert_eq!(ordinary.len(), 18);
        assert_eq!(pool.busy(None, Priority::Normal, now), Some(Busy::Full));
        assert_eq!(pool.busy(None, Priority::Emergency, now), None);
        let urgent = pool.take(None, Priority::Emergency, None, now).unwrap();
        // What an urgent message gives back is not for others.
        pool.release(urgent);
        assert_eq!(pool.busy(None, Priority::Normal, now), Some(Busy::Full));
        pool.release(ordinary.pop().unwrap());
        assert_eq!(pool.busy(None, Priority::Normal, now), None);
    }

    #[test]
    fn the_share_follows_the_agents_that_are_there() {
        let mut pool = Pool::new(0.1);
        for index in 0..2 {
            pool.add_agent(AgentIndex(index), &alice(), 5);
            pool.up(AgentIndex(index));
        }
        assert_eq!(room(&mut pool, None, Priority::Normal), 9);
        pool.down(AgentIndex(0));
        assert_eq!(room(&mut pool, None, Priority::Normal), 5);
        pool.up(AgentIndex(0));
        assert_eq!(room(&mut pool, None, Priority::Normal), 9);
        pool.remove_agent(AgentIndex(1));
        assert_eq!(room(&mut pool, None, Priority::Normal), 5);
    }

    #[test]
    fn a_share_of_the_rate_is_kept_however_much_of_the_rest_is_used() {
        let (mut pool, start) = (pool(), clock::now());
        pool.add_agent(AgentIndex(3), &carol(), 10_000);
        pool.up(AgentIndex(3));
        pool.add_account(&carol(), Some(20.0));
        let mut sent = [0, 0];
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            let mut take = |class| pool.take(Some(&carol()), class, None, now).is_ok();
            while take(Priority::Normal) {
                sent[0] += 1;
            }
            // The first finds its own part unused.
            assert!(millis > 0 || take(Priority::Emergency));
            while millis % 500 == 0 && take(Priority::Emergency) {
                sent[1] += 1;
            }
        }
        let [ordinary, urgent] = sent;
        assert!((178..=182).contains(&ordinary), "{ordinary}");
        assert!((18..=21).contains(&urgent), "{urgent}");
        // Below ten a second nothing is kept.
        pool.add_account(&alice(), Some(9.0));
        assert!(
            pool.take(Some(&alice()), Priority::Normal, None, start)
                .is_ok()
        );
        let busy = |class| pool.busy(Some(&alice()), class, start);
        assert_eq!(busy(Priority::Urgent), busy(Priority::Normal));
        assert!(matches!(busy(Priority::Urgent), Some(Busy::Limited(_))));
    }
}
