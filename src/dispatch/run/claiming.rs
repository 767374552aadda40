//! Taking over what nobody sends: of before a restart, and of replicas that are gone.

use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use super::recording::RETRY_MAX;
use super::recording::RETRY_MIN;

/// Messages asked for at once, when taking over those of before a restart.
const CLAIM: usize = 2_000;

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
    pub(super) async fn claim_some(&mut self) {
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
}
