//! What comes in: the task that stores it, and who would be given its events.

use tokio::task::JoinSet;

use crate::dispatch;
use crate::dispatch::{Consumers, InboundParts};
use crate::events::Feed;
use crate::message::EventKind;
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
