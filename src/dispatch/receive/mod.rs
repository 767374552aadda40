//! What comes in at the agents, on its way to the store: messages and receipts.
//!
//! One task takes everything that has arrived, commits it at once, and answers. While that commit
//! runs the next batch gathers. The store's own writer puts it into one sync with whatever else is
//! due, so neither what comes in nor what goes out waits for the other.
//!
//! | what came in                                | is                                     | counted     |
//! |---------------------------------------------|----------------------------------------|-------------|
//! | a message, while nothing takes its event and the settings want something that does | answered 480 | `no_consumer` |
//! | a message beyond the rate of its account or sender | answered 500, to be tried again | `overloaded` |
//! | a message that is new                       | stored, then answered 2xx              | `stored`    |
//! | a message that was stored before            | answered 2xx                           | `repeated`  |
//! | a receipt for a message of that account     | stored, then answered 200              | its type    |
//! | a receipt that says nothing new, or of no message of that account | answered 200     | `repeated`, `unknown` |
//! | anything, while the store fails             | answered 500                           | `failed`    |
//! | what the database rejects                   | answered 500                           | `failed`    |
//!
//! Of a message that was admitted lately, forks and retransmissions go to the store whatever the
//! rates are and whether anything takes events.

mod elsewhere;
mod rates;
mod recent;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::handle::{Handle, Settling};
use crate::agent::{Arrival, ArrivalReply, Inbound, InboundAnswer};
use crate::clock;
use crate::clock::Clock;
use crate::message::{Disposition, EventId, MessageId, Receipt, Received, Timestamp};
use crate::store::{Arrived, Reported, Store, StoreError};
pub use elsewhere::follow_receipts;
use rates::Rates;
use recent::Recent;

/// What one commit takes in at most.
const BATCH: usize = 512;

/// After so long a message that was sent is in the store, or never will be.
const RECENT: Duration = Duration::from_secs(10);

/// What the operator configures.
#[derive(Clone, Copy, Debug)]
pub struct InboundSettings {
    /// Messages a second that one account takes in.
    pub rate: f64,
    /// Messages a second that one account takes in of one sender.
    pub rate_from: f64,
    /// Whether a message is taken only while something would be given its event at once.
    pub require_consumer: bool,
}

/// What the task works with.
pub struct InboundParts {
    /// Where messages and receipts become durable.
    pub store: Arc<dyn Store>,
    /// What the agents take in.
    pub arrivals: mpsc::Receiver<Arrival>,
    /// Hears of receipts, which settle unknown outcomes.
    pub dispatch: Handle,
    /// The time.
    pub clock: Clock,
    /// Who would be given an event now.
    pub consumers: Arc<dyn Consumers>,
    pub observer: Arc<dyn InboundObserver>,
    /// What the operator configured.
    pub settings: InboundSettings,
}

/// Who would be given a `received` event.
pub trait Consumers: Send + Sync {
    /// Whether an event of this account would be given to a webhook or a stream now.
    fn has_one_for(&self, account: &str) -> bool;
}

/// Counts what comes in.
pub trait InboundObserver: Send + Sync {
    /// A message or a receipt came to this end.
    fn took_in(&self, end: InboundEnd);
}

/// What became of what came in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum InboundEnd {
    /// A message is in the log.
    Stored,
    /// A receipt is in the log.
    Delivered,
    /// A receipt is in the log.
    Displayed,
    /// A receipt is in the log.
    Undelivered,
    /// It was stored before.
    Repeated,
    /// A receipt for no message of that account.
    Unknown,
    /// Nothing would have taken the event.
    NoConsumer,
    /// A rate was exceeded.
    Overloaded,
    /// It could not be stored.
    Failed,
}

impl InboundEnd {
    pub const ALL: [Self; 9] = [
        Self::Stored,
        Self::Delivered,
        Self::Displayed,
        Self::Undelivered,
        Self::Repeated,
        Self::Unknown,
        Self::NoConsumer,
        Self::Overloaded,
        Self::Failed,
    ];

    /// The word of the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Delivered => "delivered",
            Self::Displayed => "displayed",
            Self::Undelivered => "undelivered",
            Self::Repeated => "repeated",
            Self::Unknown => "unknown",
            Self::NoConsumer => "no_consumer",
            Self::Overloaded => "overloaded",
            Self::Failed => "failed",
        }
    }
}

