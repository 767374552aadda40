//! Starts, stops and replaces agents as the accounts of the configuration say.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agents::AgentFactory;
use crate::agent;
use crate::agent::{AgentCommand, AgentHandle, AgentIndex, Report};
use crate::config::{Account, Config};
use crate::pool::Directory;
use crate::store::AgentLease;

/// How many agents a log line names.
const SHOWN_AGENTS: usize = 10;

/// Every agent, and what new ones are made with.
pub(super) struct Supervisor {
    factory: AgentFactory,
    directory: Arc<Directory>,
    running: Vec<Supervised>,
    /// Stopped, and perhaps not ended yet.
    leaving: Vec<Supervised>,
    /// The agents of the configuration that this replica runs; `None` for all.
    granted: Option<HashSet<AgentLease>>,
    tasks: JoinSet<()>,
    next: u32,
}

/// An agent with the task that runs it.
struct Supervised {
    /// As it was when the agent was started; its agents share it.
    account: Arc<Account>,
    number: u32,
    handle: AgentHandle,
    /// Canceled when it is stopped: then it leaves the directory when it ends.
    retired: CancellationToken,
    /// Canceled when it has ended.
    ended: CancellationToken,
}

/// What following a configuration led to: the names of agents.
#[derive(Debug, Default)]
pub(super) struct AgentChanges {
    pub(super) started: Vec<Arc<str>>,
    pub(super) ended: Vec<Arc<str>>,
    /// Ended, and started again with what their account says now.
    pub(super) replaced: Vec<Arc<str>>,
}

impl Supervisor {
    /// Without agents yet. `replica` is the name of this one, where there are others.
    pub(super) fn new(factory: AgentFactory, replica: Option<Arc<str>>) -> Self {
        Self {
            factory,
            directory: Arc::new(Directory::new(replica)),
            running: Vec::new(),
            leaving: Vec::new(),
            granted: None,
            tasks: JoinSet::new(),
            next: 0,
        }
    }

    /// The agents as the outside sees them.
    pub(super) fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    /// Sets what the next connections trust and show.
    pub(super) fn trust(&self, tls: Arc<ClientConfig>) {
        self.factory.trust(tls);
    }

    /// Brings the agents in line with the accounts. Agents of an unchanged account stay. The others
    /// finish what they have in flight, unregister and end. The successor of one, under the same
    /// name, starts when it has ended: the registrar knows both as one.
    pub(super) fn follow(&mut self, config: &Config) -> AgentChanges {
        while self.tasks.try_join_next().is_some() {}
        let mut changes = AgentChanges::default();
        self.leaving.retain(|left| !left.ended.is_cancelled());
        let accounts = config.accounts.iter();
        let accounts = accounts.map(|account| account.uri.as_str().into());
        self.directory.arrange(accounts.collect());
        let leaving = self.stop_unwanted(config);
        let running = self.running.iter();
        let mut running: HashSet<AgentLease> = running
            .map(|one| agent_lease(&one.account, one.number))
            .collect();
        for account in &config.accounts {
            let mut shared = None;
            for number in 1..=account.connections {
                if !self.is_granted(account, number)
                    || !running.insert(agent_lease(account, number))
                {
                    continue;
                }
                let account = shared.get_or_insert_with(|| Arc::new(account.clone()));
                let id = self.start(config, account, number);
                if leaving.contains(&id) {
                    changes.replaced.push(id);
                } else {
                    changes.started.push(id);
                }
            }
        }
        let ended = leaving.into_iter();
        changes.ended = ended.filter(|id| !changes.replaced.contains(id)).collect();
        changes
    }

