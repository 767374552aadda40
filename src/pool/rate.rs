//! How many messages a second an account may send: the generic cell rate algorithm.

use std::time::Duration;

use super::interval;
use crate::message::Timestamp;

/// A limit, and how much of it is used up.
#[derive(Debug)]
pub(super) struct Rate {
    interval: Duration,
    /// How far the messages sent may run ahead of the clock: a tenth of a second's worth, so that
    /// a rate of thousands a second is not held back by a clock of milliseconds.
    burst: Duration,
    /// When everything counted so far has had its time.
    paid_until: f64,
}

impl Rate {
    pub(super) fn new(per_second: f64) -> Self {
        let interval = interval(per_second);
        Self {
            interval,
            burst: interval.max(Duration::from_millis(100)),
            paid_until: 0.0,
        }
    }

    /// `None` when a message may go now, else when the next may.
    pub(super) fn limited_until(&self, now: Timestamp) -> Option<Timestamp> {
        let ahead = self.paid_until + millis(self.interval) - millis(self.burst);
        let wait = ahead - to_f64(now);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a wait is at most an interval"
        )]
        (wait > 0.0).then(|| now.plus(Duration::from_millis(wait.ceil() as u64)))
    }

    /// A message goes now.
    pub(super) fn count(&mut self, now: Timestamp) {
        self.paid_until = self.paid_until.max(to_f64(now)) + millis(self.interval);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit 53 bits"
)]
fn to_f64(time: Timestamp) -> f64 {
    time.as_millis() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_held_over_time() {
        let mut rate = Rate::new(50.0);
        let mut sent = 0;
        for millis in 0..10_000 {
            let now = Timestamp::from_millis(millis);
            while rate.limited_until(now).is_none() {
                rate.count(now);
                sent += 1;
            }
        }
        assert!((500..=506).contains(&sent), "{sent}");
    }
}
