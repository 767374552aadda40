//! What comes in: the task that stores it, and who would be given its events.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::agent;
use crate::clock::Clock;
use crate::config::Config;
use crate::dispatch;
use crate::dispatch::{Consumers, InboundParts};
use crate::events::Feed;
use crate::message::EventKind;
use crate::store::Store;
use crate::telemetry::Watch;
use crate::webhook::Webhooks;

/// The webhooks, and the event streams of this replica.
pub(super) struct Listeners {
    webhooks: Webhooks,
    feed: Feed,
}

impl Listeners {
    pub(super) fn new(webhooks: &Webhooks, feed: &Feed) -> Self {
        let (webhooks, feed) = (webhooks.clone(), feed.clone());
        Self { webhooks, feed }
    }
}

impl Consumers for Listeners {
    fn has_one_for(&self, account: &str) -> bool {
        let kind = EventKind::Received;
        self.feed.has_reader_for(kind, account) || self.webhooks.has_one_for(kind, account)
    }
}

/// Stores what comes in; where there are other replicas, hears of the receipts that they store.
pub(super) fn receive(parts: InboundParts, background: &mut JoinSet<()>) {
    let (store, dispatch) = (parts.store.clone(), parts.dispatch.clone());
    background.spawn(dispatch::receive(parts));
    if store.agreeing().is_some() {
        background.spawn(dispatch::follow_receipts(store, dispatch));
    }
}

/// What takes in what comes in.
pub(super) fn parts(
    config: &Config,
    store: &Arc<dyn Store>,
    dispatch: &dispatch::Handle,
    arrivals: mpsc::Receiver<agent::Arrival>,
    consumers: Arc<Listeners>,
    clock: &Clock,
    watch: &Watch,
) -> InboundParts {
    InboundParts {
        store: store.clone(),
        arrivals,
        dispatch: dispatch.clone(),
        clock: clock.clone(),
        consumers,
        observer: Arc::new(watch.clone()),
        settings: config.receive.inbound,
    }
}
