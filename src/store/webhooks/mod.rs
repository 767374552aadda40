//! Webhooks in the store: endpoints, and deliveries to them.
//!
//! A *delivery* is one event on its way to one *queue*: a standing endpoint, or a URL that messages
//! name as their own webhook. The log is planned once, from its beginning to its end: [`plan`]
//! inserts the deliveries that follow from a stretch of it and moves the cursor in the same
//! transaction. So each event is planned exactly once, whatever happens in between.
//!
//! Of the deliveries of one message to one queue only the oldest that has not ended is due; the
//! store makes the next one due when it ends. That keeps the order of a message's events, and lets
//! everything else pass.
//!
//! [`plan`]: WebhookStore::plan

mod deliveries;
mod delivery;
mod endpoint;
mod endpoints;
mod plan;
mod queues;
mod settle;

use std::sync::Arc;

use super::backlog::{Urgency, Weight};
use super::engine::{Engine, ReadKind};
use super::{PageSize, Reply};
use crate::message::{EndpointId, EventKind, Timestamp};
pub use delivery::{
    Attempt, Attempted, Deliveries, Delivery, DeliveryFilter, DeliveryKey, DeliveryState, Due,
    DueDelivery, Fate, MAX_ATTEMPTS_KEPT, NewDelivery, Plan, QueueHead, Settled,
};
pub use endpoint::{
    Change, Disabled, DisabledBecause, Endpoint, EndpointPage, Endpoints, Recovery, RecoveryStep,
    WebhookHealth,
};

/// What a store does for webhooks. All verbs that write are transactions of their own.
pub trait WebhookStore {
    /// Adds a standing endpoint, which sees events from now on; `false` when there are `limit` of
    /// them already.
    fn create_endpoint(&self, endpoint: Endpoint, limit: usize) -> Reply<bool>;

    /// Every endpoint, oldest first.
    fn endpoints(&self) -> Reply<Endpoints>;

    /// Changes an endpoint, and gives it as it is then; `None` when it is gone.
    fn change_endpoint(&self, id: EndpointId, change: Change) -> Reply<Option<Endpoint>>;

    /// Removes an endpoint; its deliveries go with [`WebhookStore::forget_deliveries`]. `false`
    /// when it is gone already.
    fn delete_endpoint(&self, id: EndpointId) -> Reply<bool>;

    /// Up to which event the log was planned.
    fn planned_to(&self) -> Reply<u64>;

    /// Inserts deliveries and moves the cursor. `false`, and nothing done, when the cursor or the
    /// endpoints are not what the plan was made from.
    fn plan(&self, plan: Plan) -> Reply<bool>;

    /// Queues that have something to post, now or later, in the order of their names after
    /// `after`.
    fn queues(&self, after: Option<Arc<str>>, limit: usize) -> Reply<Vec<QueueHead>>;

    /// What a queue has to post at `now`, what waits longest first, then in the order of the log.
    fn due(&self, queue: Arc<str>, now: Timestamp, size: PageSize) -> Reply<Due>;

    /// A delivery as it is to be posted now: a received message may have been erased since it was
    /// read. No other event changes.
    fn current(&self, delivery: DueDelivery) -> Reply<DueDelivery>;

    /// Notes how attempts ended, and makes due what waited for them. One answer for each, in their
    /// order; `None` when the delivery is gone.
    fn settle(&self, attempts: Vec<Attempted>) -> Reply<Vec<Option<Settled>>>;

    /// Deliveries of a standing endpoint, the newest event first, strictly older than `before`.
    fn deliveries(
        &self,
        filter: DeliveryFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Reply<Deliveries>;

    /// Makes a delivery due again, whatever became of it, with all its attempts; as it is then.
    fn redeliver(&self, key: DeliveryKey, now: Timestamp) -> Reply<Option<Delivery>>;

    /// Makes up to `limit` deliveries of a queue due that wait for their next attempt; how many.
    fn hasten_deliveries(&self, queue: Arc<str>, now: Timestamp, limit: usize) -> Reply<usize>;

    /// Works on a recovery; see [`RecoveryStep`]. Where it has come to, `None` when it is over.
    fn recover(&self, step: RecoveryStep) -> Reply<Option<u64>>;

    /// Deliveries that have not ended.
    fn pending_deliveries(&self) -> Reply<u64>;

    /// How the standing endpoints do.
    fn webhook_health(&self) -> Reply<WebhookHealth>;

    /// Removes up to `limit` deliveries that ended before `before`, or whose endpoint was deleted;
    /// how many there were.
    fn forget_deliveries(&self, before: Timestamp, limit: usize) -> Reply<usize>;
}

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

    fn current(&self, delivery: DueDelivery) -> Reply<DueDelivery> {
        if delivery.kind != EventKind::Received {
            return Box::pin(async { Ok(delivery) });
        }
        self.read(move |session| queues::current(session, delivery))
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
        let kind = ReadKind::of_list(filter.state.is_some());
        self.read_as(kind, move |session| {
            deliveries::deliveries(session, filter, before, limit)
        })
    }

    fn redeliver(&self, key: DeliveryKey, now: Timestamp) -> Reply<Option<Delivery>> {
        self.write(Urgency::Ongoing, Weight::SMALL, move |session| {
            deliveries::redeliver(session, &key, now)
        })
    }

    fn hasten_deliveries(&self, queue: Arc<str>, now: Timestamp, limit: usize) -> Reply<usize> {
        self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            deliveries::hasten(session, &queue, now, limit)
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

    fn webhook_health(&self) -> Reply<WebhookHealth> {
        self.read(endpoints::health)
    }

    fn forget_deliveries(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            deliveries::forget(session, before, limit)
        })
    }
}
