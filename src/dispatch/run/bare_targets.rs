//! Targets whose phones refuse a body in an envelope (RFC 3862): for a day they are sent it bare.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a target is remembered.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Targets at once; the one that was learned first makes room.
const MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct BareTargets {
    until: HashMap<Arc<str>, Instant>,
    /// In the order in which they were learned.
    order: VecDeque<Arc<str>>,
}

impl BareTargets {
    /// A peer at this target took the bare body only.
    pub(super) fn insert(&mut self, uri: Arc<str>, now: Instant) {
        if self.until.insert(uri.clone(), now + DAY).is_some() {
            return;
        }
        self.order.push_back(uri);
        if self.order.len() > MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.until.remove(&oldest);
        }
    }

    /// Whether a message to this target goes without an envelope.
    pub(super) fn contains(&self, uri: &str, now: Instant) -> bool {
        self.until.get(uri).is_some_and(|until| *until > now)
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
        assert_eq!((targets.until.len(), targets.order.len()), (MAX, MAX));
    }
}
