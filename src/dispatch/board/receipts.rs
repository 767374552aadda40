//! What a receipt changes: a message that has arrived is not sent again.
//!
//! | the message                                   | and then                                     |
//! |-----------------------------------------------|----------------------------------------------|
//! | is being sent                                 | an unknown outcome ends it as succeeded; an answer counts as without a receipt |
//! | waits for another attempt                     | it has succeeded                             |
//! | was never sent by us, or has ended            | nothing                                      |

use super::{Board, LocalEnd, Phase};
use crate::message::{EventId, MessageId, Timestamp, is_same_user};

impl Board {
    /// A receipt of this sender, which this event reports, says that a message has arrived. It
    /// counts only when the message was for him.
    pub(in crate::dispatch) fn settle(
        &mut self,
        id: MessageId,
        receipt: EventId,
        recipient: &str,
        now: Timestamp,
    ) {
        let uri = self.entries.get(&id).map(|entry| &entry.uri);
        if uri.is_some_and(|uri| is_same_user(uri, recipient)) {
            self.has_arrived(id, receipt, now);
        }
    }

    /// The store knows of a receipt that settles the outcome of a message, by this event.
    pub(in crate::dispatch) fn has_arrived(
        &mut self,
        id: MessageId,
        receipt: EventId,
        now: Timestamp,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry.attempt == 0 {
            return;
        }
        let receipt = *entry.receipt.get_or_insert(receipt);
        match entry.phase {
            Phase::Queued | Phase::Ready(_) | Phase::Waiting => {
                self.end(id, LocalEnd::Settled(receipt), now, 0.0);
            }
            // The outcome of the attempt decides, or the end that is being told.
            Phase::Loading(_) | Phase::Starting(_) | Phase::Sending(_) | Phase::Ending(_) => {}
            // One that was sent is not scheduled any more.
            Phase::Scheduled => {}
        }
    }
}
