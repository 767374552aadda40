//! What follows an attempt: the end, or another one.
//!
//! | answer           | waits left                                   | none left |
//! |------------------|----------------------------------------------|-----------|
//! | 2xx              | delivered                                    | delivered |
//! | 410              | failed                                       | failed    |
//! | 429, 503         | again, not before `Retry-After`              | failed    |
//! | any other, none  | again                                        | failed    |
//!
//! A wait is up to a tenth longer than the schedule says, so that what failed together is not tried
//! again together.

use std::time::Duration;

use super::client::PostResult;
use crate::message::Timestamp;
use crate::store::Fate;

/// The longest `Retry-After` that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);
/// How much longer than it says a wait may be.
const JITTER: f64 = 0.1;

/// When to try again.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// How long to wait before each further attempt.
    pub waits: Vec<Duration>,
    /// An endpoint that only failed for this long is disabled.
    pub disable_after: Duration,
}

impl Schedule {
    /// What follows an attempt before which there were `tries`, and which ended at `now`. `jitter`
    /// is between 0 and 1, drawn afresh each time.
    pub(super) fn fate(
        &self,
        answer: &PostResult,
        tries: u32,
        now: Timestamp,
        jitter: f64,
    ) -> Fate {
        let (status, asked) = match answer {
            PostResult::Answered {
                status,
                retry_after,
                ..
            } => (*status, *retry_after),
            PostResult::Silent(_) => (0, None),
        };
        let wait = usize::try_from(tries)
            .ok()
            .and_then(|tries| self.waits.get(tries));
        match (status, wait) {
            (200..=299, _) => Fate::Delivered,
            (410, _) | (_, None) => Fate::Failed,
            (_, Some(wait)) => {
                let wait = wait.mul_f64(1.0 + JITTER * jitter.clamp(0.0, 1.0));
                let asked = match status {
                    429 | 503 => asked.unwrap_or_default().min(MAX_RETRY_AFTER),
                    _ => Duration::ZERO,
                };
                Fate::Again(now.plus(wait.max(asked)))
            }
        }
    }

    /// Whether an endpoint that has failed since then has failed for too long.
    pub(super) fn is_over(&self, failing_since: Timestamp, now: Timestamp) -> bool {
        now.since(failing_since) >= self.disable_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule {
            waits: vec![Duration::from_secs(5), Duration::from_secs(300)],
            disable_after: Duration::from_secs(5 * 86_400),
        }
    }

    fn answer(status: u16, retry_after: Option<u64>) -> PostResult {
        PostResult::Answered {
            status,
            first: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn an_answer_leads_to_what_the_table_says() {
        let again = |seconds| Fate::Again(at(seconds));
        let silent = PostResult::Silent("no answer".to_owned());
        for (answer, tries, fate) in [
            (answer(200, None), 0, Fate::Delivered),
            (answer(204, Some(9)), 2, Fate::Delivered),
            (answer(299, None), 0, Fate::Delivered),
            (answer(410, None), 0, Fate::Failed),
            (answer(301, None), 0, again(5)),
            (answer(308, Some(60)), 0, again(5)),
            (answer(400, None), 0, again(5)),
            (answer(404, None), 1, again(300)),
            (answer(500, Some(60)), 0, again(5)),
            (answer(429, Some(60)), 0, again(60)),
            (answer(503, Some(60)), 0, again(60)),
            (answer(503, Some(60)), 1, again(300)),
            (answer(503, None), 0, again(5)),
            (answer(503, Some(u64::MAX)), 0, again(86_400)),
            (answer(503, Some(60)), 2, Fate::Failed),
            (answer(500, None), 2, Fate::Failed),
            (silent.clone(), 0, again(5)),
            (silent, 2, Fate::Failed),
        ] {
            let found = schedule().fate(&answer, tries, at(0), 0.0);
            assert_eq!(found, fate, "{answer:?} after {tries}");
        }
    }

    #[test]
    fn waits_are_spread_by_a_tenth() {
        let (five, three_hundred) = (answer(500, None), answer(500, None));
        let fate = |answer, tries, jitter| schedule().fate(answer, tries, at(0), jitter);
        assert_eq!(
            fate(&five, 0, 1.0),
            Fate::Again(Timestamp::from_millis(5_500))
        );
        assert_eq!(fate(&three_hundred, 1, 0.5), Fate::Again(at(315)));
        assert_eq!(fate(&three_hundred, 1, 1.0), Fate::Again(at(330)));
    }

    #[test]
    fn five_days_of_failures_are_too_many() {
        let schedule = schedule();
        assert!(!schedule.is_over(at(0), at(5 * 86_400 - 1)));
        assert!(schedule.is_over(at(0), at(5 * 86_400)));
    }
}
