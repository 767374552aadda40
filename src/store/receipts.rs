//! Receipts for messages of ours: each kind once for a recipient.
//!
//! A receipt is an event in the chain of its message. When it follows the terminal event,
//! `states.result` keeps where that one is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::session::{Session, SqlValue, strange};
use super::{StoreError, codes};
use crate::message::{
    Contents, Event, EventKind, MessageId, Receipt, Timestamp, Trace, What, is_user_of,
};

/// How many recipients of one message receipts are reported for: more than it can have.
pub const MAX_RECIPIENTS: usize = 16;

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

/// When the first receipt of each kind came for a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReceiptTimes {
    pub delivered: Option<Timestamp>,
    pub displayed: Option<Timestamp>,
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
            | EventKind::Received
            | EventKind::AgentUp
            | EventKind::AgentDown => return,
        };
        *first = Some(first.map_or(time, |first| first.min(time)));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A message that receipts are of.
pub(super) struct Reportable {
    pub(super) uri: Arc<str>,
    /// The account that sent it last.
    pub(super) account: Option<Arc<str>>,
    pub(super) contents: Contents,
    pub(super) trace: Option<Trace>,
}

/// What has been reported of a message.
#[derive(Default)]
pub(super) struct KnownReceipts {
    receipts: HashSet<(Arc<str>, i16)>,
    recipients: HashSet<Arc<str>>,
}

impl Reportable {
    /// The event of a receipt.
    pub(super) fn event(&self, receipt: &Receipt) -> Event {
        Event {
            message_id: receipt.message_id,
            time: receipt.time,
            attempt: 0,
            agent: Some(receipt.agent.clone()),
            uri: self.uri.clone(),
            account: Some(receipt.account.clone()),
            webhook: self.contents.webhook.clone(),
            trace: self.trace,
            priority: self.contents.priority,
            metadata: self.contents.metadata.clone(),
            what: What::Receipt {
                recipient: receipt.recipient.clone(),
                disposition: receipt.disposition.clone(),
            },
        }
    }

    /// Whether the account at which the receipt arrived sent the message.
    pub(super) fn is_of(&self, receipt: &Receipt) -> bool {
        self.account.as_deref() == Some(&*receipt.account)
    }
}

impl KnownReceipts {
    /// Takes note of one that is there.
    pub(super) fn add(&mut self, recipient: Arc<str>, kind: i16) {
        self.recipients.insert(recipient.clone());
        self.receipts.insert((recipient, kind));
    }

    /// Why nothing is to be reported; `None` when the receipt is new, and is noted then.
    pub(super) fn refusal(&mut self, receipt: &Receipt) -> Option<Reported> {
        let kind = codes::kind_number(receipt.disposition.kind());
        let name = (receipt.recipient.clone(), kind);
        if self.receipts.contains(&name) {
            return Some(Reported::Repeated);
        }
        let is_known = self.recipients.contains(&receipt.recipient);
        if !is_known && self.recipients.len() >= MAX_RECIPIENTS {
            return Some(Reported::Unknown);
        }
        self.add(name.0, kind);
        None
    }
}

/// When the first of each kind came, of those of these messages that have any.
pub(super) fn times(
    session: &dyn Session,
    ids: &[[u8; 16]],
) -> Result<HashMap<MessageId, ReceiptTimes>, StoreError> {
    let found = session.all(
        "SELECT message_id, kind, min(at) FROM receipts \
         WHERE message_id IN (SELECT unhex(value) FROM json_each(?1)) GROUP BY message_id, kind",
        &[SqlValue::Ids(ids)],
        |row| {
            let kind = codes::kind(row.integer(1)?).ok_or_else(|| strange("kind"))?;
            Ok((row.message_id(0)?, kind, row.time(2)?))
        },
    )?;
    let mut times: HashMap<MessageId, ReceiptTimes> = HashMap::new();
    for (id, kind, time) in found {
        times.entry(id).or_default().note(kind, time);
    }
    Ok(times)
}

/// See [`LogStore::settling_receipts`](super::LogStore::settling_receipts).
pub(super) fn settling(
    session: &dyn Session,
    ids: &[MessageId],
) -> Result<Vec<(MessageId, u64)>, StoreError> {
    let ids: Vec<[u8; 16]> = ids.iter().map(|id| *id.as_bytes()).collect();
    let sql = session.either(
        "SELECT r.message_id, r.recipient, r.seq, m.uri FROM receipts r CROSS JOIN states s \
         CROSS JOIN messages m WHERE r.message_id IN (SELECT unhex(value) FROM json_each(?1)) \
         AND r.kind IN (5, 6) AND s.id = r.message_id AND m.number = s.number ORDER BY r.seq",
        "SELECT r.message_id, r.recipient, r.seq, m.uri FROM receipts r CROSS JOIN messages m \
         WHERE r.message_id = ANY(?1) AND r.kind IN (5, 6) AND m.id = r.message_id ORDER BY r.seq",
    );
    let found = session.all(sql, &[SqlValue::Ids(&ids)], |row| {
        let settles = is_user_of(row.text(1)?, row.text(3)?);
        Ok(settles.then_some((row.message_id(0)?, row.number(2)?)))
    })?;
    let mut settled = HashSet::new();
    let firsts = found.into_iter().flatten();
    Ok(firsts.filter(|(id, _)| settled.insert(*id)).collect())
}
