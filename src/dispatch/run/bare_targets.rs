//! Targets whose phones refuse a body in an envelope (RFC 3862): for a day they are sent it bare.

use std::collections::hash_map::RandomState;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashlink::LruCache;

/// How long a target is remembered.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Targets at once; the one that was learned first makes room.
const MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct BareTargets {
    /// Hashed with a key: clients choose the targets.
    until: LruCache<Arc<str>, Instant, RandomState>,
}

impl Default for BareTargets {
    fn default() -> Self {
        let until = LruCache::with_hasher(MAX, RandomState::default());
        Self { until }
    }
}

impl BareTargets {
    /// A peer at this target took the bare body only.
    pub(super) fn insert(&mut self, uri: Arc<str>, now: Instant) {
        self.until.insert(uri, now + DAY);
    }

    /// Whether a message to this target goes without an envelope.
    pub(super) fn contains(&self, uri: &str, now: Instant) -> bool {
        self.until.peek(uri).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_target_is_remembered_for_a_day() {
        let (mut targets, now) = (BareTargets::default(), clock::now());
        targets.insert("sip:bob@example.com".into(), now);
        assert!(targets.contains("sip:bob@example.com", now));
        assert!(!targets.contains("sip:carol@example.com", now));
        assert!(!targets.contains("sip:bob@example.com", now + DAY));
    }

    #[test]
    fn targets_are_bounded() {
        let (mut targets, now) = (BareTargets::default(), clock::now());
        for number in 0..=MAX {
            targets.insert(format!("sip:{number}@example.com").into(), now);
        }
        assert!(!targets.contains("sip:0@example.com", now));
        assert!(targets.contains("sip:1@example.com", now));
        assert_eq!(targets.until.len(), MAX);
    }
}
