//! Contents that are not in memory, read from the store when their turn comes.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::journal::STORE_BACKOFF;
use crate::clock;
use crate::message::{ByMessage, Message, MessageId};
use crate::store::{Store, StoreError};

/// Contents read at once.
const LOAD: usize = 256;

pub(super) struct Loads {
    store: Arc<dyn Store>,
    wanted: VecDeque<MessageId>,
    reading: Option<BoxFuture<'static, Read>>,
    /// After a failed read, no other before this time.
    not_before: Instant,
}

/// A read that is over: what was asked for, and what the store answers.
type Read = (Vec<MessageId>, Result<Vec<Arc<Message>>, StoreError>);

impl Loads {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            wanted: VecDeque::new(),
            reading: None,
            not_before: clock::now(),
        }
    }

    /// Asks for the contents of these messages.
    pub(super) fn want(&mut self, ids: Vec<MessageId>) {
        self.wanted.extend(ids);
    }

    /// When a read is due that failed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let is_due = self.reading.is_none() && !self.wanted.is_empty();
        is_due.then_some(self.not_before)
    }

    /// Begins to read, unless a read is under way.
    pub(super) fn begin(&mut self) {
        if self.deadline().is_none_or(|at| at > clock::now()) {
            return;
        }
        let count = self.wanted.len().min(LOAD);
        let ids: Vec<_> = self.wanted.drain(..count).collect();
        let answer = self.store.load(ids.clone());
        self.reading = Some(answer.map(|answer| (ids, answer)).boxed());
    }

    /// Resolves at the end of a read, to its messages in order, `None` for those that are gone from
    /// the store; never when no read is under way. Cancel-safe.
    pub(super) async fn loaded(&mut self) -> Vec<(MessageId, Option<Arc<Message>>)> {
        let Some(reading) = &mut self.reading else {
            return pending().await;
        };
        let (ids, result) = reading.await;
        self.reading = None;
        match result {
            Ok(messages) => {
                let messages = messages.into_iter().map(|message| (message.id, message));
                let mut by_id: ByMessage<_> = messages.collect();
                ids.into_iter().map(|id| (id, by_id.remove(&id))).collect()
            }
            Err(error) => {
                tracing::error!(%error, "failed to read messages; trying again");
                self.not_before = clock::now() + STORE_BACKOFF.max;
                for id in ids.into_iter().rev() {
                    self.wanted.push_front(id);
                }
                Vec::new()
            }
        }
    }
}
