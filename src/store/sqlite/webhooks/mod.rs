//! The verbs of [`WebhookStore`] on SQLite.

mod deliveries;
mod endpoints;
mod plan;
mod queues;
mod recovery;
mod rows;
mod settle;

use std::sync::Arc;

use super::{Sqlite, Urgency, Weight, schema};
use crate::message::{EndpointId, Timestamp};
use crate::store::{
    Attempted, Change, Deliveries, Delivery, DeliveryFilter, DeliveryKey, Due, Endpoint, Endpoints,
    PageSize, Plan, QueueHead, RecoveryStep, Reply, Settled, WebhookStore,
};

impl WebhookStore for Sqlite {
    fn create_endpoint(&self, endpoint: Endpoint, limit: usize) -> Reply<bool> {
        self.writer.submit(
            Urgency::New,
            Weight::SMALL,
            (endpoint, limit),
            endpoints::create,
        )
    }

    fn endpoints(&self) -> Reply<Endpoints> {
        self.readers.read(endpoints::all)
    }

    fn change_endpoint(&self, id: EndpointId, change: Change) -> Reply<Option<Endpoint>> {
        self.writer.submit(
            Urgency::Ongoing,
            Weight::SMALL,
            (id, change),
            endpoints::change,
        )
    }

    fn delete_endpoint(&self, id: EndpointId) -> Reply<bool> {
        self.writer
            .submit(Urgency::Ongoing, Weight::SMALL, id, endpoints::delete)
    }

    fn planned_to(&self) -> Reply<u64> {
        self.readers
            .read(|connection| Ok(schema::fact(connection, "planned_to")?))
    }

    fn plan(&self, plan: Plan) -> Reply<bool> {
        let weight = Weight::of_deliveries(&plan.deliveries);
        self.writer
            .submit(Urgency::Ongoing, weight, plan, plan::plan)
    }

    fn queues(&self, after: Option<Arc<str>>, limit: usize) -> Reply<Vec<QueueHead>> {
        self.readers
            .read(move |connection| queues::queues(connection, after.as_deref(), limit))
    }

    fn due(&self, queue: Arc<str>, now: Timestamp, size: PageSize) -> Reply<Due> {
        self.readers
            .read(move |connection| queues::due(connection, &queue, now, size))
    }

    fn settle(&self, attempts: Vec<Attempted>) -> Reply<Vec<Option<Settled>>> {
        let weight = Weight::of_rows(2 * attempts.len());
        let attempts: Arc<[Attempted]> = attempts.into();
        self.writer
            .submit(Urgency::Ongoing, weight, attempts, settle::settle)
    }

    fn deliveries(
        &self,
        filter: DeliveryFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Reply<Deliveries> {
        let readers = if filter.state.is_some() {
            &self.scans
        } else {
            &self.readers
        };
        readers.read(move |connection| deliveries::deliveries(connection, filter, before, limit))
    }

    fn redeliver(&self, key: DeliveryKey, now: Timestamp) -> Reply<Option<Delivery>> {
        self.writer.submit(
            Urgency::Ongoing,
            Weight::SMALL,
            (key, now),
            deliveries::redeliver,
        )
    }

    fn recover(&self, step: RecoveryStep) -> Reply<Option<u64>> {
        let weight = Weight::of_deliveries(&step.wanted);
        self.writer
            .submit(Urgency::Ongoing, weight, step, recovery::recover)
    }

    fn pending_deliveries(&self) -> Reply<u64> {
        self.readers.read(queues::pending)
    }

    fn forget_deliveries(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.writer.submit(
            Urgency::Ongoing,
            Weight::of_rows(limit),
            (before, limit),
            deliveries::forget,
        )
    }
}
