//! The agents as the outside sees and operates them.

use std::sync::Arc;

use crate::agent::Command;
use crate::agent::Handle;
use crate::agent::Shown;
use crate::message::AgentError;
use crate::message::AgentStatus;
use crate::message::Agents;

/// Every agent of this process.
#[derive(Debug, Default)]
pub struct Directory {
    agents: Vec<(Handle, Arc<Shown>)>,
}

impl Directory {
    /// These agents, in the order of the configuration.
    pub fn new(agents: Vec<(Handle, Arc<Shown>)>) -> Self {
        Self { agents }
    }

    /// The dispatcher's ends of all agents.
    pub fn handles(&self) -> Vec<Handle> {
        self.agents
            .iter()
            .map(|(handle, _)| handle.clone())
            .collect()
    }

    /// Tells every agent to unregister and end.
    pub fn stop(&self) {
        for (handle, _) in &self.agents {
            handle.tell(Command::Stop);
        }
    }

    fn tell(&self, id: &str, command: Command) -> Result<(), AgentError> {
        let (handle, _) = self
            .agents
            .iter()
            .find(|(handle, _)| *handle.identity.id == *id)
            .ok_or(AgentError::NotFound)?;
        if handle.tell(command) {
            Ok(())
        } else {
            Err(AgentError::Stopped)
        }
    }
}

impl Agents for Directory {
    fn list(&self) -> Vec<AgentStatus> {
        self.agents
            .iter()
            .map(|(_, shown)| shown.status())
            .collect()
    }

    fn get(&self, id: &str) -> Option<AgentStatus> {
        let (_, shown) = self
            .agents
            .iter()
            .find(|(handle, _)| *handle.identity.id == *id)?;
        Some(shown.status())
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
