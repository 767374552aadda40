//! Taking over what nobody sends: of before a restart, and of replicas that are gone.

use std::future::pending;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use super::recording::{RETRY_MAX, RETRY_MIN};
use crate::store::Store;

/// Messages asked for at once, when taking over those of before a restart.
const CLAIM: usize = 2_000;

/// Lanes handed over at once.
const HAND_OVER: usize = 500;

impl Dispatcher {
    /// Takes over what has not ended, before anything new is taken in: it is older.
    pub(super) async fn claim_all(&mut self, drain: &CancellationToken) {
        let mut wait = RETRY_MIN;
        while !drain.is_cancelled() {
            match self.store.claim(CLAIM).await {
                Ok(claimed) if claimed.is_empty() => return,
                Ok(claimed) => {
                    let now = self.clock.now();
                    for one in claimed {
                        self.board.claim(one, now);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "waiting messages cannot be read; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY_MAX),
                        () = drain.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Takes over what others left, as much as there is room for. Nothing else is asked of the
    /// store meanwhile: what is taken over is older than what is taken in after it.
    /// And not before everything that happened is recorded: nothing is recorded of a message that
    /// belongs to another replica by then.
    pub(super) async fn claim_some(&mut self) {
        if self.failing.is_some() {
            return;
        }
        self.hand_over().await;
        if self.claim_after > tokio::time::Instant::now() {
            return;
        }
        let queued = self.board.len() + self.admitted;
        let mut room = self.settings.max_queued.saturating_sub(queued);
        while room > 0 {
            let limit = room.min(CLAIM);
            match self.store.claim(limit).await {
                Ok(claimed) => {
                    let (now, count) = (self.clock.now(), claimed.len());
                    for one in claimed {
                        self.board.claim(one, now);
                    }
                    if count < limit {
                        return;
                    }
                    room -= count;
                }
                Err(error) => {
                    tracing::warn!(%error, "messages cannot be taken over; trying again");
                    self.claim_after = tokio::time::Instant::now() + RETRY_MAX;
                    return;
                }
            }
        }
    }

    /// Gives lanes to other replicas that have the agents they need.
    async fn hand_over(&mut self) {
        let stranded = self.board.stranded(&self.pool, HAND_OVER);
        if stranded.is_empty() {
            return;
        }
        match self.store.hand_over(stranded).await {
            Ok(given) => self.board.abandon(&given),
            Err(error) => {
                tracing::warn!(%error, "messages cannot be handed over; trying again");
            }
        }
    }
}

/// When there may be something to take over or to hand over, where there are other replicas.
pub(super) struct Looking {
    claimable: watch::Receiver<u64>,
    /// Also without a hint; `None` for a replica that is alone.
    interval: Option<Interval>,
}

impl Looking {
    pub(super) fn at(store: &dyn Store) -> Self {
        let interval = store.agreeing().map(|period| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self {
            claimable: store.claimable(),
            interval,
        }
    }

    /// Waits until it is time to look. Cancel-safe.
    pub(super) async fn due(&mut self) {
        let Some(interval) = &mut self.interval else {
            return pending().await;
        };
        tokio::select! {
            _ = interval.tick() => {}
            Ok(()) = self.claimable.changed() => {}
        }
    }
}
