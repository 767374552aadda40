//! How many requests a second a token may send: answers say where it stands.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::clock::Rate;

/// The fields of draft-ietf-httpapi-ratelimit-headers-10.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A second's worth of requests at most, and one at least.
#[derive(Debug)]
pub(in crate::api) struct Meter {
    rate: Mutex<Rate>,
}

impl Meter {
    /// Nothing was sent yet.
    pub(in crate::api) fn new(per_second: f64) -> Self {
        Self {
            rate: Mutex::new(Rate::with_full_second(per_second)),
        }
    }

    /// Takes a request in, or says how long it is too early.
    pub(in crate::api) fn take(&self, now: Instant) -> Result<(), Duration> {
        let (mut rate, now) = (self.lock(), now.into_std());
        match rate.limited_until(now) {
            None => {
                rate.count(1, now);
                Ok(())
            }
            Some(time) => Err(seconds(time.saturating_duration_since(now))),
        }
    }

    /// Counts what a request turned out to be beyond one. It was let in; those after it pay.
    pub(super) fn charge(&self, more: usize, now: Instant) {
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.lock().count(more, now.into_std());
    }

    /// Tells the client where it stands.
    pub(super) fn tell(&self, headers: &mut HeaderMap, now: Instant) {
        let (rate, now) = (self.lock().clone(), now.into_std());
        let (quota, left) = rate.size_and_left(now);
        let window = seconds(rate.burst()).as_secs();
        let full = seconds(rate.ahead(now)).as_secs();
        let lines = [
            (POLICY, format!("\"token\";q={quota:.0};w={window}")),
            (LIMIT, format!("\"token\";r={left:.0};t={full}")),
        ];
        for (name, text) in lines {
            // Digits and the name of the policy have only characters that a header may have.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole seconds, as headers count them.
fn seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
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
