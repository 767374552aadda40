//! What agents report.

use super::Dispatcher;
use super::attempts::sent_by;
use crate::agent::Report;

impl Dispatcher {
    /// Takes in what an agent reports.
    pub(super) fn handle_report(&mut self, report: Report) {
        match report {
            Report::Here(agent) => {
                self.pool
                    .add_agent(agent.index, &agent.identity.account, agent.capacity);
                self.agents.insert(agent.index, agent);
            }
            Report::Up(agent) => {
                self.pool.up(agent);
                self.slot_freed(agent);
            }
            Report::Down(agent) => self.pool.down(agent),
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
                self.pool.remove_agent(agent);
                self.agents.remove(&agent);
            }
        }
    }
}