/// Takes in what arrives until every agent has ended.
pub async fn receive(parts: InboundParts) {
    let mut receiver = Receiver {
        rates: Rates::new(parts.settings.rate, parts.settings.rate_from),
        recent: Recent::default(),
        is_failing: false,
        parts,
    };
    let mut arrived = Vec::with_capacity(BATCH);
    while receiver.parts.arrivals.recv_many(&mut arrived, BATCH).await > 0 {
        let batch = receiver.admit(arrived.drain(..));
        receiver.store(batch).await;
    }
}

/// The task.
struct Receiver {
    parts: InboundParts,
    rates: Rates,
    recent: Recent,
    /// Whether the store took nothing when it was last asked to: one line in the log says so.
    is_failing: bool,
}

/// Messages and receipts of one commit, with their answers.
#[derive(Default)]
struct InboundBatch {
    messages: Vec<Received>,
    message_replies: Vec<(MessageSource, ArrivalReply)>,
    receipts: Vec<Receipt>,
    receipt_replies: Vec<(ReceiptSource, ArrivalReply)>,
}

/// Whose rates a message counted against.
struct MessageSource {
    account: Arc<str>,
    sender: String,
    is_counted: bool,
}

/// Whose receipt for which message, and what it counts as when it is stored.
struct ReceiptSource {
    message: MessageId,
    recipient: Arc<str>,
    end: InboundEnd,
}

impl Receiver {
    /// Answers those that are refused, and collects the rest.
    fn admit(&mut self, arrived: impl Iterator<Item = Arrival>) -> InboundBatch {
        let now = clock::now();
        let mut batch = InboundBatch::default();
        for arrival in arrived {
            let (what, reply) = arrival.split();
            let message = match what {
                Inbound::Receipt(receipt) => {
                    let source = ReceiptSource {
                        message: receipt.message_id,
                        recipient: receipt.recipient.clone(),
                        end: end_of(&receipt.disposition),
                    };
                    batch.receipt_replies.push((source, reply));
                    batch.receipts.push(receipt);
                    continue;
                }
                Inbound::Message(message) => *message,
            };
            let key = self.recent.key(&message);
            let is_known = self.recent.contains(key);
            let wants_consumer = self.parts.settings.require_consumer && !is_known;
            if wants_consumer && !self.parts.consumers.has_one_for(&message.account) {
                self.parts.answer(InboundEnd::NoConsumer, reply);
            } else if !is_known && !self.rates.take(&message.account, &message.from.uri, now) {
                self.parts.answer(InboundEnd::Overloaded, reply);
            } else {
                self.recent.insert(key);
                let source = MessageSource {
                    account: message.account.clone(),
                    sender: message.from.uri.clone(),
                    is_counted: !is_known,
                };
                batch.message_replies.push((source, reply));
                batch.messages.push(message);
            }
        }
        batch
    }

    async fn store(&mut self, batch: InboundBatch) {
        let InboundBatch {
            messages,
            message_replies,
            receipts,
            receipt_replies,
        } = batch;
        if messages.is_empty() && receipts.is_empty() {
            return;
        }
        let received = self.parts.store_messages(messages);
        let reported = self.parts.store_receipts(receipts);
        let (received, reported) = futures_util::future::join(received, reported).await;
        self.note(received.as_ref().err().or_else(|| reported.as_ref().err()));
        self.answer_messages(received.unwrap_or_default(), message_replies);
        let reported = reported.unwrap_or_default();
        self.parts.answer_receipts(reported, receipt_replies).await;
    }

    /// Writes one line when the store begins to fail, and one when it is well again.
    fn note(&mut self, failure: Option<&StoreError>) {
        let was_failing = std::mem::replace(&mut self.is_failing, failure.is_some());
        match failure {
            Some(error) if !was_failing => {
                tracing::error!(%error, "failed to store what came in; answering 500");
            }
            None if was_failing => tracing::info!("what comes in is stored again"),
            Some(_) | None => {}
        }
    }

