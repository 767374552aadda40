//! How many messages a second an account may send: the generic cell rate algorithm, on the clock
//! that only goes forward, so that setting the clock on the wall holds nothing back.

use std::time::{Duration, Instant};

/// A limit, and how much of it is used up.
#[derive(Debug)]
pub(super) struct Rate {
    interval: Duration,
    used: Option<Spent>,
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    /// When the last message was counted.
    at: Instant,
    /// How long after that everything counted so far has had its time.
    ahead: Duration,
}

/// How far the messages sent may run ahead of the clock: a tenth of a second's worth, so that a
/// rate of thousands a second is not held back by timers of a millisecond.
const BURST: Duration = Duration::from_millis(100);

impl Rate {
    pub(super) fn new(per_second: f64) -> Self {
        Self {
            interval: interval(per_second),
            used: None,
        }
    }

    /// Changes the limit. What was sent already counts against it.
    pub(super) fn set(&mut self, per_second: f64) {
        let before = std::mem::replace(&mut self.interval, interval(per_second));
        if let Some(used) = &mut self.used {
            let messages = used.ahead.as_secs_f64() / before.as_secs_f64();
            used.ahead = self.interval.mul_f64(messages);
        }
    }

    /// `None` when a message may go now, else when the next may.
    pub(super) fn limited_until(&self, now: Instant) -> Option<Instant> {
        let burst = self.interval.max(BURST);
        let wait = (self.ahead(now) + self.interval).saturating_sub(burst);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// A message goes now.
    pub(super) fn count(&mut self, now: Instant) {
        self.used = Some(Spent {
            at: now,
            ahead: self.ahead(now) + self.interval,
        });
    }

    /// How long after `now` everything counted so far has had its time.
    fn ahead(&self, now: Instant) -> Duration {
        self.used.map_or(Duration::ZERO, |used| {
            used.ahead
                .saturating_sub(now.saturating_duration_since(used.at))
        })
    }
}

/// How long one message takes at this rate: at most eleven days, so that times stay in range.
fn interval(per_second: f64) -> Duration {
    Duration::from_secs_f64(1.0 / per_second.clamp(0.000_001, 1_000_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// How many messages go in ten seconds, asked about each millisecond.
    fn sent_in_ten_seconds(rate: &mut Rate, start: Instant) -> u32 {
        let mut sent = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            while rate.limited_until(now).is_none() {
                rate.count(now);
                sent += 1;
            }
        }
        sent
    }

    #[test]
    fn a_rate_is_held_over_time() {
        let sent = sent_in_ten_seconds(&mut Rate::new(50.0), clock::now());
        assert!((500..=506).contains(&sent), "{sent}");
    }

    #[test]
    fn a_rate_that_is_set_again_and_again_is_no_more_than_it_says() {
        let (mut rate, start, mut sent) = (Rate::new(50.0), clock::now(), 0);
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            rate.set(50.0);
            while rate.limited_until(now).is_none() {
                rate.count(now);
                sent += 1;
            }
        }
        assert!((500..=506).contains(&sent), "{sent}");
    }

    #[test]
    fn a_message_a_week_becomes_fifty_a_second_at_once() {
        let (mut rate, start) = (Rate::new(0.000_001), clock::now());
        rate.count(start);
        assert!(
            rate.limited_until(start + Duration::from_secs(86_400))
                .is_some()
        );
        rate.set(50.0);
        let sent = sent_in_ten_seconds(&mut rate, start);
        assert!((499..=506).contains(&sent), "{sent}");
    }
}