    /// Unregisters and ends every agent, within this time. A request that is still open then has
    /// had its grace: its outcome is unknown.
    pub(super) async fn leave(mut self, grace: Duration) {
        self.directory.leave();
        let leaving = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, leaving).await.is_err() {
            let agents = self.not_ended();
            tracing::warn!(
                agents,
                "agents did not unregister in time; the server sends to them until their \
                 registrations expire"
            );
            self.tasks.shutdown().await;
        }
    }

    /// The names of the agents that have not ended, for a log line: the first few.
    fn not_ended(&self) -> String {
        let all = self.running.iter().chain(&self.leaving);
        let mut ids = all
            .filter(|agent| !agent.ended.is_cancelled())
            .map(|agent| &*agent.handle.identity.id);
        let shown: Vec<&str> = ids.by_ref().take(SHOWN_AGENTS).collect();
        match ids.count() {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }

    /// The agents that run here, those that are about to end among them.
    pub(super) fn held(&self) -> Vec<AgentLease> {
        let leaving = self
            .leaving
            .iter()
            .filter(|left| !left.ended.is_cancelled());
        let all = self.running.iter().chain(leaving);
        let mut held: Vec<AgentLease> = all
            .map(|one| agent_lease(&one.account, one.number))
            .collect();
        held.sort_unstable();
        held.dedup();
        held
    }

    /// Sets which agents this replica runs.
    pub(super) fn grant(&mut self, granted: impl IntoIterator<Item = AgentLease>) {
        self.granted = Some(granted.into_iter().collect());
    }

    fn is_granted(&self, account: &Account, number: u32) -> bool {
        let granted = self.granted.as_ref();
        granted.is_none_or(|granted| granted.contains(&agent_lease(account, number)))
    }

    /// Stops agents that the configuration has no more, or that another replica runs; their names.
    fn stop_unwanted(&mut self, config: &Config) -> Vec<Arc<str>> {
        let running = std::mem::take(&mut self.running);
        let (stay, leave) = running.into_iter().partition(|agent: &Supervised| {
            self.is_granted(&agent.account, agent.number)
                && config.accounts.iter().any(|account| {
                    account.is_same_for_agents(&agent.account)
                        && agent.number <= account.connections
                })
        });
        self.running = stay;
        let leave: Vec<Supervised> = leave;
        for agent in &leave {
            agent.retired.cancel();
            agent.handle.tell(AgentCommand::Stop);
        }
        let names = leave.iter().map(|left| left.handle.identity.id.clone());
        let names = names.collect();
        self.leaving.extend(leave);
        names
    }

    /// Starts an agent, after its predecessors of the same name have ended; returns the name.
    fn start(&mut self, config: &Config, account: &Arc<Account>, number: u32) -> Arc<str> {
        let index = AgentIndex(self.next);
        self.next = self.next.wrapping_add(1);
        let (handle, parts) = self.factory.agent(config, account, number, index);
        let id = handle.identity.id.clone();
        let namesakes = self
            .leaving
            .iter()
            .filter(|left| left.handle.identity.id == id);
        let before: Vec<_> = namesakes.map(|left| left.ended.clone()).collect();
        let agent = Supervised {
            account: account.clone(),
            number,
            handle: handle.clone(),
            retired: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        let (retired, ended) = (agent.retired.clone(), agent.ended.clone());
        let (reports, directory) = (self.factory.reports(), self.directory.clone());
        let shown = parts.shown.clone();
        let running = agent::run(parts);
        if before.is_empty() {
            directory.add(handle.clone(), shown.clone());
        }
        self.tasks.spawn(async move {
            if !before.is_empty() {
                for other in before {
                    other.cancelled().await;
                }
                directory.add(handle.clone(), shown);
            }
            // Before anything else that the agent reports. The dispatcher ends with the gateway.
            let _ = reports.send(Report::Here(handle));
            running.await;
            if retired.is_cancelled() {
                directory.remove(index);
            }
            ended.cancel();
        });
        self.running.push(agent);
        id
    }
}

fn agent_lease(account: &Account, number: u32) -> AgentLease {
    AgentLease {
        account: account.uri.as_str().into(),
        number,
    }
}

/// Every agent of the configuration.
pub(super) fn wanted(config: &Config) -> Vec<AgentLease> {
    let leases = |account: &Account| -> Vec<AgentLease> {
        (1..=account.connections)
            .map(|number| agent_lease(account, number))
            .collect()
    };
    config.accounts.iter().flat_map(leases).collect()
}
