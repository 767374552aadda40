//! The agents as the outside sees and operates them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::roll::{Roll, status_at};
use crate::agent::{AgentCommand, AgentHandle, AgentIndex, StatusCell};
use crate::message::{AgentError, AgentList, AgentOrder, AgentStatus, Agents};

/// Every agent of this process, and what other replicas show of theirs. Agents come and go.
#[derive(Debug, Default)]
pub struct Directory {
    agents: RwLock<Vec<Entry>>,
    /// The accounts, in the order of the configuration.
    accounts: RwLock<Vec<Arc<str>>>,
    elsewhere: Mutex<Elsewhere>,
    /// As they are listed; `None` when that has changed.
    roll: Mutex<Option<Roll>>,
    replica: Option<Arc<str>>,
}

/// The agents of other replicas.
#[derive(Debug, Default)]
struct Elsewhere {
    agents: Vec<Arc<AgentStatus>>,
    /// Orders for them that were not passed on yet.
    orders: Vec<(Arc<str>, AgentOrder)>,
}

/// Orders for agents elsewhere that may wait to be passed on; more are not taken.
const MAX_ORDERS: usize = 1_000;

type Entry = (AgentHandle, Arc<StatusCell>);

impl Directory {
    /// Without agents. `replica` is the name of this one, where there are others.
    pub fn new(replica: Option<Arc<str>>) -> Self {
        Self {
            replica,
            ..Self::default()
        }
    }

    /// Lists agents in the order of these accounts, and those of one account by number.
    pub fn arrange(&self, accounts: Vec<Arc<str>>) {
        *self
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner) = accounts;
        self.forget_roll();
    }

    pub fn add(&self, handle: AgentHandle, shown: Arc<StatusCell>) {
        self.change(|agents| agents.push((handle, shown)));
    }

    /// Takes an agent out that has ended.
    pub fn remove(&self, index: AgentIndex) {
        self.change(|agents| agents.retain(|(handle, _)| handle.index != index));
    }

    /// Makes every agent unregister and end, without waiting for its open requests.
    pub fn leave(&self) {
        self.read(|agents| {
            for (handle, _) in agents {
                handle.tell(AgentCommand::Leave);
            }
        });
    }

    /// Shows the agents of other replicas.
    pub fn show_elsewhere(&self, agents: Vec<AgentStatus>) {
        self.elsewhere().agents = agents.into_iter().map(Arc::new).collect();
        self.forget_roll();
    }

    /// Takes the orders for agents of other replicas, to be passed on.
    pub fn outgoing(&self) -> Vec<(Arc<str>, AgentOrder)> {
        std::mem::take(&mut self.elsewhere().orders)
    }

    /// Follows an order of a client of another replica. The agent may have ended meanwhile.
    pub fn obey(&self, id: &str, order: AgentOrder) {
        let _ = self.tell_here(id, order);
    }

    fn tell(&self, id: &str, order: AgentOrder) -> Result<(), AgentError> {
        match self.tell_here(id, order) {
            Err(AgentError::NotFound) => self.tell_elsewhere(id, order),
            told => told,
        }
    }

    fn tell_elsewhere(&self, id: &str, order: AgentOrder) -> Result<(), AgentError> {
        let mut elsewhere = self.elsewhere();
        let agent = elsewhere.agents.iter().find(|agent| *agent.id == *id);
        let id = agent.ok_or(AgentError::NotFound)?.id.clone();
        if elsewhere.orders.len() >= MAX_ORDERS {
            return Err(AgentError::Overloaded);
        }
        elsewhere.orders.push((id, order));
        Ok(())
    }

    fn status(&self, (_, shown): &Entry) -> AgentStatus {
        status_at(shown, self.replica.clone())
    }

    /// The agents as they are listed now.
    fn roll(&self) -> Roll {
        let mut roll = self.roll.lock().unwrap_or_else(PoisonError::into_inner);
        let made = roll.get_or_insert_with(|| {
            let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
            let elsewhere = self.elsewhere();
            self.read(|agents| {
                let here = agents.iter().map(|(_, shown)| shown);
                Roll::new(here, &elsewhere.agents, &accounts)
            })
        });
        made.clone()
    }

    /// What the roll was made of has changed. None of its locks is held here: a roll is made while
    /// its own is.
    fn forget_roll(&self) {
        *self.roll.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn elsewhere(&self) -> MutexGuard<'_, Elsewhere> {
        self.elsewhere
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_here(&self, id: &str, order: AgentOrder) -> Result<(), AgentError> {
        let command = match order {
            AgentOrder::Drain => AgentCommand::Drain,
            AgentOrder::Resume => AgentCommand::Resume,
            AgentOrder::Reregister => AgentCommand::Reregister,
        };
        let is_told = self.read(|agents| {
            let (handle, _) = find(agents, id)?;
            Some(handle.tell(command))
        });
        match is_told {
            Some(true) => Ok(()),
            Some(false) => Err(AgentError::Stopped),
            None => Err(AgentError::NotFound),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&[Entry]) -> T) -> T {
        look(&self.agents.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Entry>)) {
        change(&mut self.agents.write().unwrap_or_else(PoisonError::into_inner));
        self.forget_roll();
    }
}

fn find<'a>(agents: &'a [Entry], id: &str) -> Option<&'a Entry> {
    agents.iter().find(|(handle, _)| *handle.identity.id == *id)
}

impl Agents for Directory {
    fn list(&self) -> AgentList {
        self.roll().here(self.replica.clone())
    }

    fn list_all(&self) -> AgentList {
        self.roll().all(self.replica.clone())
    }

    fn get(&self, id: &str) -> Option<AgentStatus> {
        let here = self.read(|agents| find(agents, id).map(|agent| self.status(agent)));
        here.or_else(|| {
            let elsewhere = self.elsewhere();
            let found = elsewhere.agents.iter().find(|a| *a.id == *id);
            found.map(|agent| AgentStatus::clone(agent))
        })
    }

    fn drain(&self, id: &str) -> Result<(), AgentError> {
        self.tell(id, AgentOrder::Drain)
    }

    fn resume(&self, id: &str) -> Result<(), AgentError> {
        self.tell(id, AgentOrder::Resume)
    }

    fn reregister(&self, id: &str) -> Result<(), AgentError> {
        self.tell(id, AgentOrder::Reregister)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::AgentState;

    fn elsewhere() -> AgentStatus {
        AgentStatus {
            id: "alice-2".into(),
            replica: Some("east-2".into()),
            ..AgentStatus::sample(AgentState::Registered)
        }
    }

    #[test]
    fn orders_for_an_agent_elsewhere_are_refused_while_too_many_wait_to_be_passed_on() {
        let directory = Directory::new(Some("east-1".into()));
        directory.show_elsewhere(vec![elsewhere()]);
        for _ in 0..MAX_ORDERS {
            assert_eq!(directory.drain("alice-2"), Ok(()));
        }
        for refused in [
            directory.drain("alice-2"),
            directory.resume("alice-2"),
            directory.reregister("alice-2"),
        ] {
            assert_eq!(refused, Err(AgentError::Overloaded));
        }
        assert_eq!(directory.drain("alice-3"), Err(AgentError::NotFound));

        assert_eq!(directory.outgoing().len(), MAX_ORDERS);
        assert_eq!(directory.resume("alice-2"), Ok(()));
        let order = ("alice-2".into(), AgentOrder::Resume);
        assert_eq!(directory.outgoing(), [order]);
    }
}
