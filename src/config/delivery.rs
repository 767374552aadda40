//! `[delivery]`: how long and how often a message is tried, and how many may wait.

use std::time::Duration;

use super::section::Section;
use crate::message::OnUnknown;
use crate::message::retry::Backoff;

/// What holds for messages.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// How long a message is tried, when the client does not say.
    pub ttl: Duration,
    /// The longest a client may ask for.
    pub max_ttl: Duration,
    /// How far ahead `sendAt` may lie.
    pub max_schedule: Duration,
    /// Tries at a transient outcome, when the client does not say.
    pub attempts: u32,
    /// The most a client may ask for.
    pub max_attempts: u32,
    /// What to do about an unknown outcome, when the client does not say.
    pub on_unknown: OnUnknown,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// Messages that may wait at the same time.
    pub max_queued: usize,
    /// How long open requests may take to end when the gateway stops.
    pub shutdown_grace: Duration,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

impl Delivery {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let on_unknown = [("resend", OnUnknown::Resend), ("fail", OnUnknown::Fail)];
        let delivery = Self {
            ttl: section.duration("ttl", SECOND, YEAR),
            max_ttl: section.duration("max_ttl", SECOND, YEAR),
            max_schedule: section.duration("max_schedule", SECOND, YEAR),
            attempts: section.integer("attempts", 1..=100),
            max_attempts: section.integer("max_attempts", 1..=100),
            on_unknown: section.word("on_unknown", &on_unknown),
            backoff: Backoff {
                min: section.duration("retry_min", Duration::from_millis(1), HOUR),
                max: section.duration("retry_max", Duration::from_millis(1), 24 * HOUR),
            },
            max_queued: section.size("max_queued", 1..=100_000_000),
            shutdown_grace: section.duration("shutdown_grace", Duration::ZERO, HOUR),
        };
        delivery.compare(&section);
        section.finish();
        delivery
    }

    fn compare(&self, section: &Section<'_>) {
        let pairs = [
            ("ttl", "max_ttl", self.ttl > self.max_ttl),
            (
                "attempts",
                "max_attempts",
                self.attempts > self.max_attempts,
            ),
            (
                "retry_min",
                "retry_max",
                self.backoff.min > self.backoff.max,
            ),
        ];
        for (key, limit, exceeded) in pairs {
            if exceeded {
                let problem = format!("is more than delivery.{limit}");
                section.wrong(key, &problem, &format!("at most delivery.{limit}"));
            }
        }
    }
}
