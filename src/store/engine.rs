//! How a backend runs the verbs that are written once for both.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use super::backlog::{Urgency, Weight};
use super::session::Session;
use super::tail::Tail;
use super::{
    Bounds, EventFilter, Events, LogStore, Logged, MessageFilter, Messages, PageSize,
    ReceivedFilter, ReceivedOrigin, ReceivedPage, Reply, RetentionStep, StoreError, Stored,
    agent_events, events, frames, messages, receipts, received, retention,
};
use crate::message::{FrameRecord, MessageId, Timestamp};

/// What a verb reads. Look-ups wait behind nothing that takes long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::store) enum ReadKind {
    /// One thing, or a few.
    LookUp,
    /// A page, which may hold much.
    List,
    /// What may look at much and find little.
    Scan,
}

impl ReadKind {
    /// A page, which is a scan when its filter holds most back.
    pub(in crate::store) fn of_list(is_scan: bool) -> Self {
        if is_scan { Self::Scan } else { Self::List }
    }

    /// A page of this size.
    fn of_size(size: PageSize) -> Self {
        if size.is_list() {
            Self::List
        } else {
            Self::LookUp
        }
    }
}

/// A backend. A verb is a function of a [`Session`], run on a thread that may block.
pub(in crate::store) trait Engine {
    /// The newest part of the log.
    fn tail(&self) -> &Arc<Tail>;

    /// Runs a verb that only reads, on connections that reads of other kinds do not use.
    fn read_as<T: Send + 'static>(
        &self,
        kind: ReadKind,
        verb: impl FnOnce(&dyn Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T>;

    /// Runs a verb that looks something up.
    fn read<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&dyn Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        self.read_as(ReadKind::LookUp, verb)
    }

    /// Runs a verb that writes, in one transaction. When the database rejects a value it is run a
    /// second time, [apart](Session::is_apart).
    fn write<T: Send + 'static>(
        &self,
        urgency: Urgency,
        weight: Weight,
        verb: impl Fn(&dyn Session) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Reply<T>;

    /// The same for a verb that takes effect between those that were called before and after it:
    /// it reads how far the log reaches.
    fn write_in_order<T: Send + 'static>(
        &self,
        urgency: Urgency,
        weight: Weight,
        verb: impl Fn(&dyn Session) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Reply<T> {
        self.write(urgency, weight, verb)
    }
}

/// Answers the caller of a verb, after its commit. The caller may be gone; the verb is done all the
/// same.
pub(in crate::store) fn answer<T>(
    waiting: oneshot::Sender<Result<T, StoreError>>,
    output: Option<T>,
    committed: Result<(), StoreError>,
) {
    match (committed, output) {
        (Ok(()), Some(output)) => drop(waiting.send(Ok(output))),
        (Err(error), _) => drop(waiting.send(Err(error))),
        // Never applied, so no caller may take it for done.
        (Ok(()), None) => {}
    }
}

impl<E: Engine> LogStore for E {
    fn epoch(&self) -> u64 {
        self.tail().epoch()
    }

    fn message(&self, id: MessageId) -> Reply<Option<Stored>> {
        let epoch = self.epoch();
        self.read(move |session| messages::stored(session, epoch, id))
    }

    fn messages(
        &self,
        filter: MessageFilter,
        before: Option<MessageId>,
        limit: usize,
    ) -> Reply<Messages> {
        let epoch = self.epoch();
        self.read_as(ReadKind::of_list(filter.is_scan()), move |session| {
            messages::messages(session, epoch, &filter, before, limit)
        })
    }

    fn events(&self, after: u64, filter: EventFilter, size: PageSize) -> Reply<Events> {
        let tail = self.tail().clone();
        if let Some(page) = tail.after(after, &filter, size) {
            return Box::pin(async { Ok(page) });
        }
        let kind = if filter.is_scan() {
            ReadKind::Scan
        } else {
            ReadKind::of_size(size)
        };
        self.read_as(kind, move |session| {
            let last = tail.bounds().last;
            let page = events::events(session, tail.epoch(), after, last, &filter, size)?;
            // After the look, so that no reader takes what was removed meanwhile for never there.
            tail.forget(session.fact("forgotten_to")?);
            Ok(page)
        })
    }

