//! How fast agents come: connections begun in a second, over all agents, so that a start or the
//! return of a registrar is a stream and not a burst.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A queue of moments, handed out one to an agent.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// So many a second.
    pub fn new(per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            next: Mutex::new(None),
        }
    }

    /// Waits for the caller's turn.
    pub(super) async fn wait(&self) {
        tokio::time::sleep_until(self.turn()).await;
    }

    fn turn(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
        *next = Some(turn + self.interval);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn agents_come_at_the_pace_and_the_first_at_once() {
        let pace = Pace::new(500);
        let start = Instant::now();
        for _ in 0..=500 {
            pace.wait().await;
        }
        let took = start.elapsed();
        assert!(
            took >= Duration::from_secs(1) && took < Duration::from_millis(1_600),
            "{took:?}"
        );
    }
}
