//! `[retention]`: how long what has ended is kept.

use std::time::Duration;

use super::section::Section;

/// How long what has ended is kept.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Finished messages and their events.
    pub finished: Duration,
    /// Their bodies.
    pub bodies: Bodies,
    /// Idempotency keys.
    pub idempotency: Duration,
}

/// What becomes of the body of a message that ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bodies {
    /// It stays as long as its message.
    Keep,
    /// It goes.
    Discard,
}

impl Retention {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let second = Duration::from_secs(1);
        let decade = Duration::from_secs(10 * 365 * 86_400);
        let bodies = [("keep", Bodies::Keep), ("discard", Bodies::Discard)];
        let retention = Self {
            finished: section.duration("finished", second, decade),
            bodies: section.word("bodies", &bodies),
            idempotency: section.duration("idempotency", second, decade),
        };
        section.finish();
        retention
    }
}
