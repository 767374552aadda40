//! The durable state: messages, and the log of their events.
//!
//! The store is the truth, and its verbs take batches: a caller hands over all that is due at once,
//! and a backend commits everything that arrived while its last commit ran with one sync to the
//! disk. This room knows SQL and nothing else.
//!
//! Verbs are written once for both backends, as functions of a [`session`]. Those on the way of a
//! message ([`Store::accept`], [`Store::record`], [`Store::claim`], [`Store::load`],
//! [`Store::receive`], [`Store::report`]) are native.
//!
//! The verbs that write ([`Store::accept`], [`Store::record`]) take effect in the order of the
//! calls, also before the futures they return are awaited; each future is ready when its batch is
//! durable. No reader sees an event before that.
//!
//! A value that the database does not take (too large, no text, against a rule of the schema)
//! harms only the submission or the record that brought it: see [`Verdict::Rejected`]. A group
//! that fails for that is applied again part by part, each part in a savepoint of its own.

mod agent_events;
mod backlog;
mod codes;
mod engine;
mod error;
mod events;
mod filter;
mod frames;
mod logged;
mod messages;
mod packed;
mod page;
mod receipts;
mod received;
mod replicas;
mod retention;
mod session;
#[cfg(test)]
pub(crate) mod suite;
mod tail;
mod webhooks;

pub mod postgres;
pub mod sqlite;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::message::{
    Event, FrameRecord, Message, MessageId, OnUnknown, Priority, Receipt, Received, Status,
    Timestamp,
};
pub use error::StoreError;
pub use filter::{Accounts, EventFilter, MessageFilter};
pub use logged::{Bounds, Events, Logged};
pub use page::PageSize;
pub use receipts::{MAX_RECIPIENTS, ReceiptTimes, Reported};
pub use received::{Arrived, ReceivedFilter, ReceivedOrigin, ReceivedPage};
pub use replicas::{AgentLease, Holder, ReplicaStore, SharedAgents, Stranded};
pub use tail::TailSize;
pub use webhooks::{
    Attempt, Attempted, Change, Deliveries, Delivery, DeliveryFilter, DeliveryKey, DeliveryState,
    Disabled, DisabledBecause, Due, DueDelivery, Endpoint, EndpointPage, Endpoints, Fate,
    MAX_ATTEMPTS_KEPT, NewDelivery, Plan, QueueHead, Recovery, RecoveryStep, Settled,
    WebhookHealth, WebhookStore,
};

/// The answer to a verb; ready when it is durable, for verbs that write.
pub type Reply<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// What a store does. Chosen once, by the composition root.
pub trait Store: LogStore + WebhookStore + ReplicaStore + Send + Sync + 'static {
    /// Takes messages in, all of a submission or none, and keeps them for this replica to send.
    /// One verdict for each submission, in their order.
    fn accept(&self, submissions: Vec<Submission>) -> Reply<Vec<Verdict>>;

    /// Appends events to the log and moves their messages on, in one transaction with what
    /// follows from it. One answer for each record, in their order. Shared, so that a caller can
    /// try the same records again without having copied them. Of messages that this replica
    /// neither took in nor claimed nothing is recorded: they are answered as if they had ended.
    fn record(&self, records: Arc<[Record]>) -> Reply<Vec<Recorded>>;

    /// [`Store::accept`] and then [`Store::record`], in one transaction where the backend can: what
    /// is taken in may have its first event at once, and both are durable with one sync. The two
    /// answers can differ all the same; a record of a message that was not accepted is answered
    /// [`Recorded::Ended`].
    fn accept_and_record(
        &self,
        submissions: Vec<Submission>,
        records: Arc<[Record]>,
    ) -> (Reply<Vec<Verdict>>, Reply<Vec<Recorded>>) {
        (self.accept(submissions), self.record(records))
    }

    /// Takes in messages that came in. Each is taken in once for its key (account, Call-ID, CSeq
    /// number and From tag) within a day, at whichever replica and across restarts. One answer for
    /// each, in their order. May be called again with the same messages, should it fail.
    fn receive(&self, received: Vec<Received>) -> Reply<Vec<Arrived>>;

    /// Appends receipts to the log and to the events of their messages, before or after the
    /// terminal event; where a message stands does not change. Each kind is reported once for a
    /// recipient of a message, for [`MAX_RECIPIENTS`] recipients at most, and only if the message
    /// is one that this account sent. One answer for each, in their order.
    fn report(&self, receipts: Vec<Receipt>) -> Reply<Vec<Reported>>;

    /// Appends events of agents, in their order.
    fn append_agent_events(&self, events: Vec<Event>) -> Reply<()>;

    /// Erases the content of a received message: in its event, which stays as a tombstone, in the
    /// newest events in memory, and in deliveries, whether they were posted or not. Whether there
    /// was something to erase. Other replicas show the tombstone within a second.
    fn erase(&self, id: MessageId) -> Reply<bool>;

    /// Takes up to `limit` messages that have not ended and that no replica holds: those of before
    /// a restart, and those of replicas that are gone. Oldest first; none is handed out twice.
    fn claim(&self, limit: usize) -> Reply<Vec<Claimed>>;

    /// Reads messages for sending; those that are gone are left out.
    fn load(&self, ids: Vec<MessageId>) -> Reply<Vec<Arc<Message>>>;

    /// Whether a write would go through now.
    fn check(&self) -> Reply<()>;

    /// Ends the store: everything handed over before is durable when this is ready.
    fn close(&self) -> Reply<()>;
}

