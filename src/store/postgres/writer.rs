//! The one session that takes messages in and appends to the log.
//!
//! It takes everything that arrived while the last transaction ran and writes it in one: a group
//! commit. Only when that is durable are the events published and the callers answered. A group
//! that fails leaves no trace. When the connection breaks during a commit its fate is unknown: then
//! the database is asked, as soon as it is back, before any caller is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::connection::{Connection, Connector};
use super::follow::PublishedLog;
use super::group::{Answer, Group, GroupResult, Order};
use super::transaction::{GroupWriter, WriteFailure};
use super::turn::{Fate, WriteTurn};
use super::writes::InDoubt;
use super::{Observer, error};
use crate::clock;
use crate::store::backlog::{Backlog, Urgency, Weight};
use crate::store::{Reply, StoreError};

/// How long a database that cannot be reached is left alone; calls fail at once meanwhile.
const PAUSE: Duration = Duration::from_millis(250);
/// How often a group is tried when other transactions are in its way.
const TRIES: u32 = 5;
/// How long a replica that has lost its lease waits until the others know of it again.
const JOINING: Duration = Duration::from_secs(5);
/// How long a commit of unknown fate is asked about.
const IN_DOUBT: Duration = Duration::from_secs(600);

/// The way in to the writer.
pub(super) struct PostgresWriter {
    orders: mpsc::UnboundedSender<Vec<(Weight, Order)>>,
    backlog: Arc<Backlog>,
}

/// What the writer works with.
pub(super) struct WriterParts {
    pub(super) connector: Connector,
    pub(super) connection: Connection,
    pub(super) group_writer: GroupWriter,
    pub(super) published: Arc<PublishedLog>,
    pub(super) observer: Arc<dyn Observer>,
}

impl PostgresWriter {
    /// Starts the task that writes.
    pub(super) fn start(parts: WriterParts) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let backlog = Arc::new(Backlog::default());
        let task = WriterTask {
            connection: Some(Arc::new(parts.connection)),
            connector: parts.connector,
            group_writer: parts.group_writer,
            published: parts.published,
            observer: parts.observer,
            inbox,
            backlog: backlog.clone(),
            down_until: clock::now(),
            held: None,
            closing: None,
        };
        tokio::spawn(task.run());
        Self { orders, backlog }
    }

    /// Makes an order ready; `None`, and an answer that says so, when too much waits already.
    pub(super) fn prepare<T: Send + 'static>(
        &self,
        urgency: Urgency,
        weight: Weight,
        order: impl FnOnce(Answer<T>) -> Order,
    ) -> (Option<(Weight, Order)>, Reply<T>) {
        if !self.backlog.admit(urgency, weight) {
            return (None, Box::pin(async { Err(StoreError::Overloaded) }));
        }
        let (answer, answered) = oneshot::channel();
        let reply = async move { answered.await.unwrap_or(Err(StoreError::Closed)) };
        (Some((weight, order(answer))), Box::pin(reply))
    }

    /// Hands over orders, now: they take effect in the order of the calls.
    pub(super) fn order(&self, orders: Vec<(Weight, Order)>) {
        // A task that has ended drops them, and with them the senders that are waited for.
        let _ = self.orders.send(orders);
    }

    /// Hands over a verb with a transaction of its own.
    pub(super) fn submit_alone<T, F>(
        &self,
        urgency: Urgency,
        weight: Weight,
        verb: impl Fn(Arc<Connection>) -> F + Send + 'static,
    ) -> Reply<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.submit(urgency, weight, |answer| Order::alone(verb, answer))
    }

    /// Both in one.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        urgency: Urgency,
        weight: Weight,
        order: impl FnOnce(Answer<T>) -> Order,
    ) -> Reply<T> {
        let (order, reply) = self.prepare(urgency, weight, order);
        self.order(order.into_iter().collect());
        reply
    }
}

