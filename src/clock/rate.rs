//! So much a second: the generic cell rate algorithm, on the clock that only goes forward, so that
//! setting the clock on the wall holds nothing back.

use std::time::{Duration, Instant};

/// A limit, and how much of it is used up.
#[derive(Clone, Debug)]
pub struct Rate {
    interval: Duration,
    /// How far what was counted may run ahead of the clock; one interval at least.
    burst: Duration,
    used: Option<Spent>,
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    /// When the last one was counted.
    at: Instant,
    /// How long after that everything counted so far has had its time.
    ahead: Duration,
}

impl Rate {
    /// So many a second. As many as fit into `burst` may come at once, and one at least.
    pub fn new(per_second: f64, burst: Duration) -> Self {
        Self {
            interval: interval(per_second),
            burst,
            used: None,
        }
    }

    /// A second's worth may come at once.
    pub fn with_full_second(per_second: f64) -> Self {
        let interval = interval(per_second);
        let size = per_second.ceil().clamp(1.0, 1_000_000.0);
        Self::new(per_second, interval.mul_f64(size))
    }

    /// Changes the limit. What was counted already counts against it.
    pub fn set(&mut self, per_second: f64) {
        let before = std::mem::replace(&mut self.interval, interval(per_second));
        if let Some(used) = &mut self.used {
            let counted = used.ahead.as_secs_f64() / before.as_secs_f64();
            used.ahead = self.interval.mul_f64(counted);
        }
    }

    /// `None` when one may come now, else when the next may.
    pub fn limited_until(&self, now: Instant) -> Option<Instant> {
        let wait = (self.ahead(now) + self.interval).saturating_sub(self.burst());
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Counts so many now, whether or not they may come.
    pub fn count(&mut self, many: u32, now: Instant) {
        self.used = Some(Spent {
            at: now,
            ahead: self.ahead(now).saturating_add(self.interval * many),
        });
    }

    /// Takes one back that was counted and did not come.
    pub fn give_back(&mut self, now: Instant) {
        self.used = Some(Spent {
            at: now,
            ahead: self.ahead(now).saturating_sub(self.interval),
        });
    }

    /// Counts the next one, and says when its turn is: those that wait for their turns are evenly
    /// spaced.
    pub fn turn(&mut self, now: Instant) -> Instant {
        let turn = now + self.ahead(now);
        self.count(1, now);
        turn
    }

    /// How many may come at once when all of it is left, and now.
    pub fn size_and_left(&self, now: Instant) -> (f64, f64) {
        let interval = self.interval.as_secs_f64();
        let left = self.burst().saturating_sub(self.ahead(now));
        let whole = |time: Duration| (time.as_secs_f64() / interval).round();
        // Rounded down, with a margin for intervals that are no whole number of nanoseconds.
        let left = (left.as_secs_f64() / interval + 1e-6).floor();
        (whole(self.burst()), left)
    }

    /// How long after `now` everything counted so far has had its time.
    pub fn ahead(&self, now: Instant) -> Duration {
        self.used.map_or(Duration::ZERO, |used| {
            used.ahead
                .saturating_sub(now.saturating_duration_since(used.at))
        })
    }

    /// How long all that may come at once takes at this rate.
    pub fn burst(&self) -> Duration {
        self.burst.max(self.interval)
    }
}

/// How long one takes at this rate: at most eleven days, so that times stay in range.
fn interval(per_second: f64) -> Duration {
    Duration::from_secs_f64(1.0 / per_second.clamp(0.000_001, 1_000_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const BURST: Duration = Duration::from_millis(100);

    fn fifty() -> Rate {
        Rate::new(50.0, BURST)
    }

    /// How many messages go in ten seconds, asked about each millisecond.
    fn sent_in_ten_seconds(rate: &mut Rate, start: Instant) -> u32 {
        let mut sent = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            while rate.limited_until(now).is_none() {
                rate.count(1, now);
                sent += 1;
            }
        }
        sent
    }

    #[test]
    fn a_rate_is_held_over_time() {
        let sent = sent_in_ten_seconds(&mut fifty(), clock::now());
        assert!((500..=506).contains(&sent), "{sent}");
    }

    #[test]
    fn a_rate_that_is_set_again_and_again_is_no_more_than_it_says() {
        let (mut rate, start, mut sent) = (fifty(), clock::now(), 0);
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            rate.set(50.0);
            while rate.limited_until(now).is_none() {
                rate.count(1, now);
                sent += 1;
            }
        }
        assert!((500..=506).contains(&sent), "{sent}");
    }

    #[test]
    fn a_message_a_week_becomes_fifty_a_second_at_once() {
        let (mut rate, start) = (Rate::new(0.000_001, BURST), clock::now());
        rate.count(1, start);
        assert!(
            rate.limited_until(start + Duration::from_secs(86_400))
                .is_some()
        );
        rate.set(50.0);
        let sent = sent_in_ten_seconds(&mut rate, start);
        assert!((499..=506).contains(&sent), "{sent}");
    }

    #[test]
    fn turns_are_evenly_spaced_and_begin_at_once() {
        let (mut rate, now) = (Rate::new(4.0, Duration::ZERO), clock::now());
        let turns: Vec<_> = (0..3).map(|_| (rate.turn(now) - now).as_millis()).collect();
        assert_eq!(turns, [0, 250, 500]);
        let later = now + Duration::from_secs(9);
        assert_eq!(rate.turn(later), later);
    }

    #[test]
    fn what_did_not_come_is_given_back() {
        let (mut rate, now) = (Rate::with_full_second(2.0), clock::now());
        rate.count(2, now);
        assert!(rate.limited_until(now).is_some());
        rate.give_back(now);
        assert_eq!(rate.limited_until(now), None);
        assert!(rate.size_and_left(now) == (2.0, 1.0));
    }
}