/// Reading messages and the log of their events, and removing old ones.
pub trait LogStore {
    /// The number that names this log: another store, another epoch.
    fn epoch(&self) -> u64;

    /// One message and how it stands.
    fn message(&self, id: MessageId) -> Reply<Option<Stored>>;

    /// Messages, newest first, strictly older than `before`. Looks at a bounded number of rows, and
    /// what it gives has a bounded size, so a page can be shorter than `limit` although more
    /// follow: `next` says.
    fn messages(
        &self,
        filter: MessageFilter,
        before: Option<MessageId>,
        limit: usize,
    ) -> Reply<Messages>;

    /// The log strictly after `after`, oldest first, what the filter lets pass. Looks at a bounded
    /// number of rows: `scanned_to` says how far, and is where to go on.
    fn events(&self, after: u64, filter: EventFilter, size: PageSize) -> Reply<Events>;

    /// The log strictly before `before`, newest first, what the filter lets pass. Looks at a
    /// bounded number of rows: `scanned_to` says how far back, and is where to go on; 0 at the
    /// beginning.
    fn events_before(&self, before: u64, filter: EventFilter, size: PageSize) -> Reply<Events>;

    /// The events of one message strictly after `after`, oldest first. `is_cut` says whether more
    /// of them follow.
    fn events_of(&self, id: MessageId, after: u64, size: PageSize) -> Reply<Events>;

    /// How far the log reaches.
    fn bounds(&self) -> Reply<Bounds>;

    /// The number of the last durable event, renewed at each commit. A hint to read the log, not
    /// a delivery of it.
    fn committed(&self) -> watch::Receiver<u64>;

    /// Removes up to `limit` messages that ended before `before`, with their events, oldest first.
    /// Only those whose end was planned: see [`WebhookStore::plan`].
    fn purge(&self, before: Timestamp, limit: usize) -> Reply<RetentionStep>;

    /// Drops the bodies of up to `limit` messages that have ended.
    fn discard_bodies(&self, limit: usize) -> Reply<RetentionStep>;

    /// Forgets idempotency keys from before this time; how many there were.
    fn forget_keys(&self, before: Timestamp, limit: usize) -> Reply<usize>;

    /// The first receipt of each of these messages that says `delivered` or `displayed` and comes
    /// from the user whom the message is addressed to: what settles an unknown outcome. Its number
    /// in the log. Messages without one are left out.
    fn settling_receipts(&self, ids: Vec<MessageId>) -> Reply<Vec<(MessageId, u64)>>;

    /// Received messages, newest first, strictly older than `before`. Looks at a bounded number of
    /// rows, and what it gives has a bounded size, as for [`LogStore::messages`].
    fn received(
        &self,
        filter: ReceivedFilter,
        before: Option<MessageId>,
        limit: usize,
    ) -> Reply<ReceivedPage>;

    /// The event of a received message; `None` when it is unknown, or was erased.
    fn received_message(&self, id: MessageId) -> Reply<Option<Logged>>;

    /// Where each of these received messages came from, for replies. Left out are those that are
    /// unknown, or were erased.
    fn origins(&self, ids: Vec<MessageId>) -> Reply<Vec<ReceivedOrigin>>;

    /// Removes up to `limit` messages that were received before `before`, oldest first, with their
    /// events; how many there were. Only those that were planned: see [`WebhookStore::plan`].
    fn purge_received(&self, before: Timestamp, limit: usize) -> Reply<usize>;

    /// Removes up to `limit` events of agents from before this time, oldest first; how many there
    /// were. Only those that were planned: see [`WebhookStore::plan`].
    fn purge_agent_events(&self, before: Timestamp, limit: usize) -> Reply<usize>;

    /// Forgets keys of messages that were received before this time, which may be taken in again
    /// then; how many there were. A key outlasts its message.
    fn forget_received_keys(&self, before: Timestamp, limit: usize) -> Reply<usize>;

