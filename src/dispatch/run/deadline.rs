//! When the loop has something to do although nothing arrives.

use std::time::{Duration, Instant};

use super::Dispatcher;
use crate::clock;

/// The longest sleep: the clock on the wall may have been set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(30);

impl Dispatcher {
    pub(super) fn time_to_deadline(&self) -> Duration {
        let now = self.clock.now();
        let board = self
            .board
            .deadline()
            .map_or(MAX_SLEEP, |time| time.since(now));
        let retry = self.failing.as_ref().map_or(MAX_SLEEP, |failing| {
            failing
                .retry_at
                .saturating_duration_since(tokio::time::Instant::now())
        });
        let load = match self.to_load.is_empty() {
            true => MAX_SLEEP,
            false => self
                .load_after
                .saturating_duration_since(tokio::time::Instant::now()),
        };
        let load = if self.loading.is_some() {
            MAX_SLEEP
        } else {
            load
        };
        let until = |moment: Option<Instant>| {
            moment.map_or(MAX_SLEEP, |moment| {
                moment.saturating_duration_since(clock::now())
            })
        };
        let linger = until(self.lingering.until());
        let steady = until(self.board.steady_deadline());
        let least = board.min(steady).min(retry).min(load).min(linger);
        least.min(MAX_SLEEP)
    }
}
