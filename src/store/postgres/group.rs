//! What is written in one transaction, and how those who wait are answered.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::webhooks::{Outcome, Verb};
use crate::store::waiting::Weight;
use crate::store::{Claimed, Logged, Record, Recorded, StoreError, Stranded, Submission, Verdict};

/// Who waits for the answer.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What was asked, and who waits for the answer.
type Asked<Input, Output> = (Input, Answer<Output>);

/// A verb to be applied in a transaction, and answered after its commit.
pub(super) enum Order {
    Accept(Vec<Submission>, Answer<Vec<Verdict>>),
    Record(Arc<[Record]>, Answer<Vec<Recorded>>),
    Claim(usize, Answer<Vec<Claimed>>),
    Check(Answer<()>),
    Endpoint(Box<Verb>),
    HandOver(Vec<Stranded>, Answer<Vec<Arc<str>>>),
    Close(Answer<()>),
}

/// Orders of one transaction: what takes messages in first, then what hands them out, then what
/// appends to the log.
#[derive(Default)]
pub(super) struct Group {
    accepts: Vec<Asked<Vec<Submission>, Vec<Verdict>>>,
    records: Vec<Asked<Arc<[Record]>, Vec<Recorded>>>,
    claims: Vec<Asked<usize, Vec<Claimed>>>,
    checks: Vec<Answer<()>>,
    endpoint: Option<Box<Verb>>,
    stranded: Option<Asked<Vec<Stranded>, Vec<Arc<str>>>>,
    weight: Weight,
    accepted: usize,
}

/// What a transaction found and did, order by order.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) verdicts: VecDeque<Verdict>,
    pub(super) recorded: VecDeque<Recorded>,
    pub(super) claimed: VecDeque<Vec<Claimed>>,
    pub(super) endpoint: Option<Outcome>,
    pub(super) handed_over: Vec<Arc<str>>,
    /// To be shown.
    pub(super) events: Vec<Logged>,
}

impl Order {
    /// Whether it must have a transaction of its own: claims and what takes messages in both lock
    /// lanes, and locks are taken in one order; what an endpoint sees begins at a place in the log.
    pub(super) fn is_alone(&self) -> bool {
        match self {
            Self::Claim(..) | Self::Endpoint(_) | Self::HandOver(..) => true,
            Self::Accept(..) | Self::Record(..) | Self::Check(_) | Self::Close(_) => false,
        }
    }
}

/// What is committed at once at most, so that nobody waits for long behind a full queue.
const MAX_ROWS: usize = 8_192;
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Messages taken in at once, unless one request brings more: each may lock a lane, and locks have
/// their place in the shared memory of the database.
const MAX_ACCEPTED: usize = 500;

impl Group {
    /// Adds an order. Gives back who wants to end it all: nothing may be added after that.
    pub(super) fn add(&mut self, weight: Weight, order: Order) -> Option<Answer<()>> {
        self.weight.rows += weight.rows;
        self.weight.bytes += weight.bytes;
        match order {
            Order::Accept(submissions, answer) => {
                self.accepted += weight.rows;
                self.accepts.push((submissions, answer));
            }
            Order::Record(records, answer) => self.records.push((records, answer)),
            Order::Claim(limit, answer) => self.claims.push((limit, answer)),
            Order::Check(answer) => self.checks.push(answer),
            Order::Endpoint(verb) => self.endpoint = Some(verb),
            Order::HandOver(lanes, answer) => self.stranded = Some((lanes, answer)),
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
            + self.claims.len()
            + self.checks.len()
            + usize::from(self.endpoint.is_some())
            + usize::from(self.stranded.is_some())
    }

    /// Whether it takes in or records something, and so can be applied part by part.
    pub(super) fn has_parts(&self) -> bool {
        !self.accepts.is_empty() || !self.records.is_empty()
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

    pub(super) fn claims(&self) -> impl Iterator<Item = usize> {
        self.claims.iter().map(|(limit, _)| *limit)
    }

    pub(super) fn endpoint(&self) -> Option<&Verb> {
        self.endpoint.as_deref()
    }

    pub(super) fn stranded(&self) -> Option<&[Stranded]> {
        self.stranded.as_ref().map(|(lanes, _)| lanes.as_slice())
    }

    /// The same orders, each a group of its own.
    pub(super) fn split(self) -> Vec<Self> {
        let one = Self::default;
        let mut groups = Vec::with_capacity(self.len());
        groups.extend(self.accepts.into_iter().map(|order| Self {
            accepts: vec![order],
            ..one()
        }));
        groups.extend(self.claims.into_iter().map(|order| Self {
            claims: vec![order],
            ..one()
        }));
        groups.extend(self.records.into_iter().map(|order| Self {
            records: vec![order],
            ..one()
        }));
        groups.extend(self.checks.into_iter().map(|order| Self {
            checks: vec![order],
            ..one()
        }));
        groups
    }

    /// Tells everybody what was done. Whoever asked may be gone; it was done all the same.
    pub(super) fn answer(self, mut done: Done) {
        // What was picked up first: of messages to one target it is the older.
        for (_, answer) in self.claims {
            let _ = answer.send(Ok(done.claimed.pop_front().unwrap_or_default()));
        }
        for (submissions, answer) in self.accepts {
            let _ = answer.send(Ok(done.verdicts.drain(..submissions.len()).collect()));
        }
        for (records, answer) in self.records {
            let _ = answer.send(Ok(done.recorded.drain(..records.len()).collect()));
        }
        for answer in self.checks {
            let _ = answer.send(Ok(()));
        }
        if let Some((_, answer)) = self.stranded {
            let _ = answer.send(Ok(done.handed_over));
        }
        if let (Some(verb), Some(outcome)) = (self.endpoint, done.endpoint) {
            verb.answer(outcome);
        }
    }

    /// Tells everybody that nothing was done.
    pub(super) fn refuse(self, error: &StoreError) {
        for (_, answer) in self.claims {
            let _ = answer.send(Err(error.clone()));
        }
        for (_, answer) in self.accepts {
            let _ = answer.send(Err(error.clone()));
        }
        for (_, answer) in self.records {
            let _ = answer.send(Err(error.clone()));
        }
        for answer in self.checks {
            let _ = answer.send(Err(error.clone()));
        }
        if let Some((_, answer)) = self.stranded {
            let _ = answer.send(Err(error.clone()));
        }
        if let Some(verb) = self.endpoint {
            verb.refuse(error);
        }
    }
}