    /// Keeps frames of messages, and of what came in and was not erased. Refused before everything
    /// else when too much waits. May be called again with the same records, should it fail.
    fn keep_frames(&self, records: Vec<FrameRecord>, now: Timestamp) -> Reply<()>;

    /// What was kept of this message.
    fn frames(&self, message: MessageId) -> Reply<Vec<FrameRecord>>;

    /// Removes up to `limit` records that were kept before this time; how many there were. They are
    /// removed with their message, too.
    fn forget_frames(&self, before: Timestamp, limit: usize) -> Reply<usize>;
}

/// Sees every commit. Called by the thread that writes, so it must not block.
pub trait Observer: Send + Sync {
    /// A transaction with this many rows took so long, its sync included.
    fn committed(&self, took: Duration, rows: usize);

    fn failed(&self, _error: &StoreError) {}
}

impl Observer for () {
    fn committed(&self, _took: Duration, _rows: usize) {}
}

/// Messages of one HTTP request, to be taken in together.
#[derive(Clone, Debug)]
pub struct Submission {
    /// At least one.
    pub messages: Vec<Arc<Message>>,
    /// What makes a repeated request the same request.
    pub key: Option<IdempotencyKey>,
}

/// A client's `Idempotency-Key`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct IdempotencyKey {
    /// Whose key it is: the name of the token, empty without one.
    pub owner: Arc<str>,
    /// The client's own words, 1 to 255 characters.
    pub key: Arc<str>,
    /// SHA-256 of the request's body: another body is another request.
    pub fingerprint: [u8; 32],
}

/// A step along the log, which looks at a bounded number of its events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RetentionStep {
    /// Messages it was for; none where it met no end of one.
    pub messages: usize,
    /// Whether the next step has something to look at. False when nothing old is left.
    pub has_more: bool,
}

/// What became of a submission.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    Accepted,
    /// Durable. These of its messages are not this replica's to send now: another one is sending to
    /// their targets, or has the account they need; or this one has yet to claim what came before.
    Elsewhere(Vec<MessageId>),
    /// The key was used with this very body before: those messages, in their order.
    Replayed(Vec<MessageId>),
    /// The key was used with another body before.
    KeyReused,
    /// Not taken in: the database does not take a value of it, and this is what it says.
    Rejected(String),
}

/// An event to append, and where its message stands after it.
#[derive(Clone, Debug)]
pub struct Record {
    pub event: Event,
    /// [`Status::Sending`] after `sending`, [`Status::Queued`] after `deferred`, else final.
    pub status: Status,
    /// When the next attempt begins, after `deferred`.
    pub not_before: Option<Timestamp>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recorded {
    /// It is in the log, under this number.
    Appended(u64),
    /// The message had ended, or is gone, or is another replica's; nothing was appended.
    Ended,
    /// The database does not take a value of it; nothing was appended, and never will be.
    Rejected,
}

/// A message taken over: as much of it as deciding when to send it needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claimed {
    pub id: MessageId,
    /// Its lane.
    pub uri: Arc<str>,
    /// The account that must send it.
    pub account: Option<Arc<str>>,
    /// Scheduled, queued or sending.
    pub status: Status,
    /// Attempts begun.
    pub attempt: u32,
    /// Attempts allowed.
    pub attempts: u32,
    /// What to do about unknown outcomes.
    pub on_unknown: OnUnknown,
    /// `sendAt`, or when the next attempt begins.
    pub not_before: Option<Timestamp>,
    /// When its time is over.
    pub expires_at: Timestamp,
    /// Its class.
    pub priority: Priority,
}

/// A message and how it stands.
#[derive(Clone, Debug)]
pub struct Stored {
    /// As it was accepted. The body is empty when it was discarded.
    pub message: Arc<Message>,
    /// The account that sent it last; before its first attempt the one that must.
    pub account: Option<Arc<str>>,
    pub status: Status,
    /// Attempts begun.
    pub attempt: u32,
    pub completed_at: Option<Timestamp>,
    /// When the next attempt begins, when one was deferred.
    pub not_before: Option<Timestamp>,
    pub result: Option<Logged>,
    /// When receipts came for it.
    pub receipts: ReceiptTimes,
}

impl Stored {
    /// How much it is on a page: no less than its JSON.
    pub(in crate::store) fn weight(&self) -> usize {
        /// What its JSON has besides texts: the names of its members, times and numbers.
        const FRAME: usize = 1_024;
        FRAME + self.message.weight() + self.result.as_ref().map_or(0, Logged::weight)
    }
}

/// A page of messages.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// Newest first.
    pub messages: Vec<Stored>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<MessageId>,
}
