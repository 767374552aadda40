//! Receipts that came in at other replicas: the message that they are for may be here.

use std::sync::Arc;
use std::time::Duration;

use super::super::handle::{Handle, Settling};
use crate::message::{EventId, EventKind};
use crate::store::{EventFilter, Logged, Store};

/// Events taken from the log at once.
const PAGE: usize = 256;

/// How long the log is left alone after each look: with many commits, one look is for several.
const REST: Duration = Duration::from_millis(5);

/// How long the log is left alone when it could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the dispatcher of every receipt in the log from now on, until the store is gone. One that
/// it knows already changes nothing.
pub async fn follow_receipts(store: Arc<dyn Store>, dispatch: Handle) {
    let mut committed = store.committed();
    let mut cursor = *committed.borrow_and_update();
    let filter = EventFilter {
        kinds: [EventKind::Delivered, EventKind::Displayed]
            .into_iter()
            .collect(),
        ..EventFilter::default()
    };
    loop {
        match store.events(cursor, filter.clone(), PAGE.into()).await {
            Ok(page) => {
                cursor = page.scanned_to.max(cursor);
                let settling = page.events.iter();
                let settling: Vec<_> = settling
                    .filter_map(|event| settling_by(event, store.epoch()))
                    .collect();
                if !settling.is_empty() {
                    dispatch.settle(settling).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "failed to read receipts; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        tokio::time::sleep(REST).await;
        if cursor >= *committed.borrow_and_update() && committed.changed().await.is_err() {
            return;
        }
    }
}

fn settling_by(event: &Logged, epoch: u64) -> Option<Settling> {
    #[derive(serde::Deserialize)]
    struct ReceiptMembers<'a> {
        recipient: &'a str,
    }
    let members: ReceiptMembers<'_> = serde_json::from_slice(&event.json).ok()?;
    Some(Settling {
        message: event.message_id,
        receipt: EventId {
            epoch,
            seq: event.seq,
        },
        recipient: members.recipient.into(),
    })
}
