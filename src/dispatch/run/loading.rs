//! Contents that are not in memory, read from the store when their turn comes.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;

use super::Dispatcher;
use super::recording::RETRY_MAX;
use crate::message::{Message, MessageId};
use crate::store::{Reply, StoreError};

/// Contents read at once.
const LOAD: usize = 256;

pub(super) struct Loading {
    pub(super) answer: Reply<Vec<Arc<Message>>>,
    pub(super) ids: Vec<MessageId>,
}

impl Dispatcher {
    pub(super) fn load_wanted(&mut self) {
        let is_paused = self.load_after > tokio::time::Instant::now();
        if self.loading.is_some() || self.to_load.is_empty() || is_paused {
            return;
        }
        let count = self.to_load.len().min(LOAD);
        let ids: Vec<_> = self.to_load.drain(..count).collect();
        self.loading = Some(Loading {
            answer: self.store.load(ids.clone()),
            ids,
        });
    }

    pub(super) fn loaded(&mut self, result: Result<Vec<Arc<Message>>, StoreError>) {
        let Some(Loading { ids, .. }) = self.loading.take() else {
            return;
        };
        let (now, may_begin) = (self.clock.now(), self.may_begin());
        match result {
            Ok(messages) => {
                let mut by_id: HashMap<MessageId, Arc<Message>> = messages
                    .into_iter()
                    .map(|message| (message.id, message))
                    .collect();
                for id in ids {
                    let jitter = self.jitter();
                    let message = by_id.remove(&id);
                    let starts = self.board.loaded(id, message, may_begin, now, jitter);
                    self.begin(starts, now);
                }
            }
            Err(error) => {
                tracing::error!(%error, "messages cannot be read; trying again");
                self.load_after = tokio::time::Instant::now() + RETRY_MAX;
                for id in ids.into_iter().rev() {
                    self.to_load.push_front(id);
                }
            }
        }
    }
}

pub(super) async fn loaded(loading: &mut Option<Loading>) -> Result<Vec<Arc<Message>>, StoreError> {
    match loading {
        Some(loading) => (&mut loading.answer).await,
        None => pending().await,
    }
}