    fn events_before(&self, before: u64, filter: EventFilter, size: PageSize) -> Reply<Events> {
        // A reader that begins at the end must not be shown what readers forward cannot see yet.
        let before = before.min(self.tail().bounds().last.saturating_add(1));
        let epoch = self.epoch();
        let is_scan = filter.is_scan() || filter.message_id.is_some();
        self.read_as(ReadKind::of_list(is_scan), move |session| {
            events::events_before(session, epoch, before, &filter, size)
        })
    }

    fn events_of(&self, id: MessageId, after: u64, size: PageSize) -> Reply<Events> {
        let epoch = self.epoch();
        self.read_as(ReadKind::of_size(size), move |session| {
            events::events_of(session, epoch, id, after, size)
        })
    }

    fn bounds(&self) -> Reply<Bounds> {
        let bounds = self.tail().bounds();
        Box::pin(async move { Ok(bounds) })
    }

    fn committed(&self) -> watch::Receiver<u64> {
        self.tail().committed()
    }

    fn purge(&self, before: Timestamp, limit: usize) -> Reply<RetentionStep> {
        let purged = self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            retention::purge(session, before, limit)
        });
        forgetting(self.tail().clone(), purged)
    }

    fn discard_bodies(&self, limit: usize) -> Reply<RetentionStep> {
        self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            retention::discard_bodies(session, limit)
        })
    }

    fn forget_keys(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            retention::forget_keys(session, "idempotency_keys", before, limit)
        })
    }

    fn settling_receipts(&self, ids: Vec<MessageId>) -> Reply<Vec<(MessageId, u64)>> {
        self.read(move |session| receipts::settling(session, &ids))
    }

    fn received(
        &self,
        filter: ReceivedFilter,
        before: Option<MessageId>,
        limit: usize,
    ) -> Reply<ReceivedPage> {
        let epoch = self.epoch();
        self.read_as(ReadKind::of_list(filter.is_scan()), move |session| {
            received::list(session, epoch, &filter, before, limit)
        })
    }

    fn received_message(&self, id: MessageId) -> Reply<Option<Logged>> {
        let epoch = self.epoch();
        self.read(move |session| received::find(session, epoch, id))
    }

    fn origins(&self, ids: Vec<MessageId>) -> Reply<Vec<ReceivedOrigin>> {
        let epoch = self.epoch();
        self.read(move |session| received::origins(session, epoch, &ids))
    }

    fn purge_received(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        let purged = self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            received::purge(session, before, limit)
        });
        forgetting(self.tail().clone(), purged)
    }

    fn purge_agent_events(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        let purged = self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            agent_events::purge(session, before, limit)
        });
        forgetting(self.tail().clone(), purged)
    }

    fn forget_received_keys(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            retention::forget_keys(session, "received_keys", before, limit)
        })
    }

    fn keep_frames(&self, records: Vec<FrameRecord>, now: Timestamp) -> Reply<()> {
        let weight = Weight::of_frames(&records);
        self.write(Urgency::New, weight, move |session| {
            frames::keep(session, &records, now)
        })
    }

    fn frames(&self, message: MessageId) -> Reply<Vec<FrameRecord>> {
        self.read_as(ReadKind::List, move |session| {
            frames::of_message(session, message)
        })
    }

    fn forget_frames(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.write(Urgency::Ongoing, Weight::of_rows(limit), move |session| {
            frames::forget(session, before, limit)
        })
    }
}

/// What a verb answers that makes holes in the log; the newest events know of them then.
fn forgetting<T: Send + 'static>(tail: Arc<Tail>, purged: Reply<(T, Option<u64>)>) -> Reply<T> {
    Box::pin(async move {
        let (removed, forgotten_to) = purged.await?;
        tail.forget(forgotten_to.unwrap_or_default());
        Ok(removed)
    })
}