    fn answer_messages(
        &mut self,
        received: Vec<Arrived>,
        replies: Vec<(MessageSource, ArrivalReply)>,
    ) {
        let now = clock::now();
        let mut answers = received.into_iter();
        for (source, reply) in replies {
            let end = match answers.next() {
                Some(Arrived::Appended(_)) => InboundEnd::Stored,
                Some(Arrived::Repeated) => {
                    // Forks and retransmissions are one message.
                    if source.is_counted {
                        self.rates.give_back(&source.account, &source.sender, now);
                    }
                    InboundEnd::Repeated
                }
                Some(Arrived::Rejected) | None => InboundEnd::Failed,
            };
            self.parts.answer(end, reply);
        }
    }
}

impl InboundParts {
    async fn store_messages(&self, messages: Vec<Received>) -> Result<Vec<Arrived>, StoreError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let mut answered = messages.iter().flat_map(|message| &message.answers);
        if answered.any(|id| is_recent(*id, now)) {
            self.dispatch.flush().await;
        }
        self.store.receive(messages).await
    }

    async fn store_receipts(&self, receipts: Vec<Receipt>) -> Result<Vec<Reported>, StoreError> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let mut reported = self.store.report(receipts.clone()).await?;
        let now = self.clock.now();
        let again = reported
            .iter_mut()
            .zip(receipts)
            .filter(|(known, receipt)| {
                **known == Reported::Unknown && is_recent(receipt.message_id, now)
            });
        let (unknown, again): (Vec<_>, Vec<_>) = again.unzip();
        if !again.is_empty() {
            self.dispatch.flush().await;
            let again = self.store.report(again).await.unwrap_or_else(|error| {
                tracing::error!(%error, "failed to store receipts; answering 500");
                Vec::new()
            });
            // What failed now takes nothing from what was stored before.
            let again = again
                .into_iter()
                .chain(std::iter::repeat(Reported::Rejected));
            for (known, now) in unknown.into_iter().zip(again) {
                *known = now;
            }
        }
        Ok(reported)
    }

    async fn answer_receipts(
        &self,
        reported: Vec<Reported>,
        replies: Vec<(ReceiptSource, ArrivalReply)>,
    ) {
        let mut settling = Vec::new();
        let mut answers = reported.into_iter();
        for (source, reply) in replies {
            let end = match answers.next() {
                Some(Reported::Appended(seq)) => {
                    let epoch = self.store.epoch();
                    if matches!(source.end, InboundEnd::Delivered | InboundEnd::Displayed) {
                        settling.push(Settling {
                            message: source.message,
                            receipt: EventId { epoch, seq },
                            recipient: source.recipient,
                        });
                    }
                    source.end
                }
                Some(Reported::Repeated) => InboundEnd::Repeated,
                Some(Reported::Unknown) => InboundEnd::Unknown,
                Some(Reported::Rejected) | None => InboundEnd::Failed,
            };
            self.answer(end, reply);
        }
        if !settling.is_empty() {
            self.dispatch.settle(settling).await;
        }
    }

    fn answer(&self, end: InboundEnd, reply: ArrivalReply) {
        self.observer.took_in(end);
        reply.answer(match end {
            InboundEnd::Failed => InboundAnswer::Failed,
            InboundEnd::NoConsumer => InboundAnswer::NoConsumer,
            InboundEnd::Overloaded => InboundAnswer::Overloaded,
            InboundEnd::Repeated => InboundAnswer::Repeated,
            InboundEnd::Stored | InboundEnd::Unknown => InboundAnswer::Taken,
            InboundEnd::Delivered | InboundEnd::Displayed | InboundEnd::Undelivered => {
                InboundAnswer::Taken
            }
        });
    }
}

/// Whether a message of this id may have been sent before the store had it: peers answer before the
/// commit of a message ends, and phones report a message before they answer it.
fn is_recent(id: MessageId, now: Timestamp) -> bool {
    now.since(id.made_at()) < RECENT
}

/// What a receipt that is stored counts as.
fn end_of(disposition: &Disposition) -> InboundEnd {
    match disposition {
        Disposition::Delivered => InboundEnd::Delivered,
        Disposition::Displayed => InboundEnd::Displayed,
        Disposition::Undelivered { .. } => InboundEnd::Undelivered,
    }
}
