//! The verbs of [`ReplicaStore`] on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Postgres, Urgency, Weight, agents, claim, lease, seats};
use crate::message::{AgentOrder, AgentStatus, ByMessage, MessageId};
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

    fn holders(&self, ids: Vec<MessageId>) -> Reply<ByMessage<Holder>> {
        let me = self.lease.number();
        self.pool
            .run(move |c| async move { lease::holders(&c, me, &ids).await })
    }

    fn newest(&self) -> Reply<u64> {
        self.pool
            .run(|c| async move { Ok(super::bounds(&c).await?.last) })
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

    fn seats(&self, wanted: Vec<AgentLease>, held: Vec<AgentLease>) -> Reply<Vec<AgentLease>> {
        let agent_holders = self.agent_holders.clone();
        self.pool.transact(move |c| async move {
            seats::seats(&c, &agent_holders, &wanted, &held).await
        })
    }

    fn share_agents(
        &self,
        own: Vec<AgentStatus>,
        orders: Vec<(Arc<str>, AgentOrder)>,
    ) -> Reply<SharedAgents> {
        let me = self.lease.number();
        self.pool
            .transact(move |c| async move { agents::share(&c, me, &own, &orders).await })
    }
}
