//! The time on the wall of a past moment, the same whenever it is asked for.
//!
//! Spans are written at different times, and a child must not begin before its parent. So times are
//! counted from one reading of both clocks, the anchor, until the wall's clock was set.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock;
use crate::clock::Clock;

/// How far the wall's clock may be from what the anchor says. Far less than a millisecond, which is
/// what other times are rounded to.
const TOLERANCE: Duration = Duration::from_micros(100);
/// How close the readings of an anchor should be, and how often that is tried: a busy machine may
/// come between.
const EXACT: Duration = Duration::from_micros(10);
const MAX_READS: usize = 8;

pub(super) struct WallClock {
    clock: Clock,
    anchor: Mutex<Reading>,
}

/// The wall's clock, read between two moments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Reading {
    before: Instant,
    wall: SystemTime,
    after: Instant,
}

impl WallClock {
    pub(super) fn new(clock: Clock) -> Self {
        let anchor = Mutex::new(exact(&clock));
        Self { clock, anchor }
    }

    pub(super) fn at(&self, moment: Instant) -> SystemTime {
        let reading = read(&self.clock);
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        if !anchor.agrees_with(&reading) {
            *anchor = exact(&self.clock);
        }
        anchor.time_of(moment)
    }
}

/// The closest of a few readings.
fn exact(clock: &Clock) -> Reading {
    let mut best = read(clock);
    for _ in 0..MAX_READS {
        if best.width() < EXACT {
            break;
        }
        let again = read(clock);
        if again.width() < best.width() {
            best = again;
        }
    }
    best
}

fn read(clock: &Clock) -> Reading {
    Reading {
        before: clock::now(),
        wall: clock.exact(),
        after: clock::now(),
    }
}

impl Reading {
    fn width(&self) -> Duration {
        self.after.saturating_duration_since(self.before)
    }

    fn time_of(&self, moment: Instant) -> SystemTime {
        let later = moment.saturating_duration_since(self.before);
        let earlier = self.before.saturating_duration_since(moment);
        let time = self.wall.checked_sub(earlier).unwrap_or(self.wall);
        time.checked_add(later).unwrap_or(time)
    }

    fn agrees_with(&self, other: &Self) -> bool {
        let (first, last) = (self.time_of(other.before), self.time_of(other.after));
        let is_too_late = |time: SystemTime, limit: SystemTime| {
            time.duration_since(limit)
                .is_ok_and(|late| late > TOLERANCE)
        };
        !is_too_late(first, other.wall) && !is_too_late(other.wall, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Timestamp;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn reading(before: Instant, wall: SystemTime, width: Duration) -> Reading {
        Reading {
            before,
            wall,
            after: before + width,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_has_one_time_whenever_it_is_asked_for() {
        let clock = WallClock::new(Clock::starting_at(Timestamp::from_millis(1_000)));
        let moment = clock::now();
        let first = clock.at(moment);
        assert_eq!(first, SystemTime::UNIX_EPOCH + 1_000 * MILLISECOND);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(clock.at(moment), first);
        assert_eq!(clock.at(moment + MILLISECOND), first + MILLISECOND);
        assert_eq!(clock.at(moment - MILLISECOND), first - MILLISECOND);
    }

    #[test]
    fn an_anchor_holds_until_the_clock_on_the_wall_is_set() {
        let (now, wall) = (clock::now(), SystemTime::UNIX_EPOCH + 1_000 * MILLISECOND);
        let anchor = reading(now, wall, Duration::ZERO);
        let later = |wall, width| reading(now + 10 * MILLISECOND, wall, width);
        let expected = wall + 10 * MILLISECOND;
        for (wall, width, agrees) in [
            (expected, Duration::ZERO, true),
            (expected + TOLERANCE, Duration::ZERO, true),
            (expected - TOLERANCE, Duration::ZERO, true),
            (expected + 2 * TOLERANCE, Duration::ZERO, false),
            (expected - 2 * TOLERANCE, Duration::ZERO, false),
            // The machine was busy between the readings: nothing is known better.
            (expected + 5 * MILLISECOND, 5 * MILLISECOND, true),
            (expected + 6 * MILLISECOND, 5 * MILLISECOND, false),
            (expected - MILLISECOND, 5 * MILLISECOND, false),
        ] {
            let reading = later(wall, width);
            assert_eq!(anchor.agrees_with(&reading), agrees, "{reading:?}");
        }
    }
}
