//! Nobody else has the database open, so everything is this replica's.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Sqlite;
use crate::message::{AgentOrder, AgentStatus, MessageId};
use crate::store::{Holder, ReplicaStore, Reply, Seat, Shared, Stranded};

impl ReplicaStore for Sqlite {
    fn agreeing(&self) -> Option<Duration> {
        None
    }

    /// What there is to claim is there from the beginning.
    fn claimable(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn leads(&self) -> watch::Receiver<bool> {
        watch::channel(true).1
    }

    fn is_held(&self) -> bool {
        true
    }

    fn holder(&self, _id: MessageId) -> Reply<Option<Holder>> {
        Box::pin(async { Ok(None) })
    }

    fn newest(&self) -> Reply<u64> {
        let last = self.tail.bounds().last;
        Box::pin(async move { Ok(last) })
    }

    fn hand_over(&self, _stranded: Vec<Stranded>) -> Reply<Vec<Arc<str>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn seats(&self, wanted: Vec<Seat>, _held: Vec<Seat>) -> Reply<Vec<Seat>> {
        Box::pin(async { Ok(wanted) })
    }

    fn share_agents(
        &self,
        _own: Vec<AgentStatus>,
        _orders: Vec<(Arc<str>, AgentOrder)>,
    ) -> Reply<Shared> {
        Box::pin(async { Ok(Shared::default()) })
    }
}
