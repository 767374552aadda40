//! How many requests a second a token may send: a bucket that fills at this rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

/// The fields of draft-ietf-httpapi-ratelimit-headers-10.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A bucket: a second's worth of requests at most, and one at least.
#[derive(Debug)]
pub(in crate::api) struct Meter {
    rate: f64,
    size: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that may come at once; below zero for a batch larger than what was left.
    level: f64,
    at: Instant,
}

impl Meter {
    /// A full bucket.
    pub(in crate::api) fn new(rate: f64) -> Self {
        let size = rate.ceil().max(1.0);
        let state = State {
            level: size,
            at: Instant::now(),
        };
        Self {
            rate,
            size,
            state: Mutex::new(state),
        }
    }

    /// Takes a request in, or says how long it is too early.
    pub(in crate::api) fn take(&self, now: Instant) -> Result<(), Duration> {
        self.with(now, |level| {
            if *level >= 1.0 {
                *level -= 1.0;
                Ok(())
            } else {
                Err(self.seconds((1.0 - *level) / self.rate))
            }
        })
    }

    /// Counts what a request turned out to be beyond one. It was let in; those after it pay.
    pub(super) fn charge(&self, more: usize, now: Instant) {
        self.with(now, |level| {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a batch has a thousand messages at most"
            )]
            let more = more as f64;
            *level -= more;
        });
    }

    /// Tells the client where it stands.
    pub(super) fn tell(&self, headers: &mut HeaderMap, now: Instant) {
        let level = self.with(now, |level| *level);
        let (quota, window) = (self.size, (self.size / self.rate).ceil());
        let left = level.floor().max(0.0);
        let full = self.seconds((self.size - level) / self.rate).as_secs();
        let lines = [
            (POLICY, format!("\"token\";q={quota:.0};w={window:.0}")),
            (LIMIT, format!("\"token\";r={left:.0};t={full}")),
        ];
        for (name, text) in lines {
            // Digits and the name of the policy have only characters that a header may have.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }

    fn with<T>(&self, now: Instant, change: impl FnOnce(&mut f64) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        state.level = (state.level + passed * self.rate).min(self.size);
        state.at = state.at.max(now);
        change(&mut state.level)
    }

    /// Whole seconds, as headers count them.
    fn seconds(&self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds.max(0.0).ceil()).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(meter: &Meter, now: Instant) -> (String, String) {
        let mut headers = HeaderMap::new();
        meter.tell(&mut headers, now);
        let text = |name| headers[&name].to_str().unwrap().to_owned();
        (text(POLICY), text(LIMIT))
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_holds_as_many_requests_as_the_rate_says() {
        let start = Instant::now();
        let meter = Meter::new(3.0);
        for _ in 0..3 {
            assert_eq!(meter.take(start), Ok(()));
        }
        let second = Duration::from_secs(1);
        assert_eq!(meter.take(start), Err(second));
        assert_eq!(
            told(&meter, start),
            ("\"token\";q=3;w=1".into(), "\"token\";r=0;t=1".into())
        );
        assert_eq!(meter.take(start + second / 2), Ok(()));
        assert_eq!(told(&meter, start + 5 * second).1, "\"token\";r=3;t=0");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_below_one_has_a_window_of_several_seconds() {
        let start = Instant::now();
        let meter = Meter::new(0.25);
        assert_eq!(meter.take(start), Ok(()));
        assert_eq!(meter.take(start), Err(Duration::from_secs(4)));
        assert_eq!(
            told(&meter, start),
            ("\"token\";q=1;w=4".into(), "\"token\";r=0;t=4".into())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_paid_for_by_those_after_it() {
        let start = Instant::now();
        let meter = Meter::new(10.0);
        assert_eq!(meter.take(start), Ok(()));
        meter.charge(99, start);
        assert_eq!(meter.take(start), Err(Duration::from_secs(10)));
        assert_eq!(told(&meter, start).1, "\"token\";r=0;t=10");
        assert_eq!(meter.take(start + Duration::from_secs(10)), Ok(()));
    }
}
