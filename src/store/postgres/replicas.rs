//! The verbs of [`ReplicaStore`] on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Postgres, Urgency, Weight, agent_leases, agents, claim, lease};
use crate::message::{AgentOrder, AgentStatus, ByMessage, MessageId};
use crate::store::engine::Engine as _;
use crate::store::{AgentLease, Holder, ReplicaStore, Reply, SharedAgents, Stranded};

/// How often the replicas agree on their agents at least.
const AGREEING: Duration = Duration::from_secs(2);

impl ReplicaStore for Postgres {
    fn agreeing(&self) -> Option<Duration> {
        Some(AGREEING.min(self.lease.length() / 3))
    }

    fn claimable(&self) -> watch::Receiver<u64> {
        self.claimable.clone()
    }

    fn leads(&self) -> watch::Receiver<bool> {
        self.leads.clone()
    }

    fn is_held(&self) -> bool {
        self.lease.is_valid()
    }

    fn is_alone(&self) -> bool {
        self.lease.is_alone()
    }

    fn send_early(&self) -> bool {
        self.lease.send_early()
    }

    fn settled(&self) {
        self.lease.settled();
    }

    fn commits_are_dear(&self) -> bool {
        true
    }

    fn holders(&self, ids: Vec<MessageId>) -> Reply<ByMessage<Holder>> {
        let me = self.lease.number();
        self.read(move |session| lease::holders(session, me, &ids))
    }

    fn newest(&self) -> Reply<u64> {
        self.read(|session| session.last_event())
    }

    fn hand_over(&self, stranded: Vec<Stranded>) -> Reply<Vec<Arc<str>>> {
        let me = self.agent_holders.me();
        let mut stranded = stranded;
        stranded.retain(|one| self.agent_holders.owner_for(one.account.as_deref()) != me);
        if stranded.is_empty() {
            return Box::pin(async { Ok(Vec::new()) });
        }
        let (agent_holders, stranded) = (self.agent_holders.clone(), Arc::new(stranded));
        self.writer
            .submit_alone(Urgency::Ongoing, Weight::SMALL, move |connection| {
                let (agent_holders, stranded) = (agent_holders.clone(), stranded.clone());
                async move { claim::hand_over(&connection, &agent_holders, &stranded).await }
            })
    }

    fn leases(&self, wanted: Vec<AgentLease>, held: Vec<AgentLease>) -> Reply<Vec<AgentLease>> {
        let agent_holders = self.agent_holders.clone();
        self.write(Urgency::Ongoing, Weight::SMALL, move |session| {
            agent_leases::share_out(session, &agent_holders, &wanted, &held)
        })
    }

    fn share_agents(
        &self,
        own: Vec<AgentStatus>,
        orders: Vec<(Arc<str>, AgentOrder)>,
    ) -> Reply<SharedAgents> {
        let me = self.lease.number();
        self.write(Urgency::Ongoing, Weight::SMALL, move |session| {
            agents::share(session, me, &own, &orders)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_says_how_often_replicas_tell_of_their_agents() {
        assert_eq!(AGREEING, Duration::from_secs(2));
        let document = std::fs::read_to_string("docs/operating.md").unwrap();
        assert!(document.contains("tell each other of their agents every two seconds."));
    }
}
