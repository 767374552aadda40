//! The agents at work: begun, ended and replaced as the accounts of the configuration say.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agents;
use crate::agent;
use crate::agent::{AgentIndex, Command, Dialing, Handle, Pace, Report};
use crate::clock::Clock;
use crate::config::{Account, Config};
use crate::pool::Directory;
use crate::store::Seat;

/// Every agent, and what new ones are made with.
pub(super) struct Crew {
    common: Common,
    directory: Arc<Directory>,
    members: Vec<Member>,
    /// Told to end, and perhaps not ended yet.
    leaving: Vec<Member>,
    /// What this replica is to run of what the configuration wants; `None` for all.
    granted: Option<HashSet<Seat>>,
    tasks: JoinSet<()>,
    next: u32,
}

/// What all agents share.
pub(super) struct Common {
    /// The number of the store's log, part of what an agent calls itself.
    pub(super) epoch: u64,
    pub(super) dialing: Arc<Dialing>,
    pub(super) tls: watch::Sender<Arc<ClientConfig>>,
    pub(super) pace: Arc<Pace>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
    pub(super) observer: Arc<dyn agent::Observer>,
    pub(super) clock: Clock,
}

/// One agent that was not told to end.
struct Member {
    account: Account,
    number: u32,
    handle: Handle,
    /// Canceled when it is no member any more: then it leaves the directory when it ends.
    retired: CancellationToken,
    /// Canceled when it has ended.
    ended: CancellationToken,
}

/// What following a configuration led to: the names of agents.
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) started: Vec<Arc<str>>,
    pub(super) ended: Vec<Arc<str>>,
    /// Ended, and started again with what their account says now.
    pub(super) replaced: Vec<Arc<str>>,
}

impl Crew {
    /// Nobody yet. `replica` is what this one is called, where there are others.
    pub(super) fn new(common: Common, replica: Option<Arc<str>>) -> Self {
        Self {
            common,
            directory: Arc::new(Directory::new(replica)),
            members: Vec::new(),
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

    /// What the next connections trust and show.
    pub(super) fn trust(&self, tls: Arc<ClientConfig>) {
        self.common.tls.send_replace(tls);
    }

    /// Brings the agents in line with the accounts. Those whose account is as it was are left
    /// alone. The others finish what they have in flight, unregister and end; what takes the place
    /// of one, under its name, begins when it has ended: the registrar knows both as one.
    pub(super) fn follow(&mut self, config: &Config) -> Moves {
        while self.tasks.try_join_next().is_some() {}
        let mut moves = Moves::default();
        self.leaving.retain(|left| !left.ended.is_cancelled());
        let accounts = config.accounts.iter();
        let accounts = accounts.map(|account| account.uri.as_str().into());
        self.directory.arrange(accounts.collect());
        let leaving = self.dismiss(config);
        for account in &config.accounts {
            for number in 1..=account.connections {
                if self.has(account, number) || !self.is_granted(account, number) {
                    continue;
                }
                let id = self.start(config, account, number);
                match leaving.contains(&id) {
                    true => moves.replaced.push(id),
                    false => moves.started.push(id),
                }
            }
        }
        let ended = leaving.into_iter();
        moves.ended = ended.filter(|id| !moves.replaced.contains(id)).collect();
        moves
    }

    /// Unregisters and ends every agent, within this time.
    pub(super) async fn leave(mut self, grace: Duration) {
        self.directory.stop();
        let leaving = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, leaving).await.is_err() {
            tracing::warn!("some agents did not unregister in time");
            self.tasks.shutdown().await;
        }
    }

    /// The places that agents have, also those that are still about to end.
    pub(super) fn held(&self) -> Vec<Seat> {
        let leaving = self
            .leaving
            .iter()
            .filter(|left| !left.ended.is_cancelled());
        let all = self.members.iter().chain(leaving);
        let mut held: Vec<Seat> = all.map(|one| seat(&one.account, one.number)).collect();
        held.sort_unstable();
        held.dedup();
        held
    }

    /// Takes note of the places that this replica is to fill.
    pub(super) fn grant(&mut self, granted: impl IntoIterator<Item = Seat>) {
        self.granted = Some(granted.into_iter().collect());
    }

    fn is_granted(&self, account: &Account, number: u32) -> bool {
        let granted = self.granted.as_ref();
        granted.is_none_or(|granted| granted.contains(&seat(account, number)))
    }

    /// Tells those to end that the configuration or the other replicas have no place for; their
    /// names.
    fn dismiss(&mut self, config: &Config) -> Vec<Arc<str>> {
        let members = std::mem::take(&mut self.members);
        let (stay, leave) = members.into_iter().partition(|member: &Member| {
            self.is_granted(&member.account, member.number)
                && config.accounts.iter().any(|account| {
                    account.is_same_for_agents(&member.account)
                        && member.number <= account.connections
                })
        });
        self.members = stay;
        let leave: Vec<Member> = leave;
        for member in &leave {
            member.retired.cancel();
            member.handle.tell(Command::Stop);
        }
        let names = leave.iter().map(|left| left.handle.identity.id.clone());
        let names = names.collect();
        self.leaving.extend(leave);
        names
    }

    fn has(&self, account: &Account, number: u32) -> bool {
        let is = |member: &Member| member.number == number && member.account.uri == account.uri;
        self.members.iter().any(is)
    }

    /// Starts an agent, after whoever leaves under its name; says its name.
    fn start(&mut self, config: &Config, account: &Account, number: u32) -> Arc<str> {
        let index = AgentIndex(self.next);
        self.next = self.next.wrapping_add(1);
        let (handle, parts) = agents::agent(&self.common, config, account, number, index);
        let id = handle.identity.id.clone();
        let namesakes = self
            .leaving
            .iter()
            .filter(|left| left.handle.identity.id == id);
        let before: Vec<_> = namesakes.map(|left| left.ended.clone()).collect();
        let member = Member {
            account: account.clone(),
            number,
            handle: handle.clone(),
            retired: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        let (retired, ended) = (member.retired.clone(), member.ended.clone());
        let (reports, directory) = (self.common.reports.clone(), self.directory.clone());
        let shown = parts.shown.clone();
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
            // Before anything else that the agent reports. The dispatcher is gone only when the
            // gateway is.
            let _ = reports.send(Report::Here(handle));
            agent::run(parts).await;
            if retired.is_cancelled() {
                directory.remove(index);
            }
            ended.cancel();
        });
        self.members.push(member);
        id
    }
}

fn seat(account: &Account, number: u32) -> Seat {
    Seat {
        account: account.uri.as_str().into(),
        number,
    }
}

/// The places that the configuration has for agents.
pub(super) fn wanted(config: &Config) -> Vec<Seat> {
    let seats = |account: &Account| -> Vec<Seat> {
        (1..=account.connections)
            .map(|number| seat(account, number))
            .collect()
    };
    config.accounts.iter().flat_map(seats).collect()
}
