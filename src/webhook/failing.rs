//! Which receivers fail, so that the log tells when one begins to and when it ends, and not of each
//! attempt.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Receivers that are remembered. When there are more, all are forgotten, and each that goes on
/// failing is reported once more.
const MAX: usize = 1_024;

/// Receivers whose last post failed: standing webhooks by their id, others by their origin.
#[derive(Debug, Default)]
pub(super) struct FailingReceivers(Mutex<HashSet<Arc<str>>>);

impl FailingReceivers {
    /// A post failed. Returns whether the one before did not.
    pub(super) fn handle_failure(&self, receiver: &Arc<str>) -> bool {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.contains(receiver) {
            return false;
        }
        if failing.len() >= MAX {
            failing.clear();
        }
        failing.insert(receiver.clone())
    }

    /// A post was taken. Returns whether the one before failed.
    pub(super) fn handle_success(&self, receiver: &Arc<str>) -> bool {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failing.remove(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_news_and_what_goes_on_is_not() {
        let failing = FailingReceivers::default();
        let receiver: Arc<str> = "https://app.example".into();
        assert!(!failing.handle_success(&receiver));
        for _ in 0..2 {
            assert!(failing.handle_failure(&receiver));
            assert!(!failing.handle_failure(&receiver));
            assert!(failing.handle_success(&receiver));
            assert!(!failing.handle_success(&receiver));
        }
    }

    #[test]
    fn no_more_are_remembered_than_may_be_and_none_is_passed_over() {
        let failing = FailingReceivers::default();
        for number in 0..3 * MAX {
            let receiver: Arc<str> = number.to_string().into();
            assert!(failing.handle_failure(&receiver), "{number}");
            assert!(failing.0.lock().unwrap().len() <= MAX);
        }
    }
}
