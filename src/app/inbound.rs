//! What comes in: the task that stores it, and who would be given its events.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::agent::Arrival;
use crate::dispatch;
use crate::dispatch::{Consumers, InboundParts, InboundSettings};
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

/// The tasks.
pub(super) struct Inbound {
    parts: InboundParts,
}

impl Inbound {
    pub(super) fn new(
        store: &Arc<dyn Store>,
        arrivals: mpsc::Receiver<Arrival>,
        dispatch: &dispatch::Handle,
        listeners: Listeners,
        watch: &Watch,
        settings: InboundSettings,
    ) -> Self {
        let parts = InboundParts {
            store: store.clone(),
            arrivals,
            dispatch: dispatch.clone(),
            consumers: Arc::new(listeners),
            observer: Arc::new(watch.clone()),
            settings,
        };
        Self { parts }
    }

    /// Stores what comes in; where there are other replicas, hears of the receipts that they store.
    pub(super) fn run(self, background: &mut JoinSet<()>) {
        let (store, dispatch) = (self.parts.store.clone(), self.parts.dispatch.clone());
        background.spawn(dispatch::receive(self.parts));
        if store.agreeing().is_some() {
            background.spawn(dispatch::follow_receipts(store, dispatch));
        }
    }
}
