//! [`WebhookStore`] on either backend.

use std::sync::Arc;

use super::{deliveries, endpoints, plan, queues, settle};
use crate::message::{EndpointId, Timestamp};
use crate::store::backlog::{Urgency, Weight};
use crate::store::engine::Engine;
use crate::store::{
    Attempted, Change, Deliveries, Delivery, DeliveryFilter, DeliveryKey, Due, Endpoint, Endpoints,
    PageSize, Plan, QueueHead, RecoveryStep, Reply, Settled, WebhookStore,
};

impl<E: Engine> WebhookStore for E {
    fn create_endpoint(&self, endpoint: Endpoint, limit: usize) -> Reply<bool> {
        self.write_in_order(Urgency::New, Weight::SMALL, move |session| {
            endpoints::create(session, &endpoint, limit)
        })
    }

    fn endpoints(&self) -> Reply<Endpoints> {
        self.read(endpoints::all)
    }

    fn change_endpoint(&self, id: EndpointId, change: Change) -> Reply<Option<Endpoint>> {
        self.write_in_order(Urgency::Ongoing, Weight::SMALL, move |session| {
            endpoints::change(session, id, &change)
        })
    }

    fn delete_endpoint(&self, id: EndpointId) -> Reply<bool> {
        self.write(Urgency::Ongoing, Weight::SMALL, move |session| {
            endpoints::delete(session, id)
        })
    }

    fn planned_to(&self) -> Reply<u64> {
        self.read(|session| session.fact("planned_to"))
    }

    fn plan(&self, plan: Plan) -> Reply<bool> {
        let weight = Weight::of_deliveries(&plan.deliveries);
        self.write(Urgency::Ongoing, weight, move |session| {
            plan::plan(session, &plan)
        })
    }

    fn queues(&self, after: Option<Arc<str>>, limit: usize) -> Reply<Vec<QueueHead>> {
        self.read(move |session| queues::queues(session, after.as_deref(), limit))
    }

    fn due(&self, queue: Arc<str>, now: Timestamp, size: PageSize) -> Reply<Due> {
        self.read(move |session| queues::due(session, &queue, now, size))
    }

    fn settle(&self, attempts: Vec<Attempted>) -> Reply<Vec<Option<Settled>>> {
        let weight = Weight::of_rows(2 * attempts.len());
        self.write(Urgency::Ongoing, weight, move |session| {
            settle::settle(session, &attempts)
        })
    }

    fn deliveries(
        &self,
        filter: DeliveryFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Reply<Deliveries> {
        let is_scan = filter.state.is_some();
        self.read_or_scan(is_scan, move |session| {
            deliveries::deliveries(session, filter, before, limit)
        })
    }

    fn redeliver(&self, key: DeliveryKey, now: Timestamp) -> Reply<Option<Delivery>> {
        self.write(Urgency::Ongoing, Weight::SMALL, move |session| {
            deliveries::redeliver(session, &key, now)
        })
    }

    fn recover(&self, step: RecoveryStep) -> Reply<Option<u64>> {
        let weight = Weight::of_deliveries(&step.wanted);
        self.write(Urgency::Ongoing, weight, move |session| {
            plan::recover(session, &step)
        })
    }

    fn pending_deliveries(&self) -> Reply<u64> {
        self.read(queues::pending)
    }

    fn forget_deliveries(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            deliveries::forget(session, before, limit)
        })
    }
}
