//! The one commit that is under way: requests to take in, and records.

use std::future::pending;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::Dispatcher;
use super::intake::{Offered, Request};
use super::recording::Batch;
use crate::clock;
use crate::store::{Recorded, Reply, StoreError, Submission, Verdict};

/// On its way to the disk.
pub(super) struct Committing {
    answer: BoxFuture<'static, Answer>,
    requests: Vec<Request>,
    batch: Batch,
}

/// What the store says to both halves of a commit.
struct Answer {
    accepted: Result<Vec<Verdict>, StoreError>,
    recorded: Result<Vec<Recorded>, StoreError>,
}

/// A commit that is over.
pub(super) struct Committed {
    answer: Answer,
    requests: Vec<Request>,
    batch: Batch,
}

impl Dispatcher {
    /// Hands the store what there is, in one commit. Nothing else may be under way.
    pub(super) fn commit(&mut self) {
        let Offered { requests, .. } = std::mem::take(&mut self.offered);
        let batch = self.next_batch();
        if requests.is_empty() && batch.records.is_empty() {
            return;
        }
        self.lingering.committing(clock::now());
        let submissions: Vec<_> = requests.iter().map(submission).collect();
        let records = batch.records.clone();
        let (accepted, recorded): (Reply<_>, Reply<_>) =
            match (submissions.is_empty(), records.is_empty()) {
                (false, false) => self.store.accept_and_record(submissions, records),
                (false, true) => (self.store.accept(submissions), nothing()),
                (true, _) => (nothing(), self.store.record(records)),
            };
        let answer = async {
            let (accepted, recorded) = futures_util::future::join(accepted, recorded).await;
            Answer { accepted, recorded }
        };
        self.committing = Some(Committing {
            answer: answer.boxed(),
            requests,
            batch,
        });
    }

    /// Does what follows from a commit.
    pub(super) fn committed(&mut self, committed: Committed) {
        let Committed {
            answer,
            requests,
            batch,
        } = committed;
        self.lingering.committed(clock::now());
        self.is_well = answer.accepted.is_ok() && answer.recorded.is_ok();
        let withdrawn = self.answer_requests(requests, answer.accepted);
        self.drop_gathered(&withdrawn);
        if !batch.records.is_empty() {
            self.recorded(batch, answer.recorded, &withdrawn);
        }
    }
}

/// Clones what the store is to keep; the request is needed for its answer.
fn submission(request: &Request) -> Submission {
    Submission {
        messages: request.messages.clone(),
        key: request.key.clone(),
    }
}

fn nothing<T: Send + 'static>() -> Reply<Vec<T>> {
    Box::pin(async { Ok(Vec::new()) })
}

/// The end of the commit that is under way; never without one.
pub(super) async fn committed(committing: &mut Option<Committing>) -> Committed {
    let Some(under_way) = committing else {
        return pending().await;
    };
    let answer = (&mut under_way.answer).await;
    match committing.take() {
        Some(Committing {
            requests, batch, ..
        }) => Committed {
            answer,
            requests,
            batch,
        },
        // It was there a moment ago, and nobody else takes it.
        None => pending().await,
    }
}
