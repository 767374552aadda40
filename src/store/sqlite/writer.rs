//! The one thread that writes.
//!
//! It takes everything that arrived while the last commit ran, applies it in one transaction and
//! commits that with one sync to the disk: a group commit. Only then are the events published and
//! the callers answered. A group that fails is rolled back and leaves no trace, also when the cause
//! is the disk: the next group tries again, so the store recovers as soon as the disk does.
//!
//! A verb is a function from a [`WriteTransaction`] to its answer. A new one changes nothing here.

use std::sync::{Arc, mpsc};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Observer;
use super::checkpoints::Checkpoints;
use super::lock::ProcessLock;
use super::transaction::{Positions, WriteTransaction};
use crate::clock;
use crate::store::backlog::Backlog;
pub(super) use crate::store::backlog::{Urgency, Weight};
use crate::store::tail::Tail;
use crate::store::{Reply, StoreError, engine};

/// The way in to the writer.
pub(super) struct SqliteWriter {
    orders: mpsc::Sender<WriterOrder>,
    backlog: Arc<Backlog>,
}

/// The largest group, so that no caller waits for long behind a full queue.
const MAX_GROUP: Weight = Weight {
    rows: 8_192,
    bytes: 8 * 1024 * 1024,
};

enum WriterOrder {
    /// To be applied in one transaction, in this order.
    Verbs(Vec<Weighed>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// A verb on its way to the thread.
pub(super) struct Weighed {
    weight: Weight,
    work: Box<dyn VerbWork>,
}

/// What a verb does in a transaction; a second time, apart, when the first one is rejected.
pub(super) trait Verb<Output>:
    Fn(&mut WriteTransaction<'_>) -> Result<Output, StoreError> + Send + 'static
{
}

impl<Output, V> Verb<Output> for V where
    V: Fn(&mut WriteTransaction<'_>) -> Result<Output, StoreError> + Send + 'static
{
}

/// A verb to be applied in a transaction, and answered after its commit.
trait VerbWork: Send {
    fn apply(&mut self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct AnsweredVerb<V, Output> {
    verb: V,
    output: Option<Output>,
    waiting: oneshot::Sender<Result<Output, StoreError>>,
}

impl<V: Verb<Output>, Output: Send> VerbWork for AnsweredVerb<V, Output> {
    fn apply(&mut self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        self.output = Some((self.verb)(transaction)?);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        engine::answer(self.waiting, self.output, committed);
    }
}

impl SqliteWriter {
    /// Starts the thread. It owns the connection and the lock until it is closed or dropped.
    pub(super) fn start(
        connection: Connection,
        lock: ProcessLock,
        epoch: u64,
        positions: Positions,
        tail: Arc<Tail>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, StoreError> {
        let (orders, inbox) = mpsc::channel();
        let backlog = Arc::new(Backlog::default());
        let checkpoints = Checkpoints::start(&connection)?;
        let thread = Thread {
            connection,
            checkpoints,
            lock,
            inbox,
            backlog: backlog.clone(),
            epoch,
            positions,
            tail,
            observer,
        };
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| StoreError::Away(error.to_string()))?;
        Ok(Self { orders, backlog })
    }

    /// Hands over a verb, now: verbs take effect in the order of the calls.
    pub(super) fn submit<Output: Send + 'static>(
        &self,
        urgency: Urgency,
        weight: Weight,
        verb: impl Verb<Output>,
    ) -> Reply<Output> {
        let (work, answer) = self.prepare(urgency, weight, verb);
        self.order(work.into_iter().collect());
        answer
    }

    /// A verb for [`Self::order`], and its answer; no verb, and a refusal, when too much waits.
    pub(super) fn prepare<Output: Send + 'static>(
        &self,
        urgency: Urgency,
        weight: Weight,
        verb: impl Verb<Output>,
    ) -> (Option<Weighed>, Reply<Output>) {
        if !self.backlog.admit(urgency, weight) {
            return (None, Box::pin(async { Err(StoreError::Overloaded) }));
        }
        let (waiting, answer) = oneshot::channel();
        let task = AnsweredVerb {
            verb,
            output: None,
            waiting,
        };
        let work = Box::new(task);
        (Some(Weighed { weight, work }), reply(answer))
    }

    /// Hands over verbs, now, to be applied in one transaction.
    pub(super) fn order(&self, works: Vec<Weighed>) {
        if !works.is_empty() {
            // A thread that has ended drops the order, and with it the senders that are waited for.
            let _ = self.orders.send(WriterOrder::Verbs(works));
        }
    }

    /// Ends the thread after everything that was handed over before.
    pub(super) fn close(&self) -> Reply<()> {
        let (waiting, answer) = oneshot::channel();
        let _ = self.orders.send(WriterOrder::Close(waiting));
        reply(answer)
    }
}

fn reply<T: Send + 'static>(answer: oneshot::Receiver<Result<T, StoreError>>) -> Reply<T> {
    Box::pin(async move { answer.await.unwrap_or(Err(StoreError::Closed)) })
}

struct Thread {
    connection: Connection,
    checkpoints: Checkpoints,
    lock: ProcessLock,
    inbox: mpsc::Receiver<WriterOrder>,
    backlog: Arc<Backlog>,
    epoch: u64,
    positions: Positions,
    tail: Arc<Tail>,
    observer: Arc<dyn Observer>,
}

type Group = Vec<GroupedVerb>;

/// A verb of a group.
struct GroupedVerb {
    weight: Weight,
    work: Box<dyn VerbWork>,
    /// What follows was ordered apart from it.
    ends_order: bool,
    /// Why the database does not take it.
    rejection: Option<String>,
}

impl GroupedVerb {
    fn apply(&mut self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        self.rejection = transaction
            .part(|transaction| self.work.apply(transaction))?
            .err();
        if self.ends_order {
            transaction.settle()?;
        }
        Ok(())
    }

    fn answer(self) {
        self.work.answer(match self.rejection {
            None => Ok(()),
            Some(text) => Err(StoreError::Rejected(text)),
        });
    }
}

impl Thread {
    fn run(mut self) {
        while let Ok(first) = self.inbox.recv() {
            let (group, weight, closing) = self.gather(first);
            if !group.is_empty() {
                self.commit(group, weight);
            }
            if let Some(waiting) = closing {
                return self.close(waiting);
            }
        }
        self.checkpoints.close();
    }

    /// Takes the orders that wait, up to a bound.
    fn gather(
        &self,
        first: WriterOrder,
    ) -> (
        Group,
        Weight,
        Option<oneshot::Sender<Result<(), StoreError>>>,
    ) {
        let mut group = Group::new();
        let mut total = Weight::default();
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                WriterOrder::Close(waiting) => return (group, total, Some(waiting)),
                WriterOrder::Verbs(works) => {
                    for Weighed { weight, work } in works {
                        self.backlog.leave(weight);
                        total.rows += weight.rows;
                        total.bytes += weight.bytes;
                        group.push(GroupedVerb {
                            weight,
                            work,
                            ends_order: false,
                            rejection: None,
                        });
                    }
                    if let Some(last) = group.last_mut() {
                        last.ends_order = true;
                    }
                }
            }
            let has_room = total.rows < MAX_GROUP.rows && total.bytes < MAX_GROUP.bytes;
            next = has_room.then(|| self.inbox.try_recv().ok()).flatten();
        }
        (group, total, None)
    }

    fn commit(&mut self, mut group: Group, weight: Weight) {
        let began = clock::now();
        let mut committed = self.attempt(&mut group, false);
        // Part by part: then it harms only what brought it.
        if matches!(committed, Err(StoreError::Rejected(_))) {
            committed = self.attempt(&mut group, true);
        }
        match committed {
            Ok(()) => {
                let took = clock::now().saturating_duration_since(began);
                self.observer.committed(took, weight.rows);
                group.into_iter().for_each(GroupedVerb::answer);
                self.checkpoints.after_commit(&self.connection, weight);
            }
            // One of them may be to blame: alone, it does not take the others with it.
            Err(StoreError::Damaged(_)) if group.len() > 1 => {
                for step in group {
                    let alone = GroupedVerb {
                        ends_order: true,
                        ..step
                    };
                    let weight = alone.weight;
                    self.commit(vec![alone], weight);
                }
            }
            Err(error) => {
                self.help(&error);
                self.observer.failed(&error);
                for step in group {
                    step.work.answer(Err(error.clone()));
                }
            }
        }
    }

    /// Does what can make the next group fare better. Whether it helped, that group will tell.
    fn help(&self, error: &StoreError) {
        match error {
            // A checkpoint makes room in the WAL for the next group, and for retention, which
            // alone can make room in the database.
            StoreError::Full(_) => drop(self.connection.pragma_update(
                None,
                "wal_checkpoint",
                "PASSIVE",
            )),
            // Pages that were bad when they were read are read again: they may have been put
            // right meanwhile.
            StoreError::Damaged(_) => drop(self.connection.execute_batch("PRAGMA shrink_memory")),
            StoreError::ReadOnly(_)
            | StoreError::Locked(_)
            | StoreError::Rejected(_)
            | StoreError::Foreign(_)
            | StoreError::Newer { .. }
            | StoreError::Away(_)
            | StoreError::Overloaded
            | StoreError::Closed => {}
        }
    }

    /// Applies a group in one transaction, and publishes its events when it is durable.
    fn attempt(&mut self, group: &mut Group, is_apart: bool) -> Result<(), StoreError> {
        let mut transaction =
            WriteTransaction::new(&self.connection, self.epoch, self.positions, is_apart);
        match transaction.run(|transaction| {
            group
                .iter_mut()
                .try_for_each(|step| step.apply(transaction))
        }) {
            Ok(()) => {
                self.positions = transaction.positions;
                self.tail.publish(transaction.appended);
                for left in transaction.erased {
                    self.tail.erase(left);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn close(self, waiting: oneshot::Sender<Result<(), StoreError>>) {
        self.checkpoints.close();
        // Moves the WAL into the database. When that fails the WAL is still there, and read when
        // the store is opened again.
        let _ = self
            .connection
            .pragma_update(None, "wal_checkpoint", "TRUNCATE");
        drop(self.connection);
        drop(self.lock);
        let _ = waiting.send(Ok(()));
    }
}
