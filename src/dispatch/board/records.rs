//! What the board wants done, and the events and records of messages.

use std::sync::Arc;

use super::conclude::EndedAttempt;
use crate::message::{Event, Message, MessageId, Status, Timestamp, What};
use crate::pool::Slot;
use crate::store::Record;

/// What the driver has to do for the board.
#[derive(Debug, Default)]
pub(in crate::dispatch) struct BoardWork {
    /// To be made durable, in this order.
    pub(in crate::dispatch) records: Vec<Record>,
    /// To be read from the store and handed to [`Board::loaded`].
    pub(in crate::dispatch) loads: Vec<MessageId>,
    /// Slots to give back.
    pub(in crate::dispatch) released: Vec<Slot>,
    /// Attempts that were under way when the process that made them ended.
    pub(in crate::dispatch) died: Vec<EndedAttempt>,
    /// Canceled, and forgotten since. Those without a record of their end are gone from the store.
    pub(in crate::dispatch) forgotten: Vec<MessageId>,
}

/// The agent that made an attempt, as its events show it.
#[derive(Clone, Debug)]
pub(in crate::dispatch) struct SentBy {
    pub(in crate::dispatch) agent: Arc<str>,
    /// Its address of record.
    pub(in crate::dispatch) account: Arc<str>,
}

/// An event of this message.
pub(in crate::dispatch) fn event(
    message: &Message,
    attempt: u32,
    sent_by: Option<&SentBy>,
    what: What,
    now: Timestamp,
) -> Event {
    Event {
        message_id: message.id,
        time: now,
        attempt,
        agent: sent_by.map(|sent_by| sent_by.agent.clone()),
        uri: message.contents.uri.clone(),
        account: sent_by
            .map(|sent_by| sent_by.account.clone())
            .or_else(|| message.contents.account.clone()),
        webhook: message.contents.webhook.clone(),
        trace: message.trace,
        priority: message.contents.priority,
        metadata: message.contents.metadata.clone(),
        what,
    }
}

pub(in crate::dispatch) fn record(event: Event, not_before: Option<Timestamp>) -> Record {
    Record {
        // Every event of the board moves its message on.
        status: event.kind().status().unwrap_or(Status::Sending),
        event,
        not_before,
    }
}
