//! The verbs of [`WebhookStore`] on PostgreSQL.

mod deliveries;
mod endpoints;
mod plan;
mod queues;
mod recovery;
mod rows;
mod settle;

use std::sync::Arc;

use super::connection::Connection;
use super::group::Answer;
use super::{Order, Postgres, Urgency, Weight, schema};
use crate::message::{EndpointId, Timestamp};
use crate::store::{
    Attempted, Change, Deliveries, Delivery, DeliveryFilter, DeliveryKey, Due, Endpoint, Endpoints,
    PageSize, Plan, QueueHead, RecoveryStep, Reply, Settled, StoreError, WebhookStore,
};

/// What is about the log's order too, so the writer does it, by itself.
pub(super) enum Verb {
    Create(Endpoint, usize, Answer<bool>),
    Change(EndpointId, Change, Answer<Option<Endpoint>>),
}

/// What became of a [`Verb`].
#[derive(Debug)]
pub(super) enum Outcome {
    Created(bool),
    Changed(Option<Box<Endpoint>>),
}

impl Verb {
    pub(super) async fn apply(&self, connection: &Connection) -> Result<Outcome, StoreError> {
        match self {
            Self::Create(endpoint, limit, _) => {
                let created = endpoints::create(connection, endpoint.clone(), *limit).await?;
                Ok(Outcome::Created(created))
            }
            Self::Change(id, change, _) => {
                let changed = endpoints::change(connection, *id, change).await?;
                Ok(Outcome::Changed(changed.map(Box::new)))
            }
        }
    }

    /// Tells whoever waits. An outcome is that of its verb.
    pub(super) fn answer(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Create(.., answer), Outcome::Created(created)) => {
                drop(answer.send(Ok(created)));
            }
            (Self::Change(.., answer), Outcome::Changed(changed)) => {
                drop(answer.send(Ok(changed.map(|endpoint| *endpoint))));
            }
            (Self::Create(..), Outcome::Changed(_)) | (Self::Change(..), Outcome::Created(_)) => {}
        }
    }

    pub(super) fn refuse(self, error: &StoreError) {
        match self {
            Self::Create(.., answer) => drop(answer.send(Err(error.clone()))),
            Self::Change(.., answer) => drop(answer.send(Err(error.clone()))),
        }
    }
}

impl WebhookStore for Postgres {
    fn create_endpoint(&self, endpoint: Endpoint, limit: usize) -> Reply<bool> {
        let verb = |answer| Order::Endpoint(Box::new(Verb::Create(endpoint, limit, answer)));
        self.writer.submit(Urgency::New, Weight::SMALL, verb)
    }

    fn endpoints(&self) -> Reply<Endpoints> {
        self.pool.run(|c| async move { endpoints::all(&c).await })
    }

    fn change_endpoint(&self, id: EndpointId, change: Change) -> Reply<Option<Endpoint>> {
        let verb = |answer| Order::Endpoint(Box::new(Verb::Change(id, change, answer)));
        self.writer.submit(Urgency::Ongoing, Weight::SMALL, verb)
    }

    fn delete_endpoint(&self, id: EndpointId) -> Reply<bool> {
        self.pool
            .transact(move |c| async move { endpoints::delete(&c, id).await })
    }

    fn planned_to(&self) -> Reply<u64> {
        self.pool
            .run(|c| async move { schema::fact(&c, "planned_to").await })
    }

    fn plan(&self, plan: Plan) -> Reply<bool> {
        let plan = Arc::new(plan);
        self.pool.transact_apart(move |c, is_apart| {
            let plan = plan.clone();
            async move { plan::plan(&c, &plan, is_apart).await }
        })
    }

    fn queues(&self, after: Option<Arc<str>>, limit: usize) -> Reply<Vec<QueueHead>> {
        self.pool
            .run(move |c| async move { queues::queues(&c, after.as_deref(), limit).await })
    }

    fn due(&self, queue: Arc<str>, now: Timestamp, size: PageSize) -> Reply<Due> {
        self.pool
            .run(move |c| async move { queues::due(&c, &queue, now, size).await })
    }

    fn settle(&self, attempts: Vec<Attempted>) -> Reply<Vec<Option<Settled>>> {
        self.pool
            .transact(move |c| async move { settle::settle(&c, &attempts).await })
    }

    fn deliveries(
        &self,
        filter: DeliveryFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Reply<Deliveries> {
        let pool = if filter.state.is_some() {
            &self.scans
        } else {
            &self.pool
        };
        pool.run(move |c| async move { deliveries::deliveries(&c, filter, before, limit).await })
    }

    fn redeliver(&self, key: DeliveryKey, now: Timestamp) -> Reply<Option<Delivery>> {
        self.pool
            .transact(move |c| async move { deliveries::redeliver(&c, &key, now).await })
    }

    fn recover(&self, step: RecoveryStep) -> Reply<Option<u64>> {
        let step = Arc::new(step);
        self.pool.transact_apart(move |c, is_apart| {
            let step = step.clone();
            async move { recovery::recover(&c, &step, is_apart).await }
        })
    }

    fn pending_deliveries(&self) -> Reply<u64> {
        self.pool.run(|c| async move { queues::pending(&c).await })
    }

    fn forget_deliveries(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.pool
            .transact(move |c| async move { deliveries::forget(&c, before, limit).await })
    }
}
