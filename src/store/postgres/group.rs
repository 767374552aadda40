//! The verbs of one transaction, and their answers.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::connection::Connection;
use crate::message::{Event, Receipt, Received};
use crate::store::backlog::Weight;
use crate::store::{
    Arrived, Logged, Record, Recorded, Reported, StoreError, Submission, Verdict, engine,
};

/// Where a caller waits for its answer.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// The input of a verb, and where its caller waits.
type Asked<Input, Output> = (Input, Answer<Output>);

/// A verb on its way to the writer.
pub(super) enum Order {
    /// Many of these are applied by the same few statements.
    Accept(Vec<Submission>, Answer<Vec<Verdict>>),
    /// The same.
    Record(Arc<[Record]>, Answer<Vec<Recorded>>),
    /// The same.
    Receive(Vec<Received>, Answer<Vec<Arrived>>),
    /// The same.
    Report(Vec<Receipt>, Answer<Vec<Reported>>),
    /// Every other verb has a transaction of its own: claims and what takes messages in both lock
    /// lanes, and locks are taken in one order.
    Alone(Box<dyn LoneWork>),
    Close(Answer<()>),
}

/// A verb to be applied in a transaction of its own, and answered after its commit.
pub(super) trait LoneWork: Send {
    fn apply<'w>(&'w mut self, connection: &'w Arc<Connection>) -> Applying<'w>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

type Applying<'w> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'w>>;

struct LoneVerb<V, Output> {
    verb: V,
    output: Option<Output>,
    waiting: Answer<Output>,
}

impl<V, F, Output> LoneWork for LoneVerb<V, Output>
where
    V: Fn(Arc<Connection>) -> F + Send,
    F: Future<Output = Result<Output, StoreError>> + Send + 'static,
    Output: Send,
{
    fn apply<'w>(&'w mut self, connection: &'w Arc<Connection>) -> Applying<'w> {
        let applied = (self.verb)(connection.clone());
        Box::pin(async move {
            self.output = Some(applied.await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        engine::answer(self.waiting, self.output, committed);
    }
}

impl Order {
    /// A verb with a transaction of its own.
    pub(super) fn alone<V, F, Output>(verb: V, waiting: Answer<Output>) -> Self
    where
        V: Fn(Arc<Connection>) -> F + Send + 'static,
        F: Future<Output = Result<Output, StoreError>> + Send + 'static,
        Output: Send + 'static,
    {
        Self::Alone(Box::new(LoneVerb {
            verb,
            output: None,
            waiting,
        }))
    }

    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Self::Alone(_))
    }
}

/// Orders of one transaction: what takes messages in first, then what appends to the log, kind by
/// kind.
#[derive(Default)]
pub(super) struct Group {
    accepts: Vec<Asked<Vec<Submission>, Vec<Verdict>>>,
    records: Vec<Asked<Arc<[Record]>, Vec<Recorded>>>,
    received: Vec<Asked<Vec<Received>, Vec<Arrived>>>,
    receipts: Vec<Asked<Vec<Receipt>, Vec<Reported>>>,
    /// Then nothing else is in it.
    pub(super) alone: Option<Box<dyn LoneWork>>,
    weight: Weight,
    accepted: usize,
}

/// What a transaction took in and recorded, in the order of the group.
#[derive(Debug, Default)]
pub(super) struct GroupResult {
    pub(super) verdicts: VecDeque<Verdict>,
    pub(super) recorded: VecDeque<Recorded>,
    pub(super) arrived: VecDeque<Arrived>,
    pub(super) reported: VecDeque<Reported>,
    /// To be published.
    pub(super) events: Vec<Logged>,
}

impl GroupResult {
    /// Gives its events their numbers, which were counted from 1.
    pub(super) fn place(&mut self, epoch: u64, base: u64) {
        for recorded in &mut self.recorded {
            if let Recorded::Appended(seq) = recorded {
                *seq += base;
            }
        }
        for event in &mut self.events {
            let mut json = Vec::with_capacity(event.json.len());
            Event::write_id(epoch, event.seq, &mut json);
            let members = event.json.get(json.len()..).unwrap_or_default().to_vec();
            event.seq += base;
            json.clear();
            Event::write_id(epoch, event.seq, &mut json);
            json.extend_from_slice(&members);
            event.json = json.into();
        }
    }
}

/// The largest group, so that no caller waits for long behind a full queue.
const MAX_ROWS: usize = 8_192;
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Messages taken in at once, unless one request brings more: each may lock a lane, and locks have
/// their place in the shared memory of the database.
const MAX_ACCEPTED: usize = 500;

impl Group {
    /// Adds an order. Gives back the caller that closes the store: nothing may be added after that.
    pub(super) fn add(&mut self, weight: Weight, order: Order) -> Option<Answer<()>> {
        self.weight.rows += weight.rows;
        self.weight.bytes += weight.bytes;
        match order {
            Order::Accept(submissions, answer) => {
                self.accepted += weight.rows;
                self.accepts.push((submissions, answer));
            }
            Order::Record(records, answer) => self.records.push((records, answer)),
            Order::Receive(received, answer) => self.received.push((received, answer)),
            Order::Report(receipts, answer) => self.receipts.push((receipts, answer)),
            Order::Alone(work) => self.alone = Some(work),
            Order::Close(answer) => return Some(answer),
        }
        None
    }

    pub(super) fn is_full(&self) -> bool {
        self.weight.rows >= MAX_ROWS
            || self.weight.bytes >= MAX_BYTES
            || self.accepted >= MAX_ACCEPTED
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.accepts.len()
            + self.records.len()
            + self.received.len()
            + self.receipts.len()
            + usize::from(self.alone.is_some())
    }

    /// Whether it can be applied part by part.
    pub(super) fn has_parts(&self) -> bool {
        self.alone.is_none()
    }

    pub(super) fn rows(&self) -> usize {
        self.weight.rows
    }

    pub(super) fn submissions(&self) -> Vec<&Submission> {
        self.accepts.iter().flat_map(|(all, _)| all).collect()
    }

    pub(super) fn records(&self) -> Vec<&Record> {
        self.records.iter().flat_map(|(all, _)| &**all).collect()
    }

    pub(super) fn received(&self) -> Vec<&Received> {
        self.received.iter().flat_map(|(all, _)| all).collect()
    }

    pub(super) fn receipts(&self) -> Vec<&Receipt> {
        self.receipts.iter().flat_map(|(all, _)| all).collect()
    }

    /// The same orders, each a group of its own.
    pub(super) fn split(self) -> Vec<Self> {
        let accepts = self.accepts.into_iter().map(|order| Self {
            accepts: vec![order],
            ..Self::default()
        });
        let records = self.records.into_iter().map(|order| Self {
            records: vec![order],
            ..Self::default()
        });
        let received = self.received.into_iter().map(|order| Self {
            received: vec![order],
            ..Self::default()
        });
        let receipts = self.receipts.into_iter().map(|order| Self {
            receipts: vec![order],
            ..Self::default()
        });
        let taken = accepts.chain(records);
        taken.chain(received).chain(receipts).collect()
    }

    /// Answers every order with what was done. A caller may be gone; it was done all the same.
    pub(super) fn answer(self, mut done: GroupResult) {
        for (submissions, answer) in self.accepts {
            let _ = answer.send(Ok(done.verdicts.drain(..submissions.len()).collect()));
        }
        for (records, answer) in self.records {
            let _ = answer.send(Ok(done.recorded.drain(..records.len()).collect()));
        }
        for (received, answer) in self.received {
            let _ = answer.send(Ok(done.arrived.drain(..received.len()).collect()));
        }
        for (receipts, answer) in self.receipts {
            let _ = answer.send(Ok(done.reported.drain(..receipts.len()).collect()));
        }
        if let Some(work) = self.alone {
            work.answer(Ok(()));
        }
    }

    /// Answers every order that nothing was done.
    pub(super) fn refuse(self, error: &StoreError) {
        for (_, answer) in self.accepts {
            let _ = answer.send(Err(error.clone()));
        }
        for (_, answer) in self.records {
            let _ = answer.send(Err(error.clone()));
        }
        for (_, answer) in self.received {
            let _ = answer.send(Err(error.clone()));
        }
        for (_, answer) in self.receipts {
            let _ = answer.send(Err(error.clone()));
        }
        if let Some(work) = self.alone {
            work.answer(Err(error.clone()));
        }
    }
}
