//! What agents report.

use super::Dispatcher;
use super::attempts::sent_by;
use crate::agent::{AgentIndex, Report};
use crate::pool::Pool;

impl Dispatcher {
    /// Takes in what an agent reports.
    pub(super) fn handle_report(&mut self, report: Report) {
        match report {
            Report::Here(agent) => {
                self.pool
                    .add_agent(agent.index, &agent.identity.account, agent.capacity);
                self.agents.insert(agent.index, agent);
            }
            Report::Up(agent) => self.change(agent, Pool::up),
            Report::Down(agent) => self.change(agent, Pool::down),
            Report::Frames(traced) => self.frames.take(traced, &self.board),
            Report::Ended(agent, ended) => {
                let Some(sent_by) = self.agents.get(&agent).map(sent_by) else {
                    return;
                };
                let now = self.clock.now();
                for (key, outcome) in ended {
                    self.pool.ended(agent, &outcome);
                    self.end_attempt(key, outcome, Some(&sent_by), now);
                }
            }
            Report::Gone(agent) => {
                self.change(agent, Pool::remove_agent);
                self.agents.remove(&agent);
            }
        }
    }

    /// An agent comes or goes: how many slots of its account are kept changes with it.
    fn change(&mut self, agent: AgentIndex, change: impl FnOnce(&mut Pool, AgentIndex)) {
        change(&mut self.pool, agent);
        self.slot_freed(agent);
    }

    /// There may be a slot with an agent of the account of this one.
    pub(super) fn slot_freed(&mut self, agent: AgentIndex) {
        if let Some(agent) = self.agents.get(&agent) {
            self.board.slot_freed(&agent.identity.account);
        }
    }
}
