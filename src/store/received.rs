//! Messages that came in, and receipts for messages of ours.

use std::sync::Arc;

use super::filter::is_one_of;
use super::{Accounts, Logged};
use crate::message::{EventKind, MessageId, Timestamp};

/// How many recipients of one message receipts are reported for: more than it can have.
pub const MAX_RECIPIENTS: usize = 16;

/// What became of a message that came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrived {
    /// It is in the log, under this number.
    Appended(u64),
    /// It was taken in before: a fork of a proxy, or a retransmission.
    Repeated,
    /// The database does not take a value of it; nothing was appended, and never will be.
    Rejected,
}

/// What became of a receipt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reported {
    /// It is in the log, under this number.
    Appended(u64),
    /// The same was reported before for this recipient.
    Repeated,
    /// This account sent no such message, the message is gone, or as many recipients as may be
    /// were reported of already.
    Unknown,
    /// The database does not take a value of it; nothing was appended, and never will be.
    Rejected,
}

/// Which received messages to list. Everything `None` lists all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReceivedFilter {
    /// The accounts that received them, one of these.
    pub accounts: Option<Accounts>,
    /// The URI of their sender.
    pub sender: Option<Arc<str>>,
}

impl ReceivedFilter {
    /// Whether messages to this account pass.
    pub fn admits(&self, account: &str) -> bool {
        is_one_of(self.accounts.as_deref(), Some(account))
    }

    /// Whether many messages may be looked at for each that passes.
    pub(in crate::store) fn is_scan(&self) -> bool {
        self.accounts.is_some() || self.sender.is_some()
    }
}

/// A page of received messages.
#[derive(Clone, Debug, Default)]
pub struct ReceivedPage {
    /// Their events, newest first.
    pub messages: Vec<Logged>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<MessageId>,
}

/// When the first receipt of each kind came for a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReceiptTimes {
    /// `delivered`
    pub delivered: Option<Timestamp>,
    /// `displayed`
    pub displayed: Option<Timestamp>,
    /// `undelivered`
    pub undelivered: Option<Timestamp>,
}

impl ReceiptTimes {
    /// Takes note of a receipt; other events change nothing.
    pub fn note(&mut self, kind: EventKind, time: Timestamp) {
        let first = match kind {
            EventKind::Delivered => &mut self.delivered,
            EventKind::Displayed => &mut self.displayed,
            EventKind::Undelivered => &mut self.undelivered,
            EventKind::Sending
            | EventKind::Deferred
            | EventKind::Succeeded
            | EventKind::Failed
            | EventKind::Received => return,
        };
        *first = Some(first.map_or(time, |first| first.min(time)));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
