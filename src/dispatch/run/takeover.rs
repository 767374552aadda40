//! Messages that no dispatcher sends: of before a restart, and of replicas that are gone.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::super::board::Board;
use super::journal::STORE_BACKOFF;
use crate::clock;
use crate::clock::Clock;
use crate::message::EventId;
use crate::pool::Pool;
use crate::store::{Claimed, Store};

/// Messages claimed at once.
const CLAIM: usize = 2_000;

/// Lanes handed over at once.
const HAND_OVER: usize = 500;

pub(super) struct Takeover {
    store: Arc<dyn Store>,
    /// Changes when there may be something to claim.
    claimable: watch::Receiver<u64>,
    /// Also without a hint; `None` for a replica that is alone.
    interval: Option<Interval>,
    /// After a failed claim, no other before this time.
    not_before: Instant,
}

impl Takeover {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let interval = store.agreeing().map(|period| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self {
            claimable: store.claimable(),
            store,
            interval,
            not_before: clock::now(),
        }
    }

    /// Resolves when there may be something to claim or to hand over, where there are other
    /// replicas. Cancel-safe.
    pub(super) async fn due(&mut self) {
        let Some(interval) = &mut self.interval else {
            return pending().await;
        };
        tokio::select! {
            _ = interval.tick() => {}
            Ok(()) = self.claimable.changed() => {}
        }
    }

    /// Claims what has not ended, before anything new is taken in: it is older.
    pub(super) async fn claim_all(
        &self,
        board: &mut Board,
        clock: &Clock,
        drain: &CancellationToken,
    ) {
        let mut failures = 0;
        while !drain.is_cancelled() {
            match self.store.claim(CLAIM).await {
                Ok(claimed) if claimed.is_empty() => return,
                Ok(claimed) => {
                    self.take(board, claimed, clock).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to read waiting messages; trying again");
                    failures += 1;
                    tokio::select! {
                        () = tokio::time::sleep(STORE_BACKOFF.wait(failures, 1.0)) => {}
                        () = drain.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Claims what other replicas left, as much as there is room for. Nothing else is asked of the
    /// store meanwhile: a claimed message is older than one taken in after it.
    pub(super) async fn claim(&mut self, board: &mut Board, clock: &Clock, mut room: usize) {
        if self.not_before > clock::now() {
            return;
        }
        while room > 0 {
            let limit = room.min(CLAIM);
            match self.store.claim(limit).await {
                Ok(claimed) => {
                    let count = claimed.len();
                    self.take(board, claimed, clock).await;
                    if count < limit {
                        return;
                    }
                    room -= count;
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to claim messages; trying again");
                    self.not_before = clock::now() + STORE_BACKOFF.max;
                    return;
                }
            }
        }
    }

    /// Puts messages on the board, with the receipts that came for them meanwhile.
    async fn take(&self, board: &mut Board, claimed: Vec<Claimed>, clock: &Clock) {
        let sent = claimed.iter().filter(|one| one.attempt > 0);
        let sent: Vec<_> = sent.map(|one| one.id).collect();
        let receipts = if sent.is_empty() {
            Ok(Vec::new())
        } else {
            self.store.settling_receipts(sent).await
        };
        let receipts = receipts.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to read receipts; messages may be sent again");
            Vec::new()
        });
        let now = clock.now();
        for one in claimed {
            board.claim(one, now);
        }
        for (id, seq) in receipts {
            let epoch = self.store.epoch();
            board.has_arrived(id, EventId { epoch, seq }, now);
        }
    }

    /// Gives lanes to other replicas that have the agents they need.
    pub(super) async fn hand_over(&self, board: &mut Board, pool: &Pool) {
        let stranded = board.stranded(pool, HAND_OVER);
        if stranded.is_empty() {
            return;
        }
        match self.store.hand_over(stranded).await {
            Ok(given) => board.abandon(&given),
            Err(error) => tracing::warn!(%error, "failed to hand messages over; trying again"),
        }
    }
}
