//! The two clocks: one that only goes forward, for timers, and the one on the wall, for people.
//!
//! Both can follow tokio's clock, so a test that pauses it has both in its hand.

mod rate;

use std::time::{Duration, Instant, SystemTime};

use crate::message::Timestamp;
pub use rate::Rate;

/// Now, on the clock that timers and machines use. Tests pause it with `tokio::time::pause`.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time on the wall.
///
/// In service it is the operating system's; in a test it begins where the test says and follows
/// tokio's clock, so it stands still when time is paused.
#[derive(Clone, Debug)]
pub struct Clock {
    source: ClockSource,
}

#[derive(Clone, Debug)]
enum ClockSource {
    System,
    /// This time, at that moment of [`now`].
    Fixed(Timestamp, Instant),
}

impl Clock {
    /// The clock of this machine.
    pub fn system() -> Self {
        Self {
            source: ClockSource::System,
        }
    }

    /// A clock that showed `time` when it was made, and follows tokio's clock from there.
    pub fn starting_at(time: Timestamp) -> Self {
        Self {
            source: ClockSource::Fixed(time, now()),
        }
    }

    /// The time, as exactly as it is known.
    pub fn exact(&self) -> SystemTime {
        match &self.source {
            ClockSource::System => SystemTime::UNIX_EPOCH + since_epoch(),
            ClockSource::Fixed(time, at) => {
                let since_epoch = time.since(Timestamp::EPOCH);
                SystemTime::UNIX_EPOCH + since_epoch + now().saturating_duration_since(*at)
            }
        }
    }

    /// The time, in milliseconds.
    pub fn now(&self) -> Timestamp {
        match &self.source {
            ClockSource::System => Timestamp::EPOCH.plus(since_epoch()),
            ClockSource::Fixed(time, at) => time.plus(now().saturating_duration_since(*at)),
        }
    }
}

/// The one place that asks the operating system.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock the others are made from"
)]
fn since_epoch() -> Duration {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_set_clock_follows_paused_time() {
        let clock = Clock::starting_at(Timestamp::from_millis(1_000));
        tokio::time::advance(Duration::from_secs(32)).await;
        assert_eq!(clock.now(), Timestamp::from_millis(33_000));
        let exact = SystemTime::UNIX_EPOCH + Duration::from_secs(33);
        assert_eq!(clock.exact(), exact);
    }
}
