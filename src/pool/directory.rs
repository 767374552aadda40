//! The agents as the outside sees and operates them.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use crate::agent::AgentIndex;
use crate::agent::Command;
use crate::agent::Handle;
use crate::agent::Shown;
use crate::message::AgentError;
use crate::message::AgentStatus;
use crate::message::Agents;

/// Every agent of this process. Agents come and go; who asks sees those there are.
#[derive(Debug, Default)]
pub struct Directory {
    agents: RwLock<Vec<Entry>>,
}

type Entry = (Handle, Arc<Shown>);

impl Directory {
    /// Adds an agent after the others.
    pub fn add(&self, handle: Handle, shown: Arc<Shown>) {
        self.change(|agents| agents.push((handle, shown)));
    }

    /// Takes an agent out that has ended.
    pub fn remove(&self, index: AgentIndex) {
        self.change(|agents| agents.retain(|(handle, _)| handle.index != index));
    }

    /// Tells every agent to unregister and end.
    pub fn stop(&self) {
        self.read(|agents| {
            for (handle, _) in agents {
                handle.tell(Command::Stop);
            }
        });
    }

    fn tell(&self, id: &str, command: Command) -> Result<(), AgentError> {
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
    }
}

fn find<'a>(agents: &'a [Entry], id: &str) -> Option<&'a Entry> {
    agents.iter().find(|(handle, _)| *handle.identity.id == *id)
}

impl Agents for Directory {
    fn list(&self) -> Vec<AgentStatus> {
        self.read(|agents| agents.iter().map(|(_, shown)| shown.status()).collect())
    }

    fn get(&self, id: &str) -> Option<AgentStatus> {
        self.read(|agents| find(agents, id).map(|(_, shown)| shown.status()))
    }

    fn drain(&self, id: &str) -> Result<(), AgentError> {
        self.tell(id, Command::Drain)
    }

    fn resume(&self, id: &str) -> Result<(), AgentError> {
        self.tell(id, Command::Resume)
    }

    fn reregister(&self, id: &str) -> Result<(), AgentError> {
        self.tell(id, Command::Reregister)
    }
}