struct WriterTask {
    connector: Connector,
    connection: Option<Arc<Connection>>,
    group_writer: GroupWriter,
    published: Arc<PublishedLog>,
    observer: Arc<dyn Observer>,
    inbox: mpsc::UnboundedReceiver<Vec<(Weight, Order)>>,
    backlog: Arc<Backlog>,
    down_until: Instant,
    /// What must not be in the same transaction as what came before it.
    held: Option<Vec<(Weight, Order)>>,
    /// The caller that closes the store, while the fate of a transaction is unknown.
    closing: Option<Answer<()>>,
}

impl WriterTask {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let (group, closing) = self.gather(first);
            if !group.is_empty() {
                self.write(group).await;
            }
            if let Some(answer) = closing.or_else(|| self.closing.take()) {
                return self.close(answer).await;
            }
        }
    }

    async fn next(&mut self) -> Option<Vec<(Weight, Order)>> {
        match self.held.take() {
            Some(held) => Some(held),
            None => self.inbox.recv().await,
        }
    }

    /// Takes the orders that wait, up to a bound.
    fn gather(&mut self, first: Vec<(Weight, Order)>) -> (Group, Option<Answer<()>>) {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(orders) = next {
            let is_alone = orders.iter().any(|(_, order)| order.is_alone());
            if is_alone && !group.is_empty() {
                self.held = Some(orders);
                return (group, None);
            }
            for (weight, order) in orders {
                self.backlog.leave(weight);
                if let Some(closing) = group.add(weight, order) {
                    return (group, Some(closing));
                }
            }
            next = if is_alone || group.is_full() {
                None
            } else {
                self.inbox.try_recv().ok()
            };
        }
        (group, None)
    }

    /// Writes a group; order by order when one of several may be to blame for its failure.
    async fn write(&mut self, mut group: Group) {
        let begun = clock::now();
        let rows = group.rows();
        match self.attempt(&mut group).await {
            Ok(done) => {
                self.observer
                    .committed(clock::now().saturating_duration_since(begun), rows);
                self.finish(group, done);
            }
            Err(error) if error::is_of_an_order(&error) && group.len() > 1 => {
                for mut one in group.split() {
                    match self.attempt(&mut one).await {
                        Ok(done) => self.finish(one, done),
                        Err(error) => self.refuse(one, &error),
                    }
                }
            }
            Err(error) => self.refuse(group, &error),
        }
    }

    fn finish(&self, group: Group, mut done: GroupResult) {
        self.published.own(std::mem::take(&mut done.events));
        group.answer(done);
    }

    fn refuse(&self, group: Group, error: &StoreError) {
        self.observer.failed(error);
        group.refuse(error);
    }

    async fn attempt(&mut self, group: &mut Group) -> Result<GroupResult, StoreError> {
        let mut is_apart = false;
        for _ in 0..TRIES {
            let connection = self.connected().await?;
            let lease = &self.group_writer.lease;
            if !lease.is_valid() {
                lease.renew(&connection).await?;
            }
            lease.join(&connection, Some(JOINING)).await?;
            // Whatever this transaction appends comes after it.
            let after = self.published.tail.bounds().last;
            let written = if is_apart {
                self.group_writer.write_apart(&connection, group).await
            } else {
                self.group_writer.write(&connection, group).await
            };
            match written {
                Ok(done) => {
                    self.connection = Some(connection);
                    return Ok(done);
                }
                Err(WriteFailure::Raced | WriteFailure::Refused(StoreError::Locked(_))) => {
                    connection.client().batch_execute("ROLLBACK").await?;
                    self.connection = Some(connection);
                }
                // The renewal tells which others there are, and when they have taken over what this
                // replica held it goes on under another number.
                Err(WriteFailure::Outdated) => {
                    connection.client().batch_execute("ROLLBACK").await?;
                    self.group_writer.lease.renew(&connection).await?;
                    self.connection = Some(connection);
                }
                // Part by part: then it harms only what brought it.
                Err(WriteFailure::Refused(StoreError::Rejected(_)))
                    if !is_apart && group.has_parts() =>
                {
                    connection.client().batch_execute("ROLLBACK").await?;
                    self.connection = Some(connection);
                    is_apart = true;
                }
                Err(WriteFailure::Refused(error)) => {
                    // A session that cannot even go back is not used again.
                    if connection.client().batch_execute("ROLLBACK").await.is_ok() {
                        self.connection = Some(connection);
                    }
                    return Err(error);
                }
                Err(WriteFailure::InDoubt(doubt)) => return self.settle(doubt, after).await,
            }
        }
        Err(StoreError::Away(
            "other transactions are always in the way".to_owned(),
        ))
    }

    async fn connected(&mut self) -> Result<Arc<Connection>, StoreError> {
        if let Some(connection) = self.connection.take()
            && !connection.is_closed()
        {
            return Ok(connection);
        }
        if clock::now() < self.down_until {
            return Err(StoreError::Away(
                "the database cannot be reached".to_owned(),
            ));
        }
        let connected = self.connector.connect(None).await;
        if connected.is_err() {
            self.down_until = clock::now() + PAUSE;
        }
        connected.map(Arc::new)
    }

    /// What a transaction of unknown fate has done, which appended `after` this event.
    async fn settle(&mut self, doubt: Box<InDoubt>, after: u64) -> Result<GroupResult, StoreError> {
        let InDoubt {
            turn,
            error,
            is_unplaced,
            mut done,
        } = *doubt;
        let events = if is_unplaced { done.events.len() } else { 0 };
        match self.fate(turn, after).await {
            Some(Fate::Committed(_)) if events == 0 => Ok(done),
            Some(Fate::Committed(Some(base))) => {
                done.place(self.group_writer.epoch, base);
                Ok(done)
            }
            Some(Fate::Committed(None) | Fate::NotCommitted) | None => Err(error),
        }
    }

    /// Asks for the fate of a transaction. `None` when the database could not be asked for too
    /// long, or not once while the store is being closed. Verbs that arrive meanwhile fail: the
    /// database is away.
    async fn fate(&mut self, turn: WriteTurn, after: u64) -> Option<Fate> {
        let give_up = clock::now() + IN_DOUBT;
        while clock::now() < give_up {
            let asked = async {
                let connection = self.connector.connect(None).await?;
                let fate = turn.fate(&connection, after).await?;
                Ok::<_, StoreError>((connection, fate))
            };
            let pause = tokio::time::sleep(PAUSE);
            tokio::pin!(asked);
            let asked = loop {
                tokio::select! {
                    asked = &mut asked => break asked,
                    Some(orders) = self.inbox.recv() => {
                        let closing = refuse_all(&self.backlog, orders);
                        self.closing = closing.or_else(|| self.closing.take());
                    }
                }
            };
            match asked {
                Ok((connection, fate)) => {
                    self.connection = Some(Arc::new(connection));
                    return Some(fate);
                }
                Err(_) if self.closing.is_some() => return None,
                Err(_) => pause.await,
            }
        }
        None
    }

    async fn close(mut self, answer: Answer<()>) {
        let left = match self.connected().await {
            Ok(connection) => self.group_writer.lease.leave(&connection).await,
            Err(error) => Err(error),
        };
        // Dropped first: what waits behind is refused.
        drop(self);
        let _ = answer.send(left);
    }
}

/// Refuses what was ordered, except to end.
fn refuse_all(backlog: &Backlog, orders: Vec<(Weight, Order)>) -> Option<Answer<()>> {
    let mut group = Group::default();
    let mut closing = None;
    for (weight, order) in orders {
        backlog.leave(weight);
        closing = group.add(weight, order).or(closing);
    }
    group.refuse(&StoreError::Away("the database is away".to_owned()));
    closing
}
