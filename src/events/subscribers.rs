//! The subscriptions that follow the log now, and what each lets pass.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::EventKind;
use crate::store::EventFilter;

#[derive(Debug, Default)]
pub(super) struct Subscribers(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_number: HashMap<u64, EventFilter>,
    next: u64,
}

/// The entry of a reader; it is removed with it.
#[derive(Debug)]
pub(super) struct SubscriberEntry {
    subscribers: Arc<Subscribers>,
    number: u64,
}

impl Subscribers {
    /// Notes a reader with this filter.
    pub(super) fn enter(self: &Arc<Self>, filter: EventFilter) -> SubscriberEntry {
        let mut entries = self.lock();
        let number = entries.next;
        entries.next += 1;
        entries.by_number.insert(number, filter);
        drop(entries);
        SubscriberEntry {
            subscribers: self.clone(),
            number,
        }
    }

    /// Whether one of them lets every event of this type and account pass.
    pub(super) fn has_one_for(&self, kind: EventKind, account: &str) -> bool {
        let passes = |filter: &EventFilter| {
            (filter.kinds.is_empty() || filter.kinds.contains(kind))
                && filter.admits(Some(account))
                && filter.message_id.is_none()
                && filter.uri.is_none()
                && !filter.has_webhook
        };
        self.lock().by_number.values().any(passes)
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SubscriberEntry {
    fn drop(&mut self) {
        self.subscribers.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "sip:alice@example.com";

    #[test]
    fn a_reader_counts_for_what_its_filter_lets_pass_and_as_long_as_it_is_there() {
        let subscribers = Arc::new(Subscribers::default());
        let has_one = |kind| subscribers.has_one_for(kind, ALICE);
        assert!(!has_one(EventKind::Received));
        let accounts = Some(Arc::new([Arc::from(ALICE)].into_iter().collect()));
        let of_alice = subscribers.enter(EventFilter {
            accounts: accounts.clone(),
            ..EventFilter::default()
        });
        assert!(has_one(EventKind::Received));
        assert!(!subscribers.has_one_for(EventKind::Received, "sip:bob@example.com"));
        drop(of_alice);
        let of_failures = subscribers.enter(EventFilter {
            kinds: [EventKind::Failed].into_iter().collect(),
            accounts,
            ..EventFilter::default()
        });
        assert!(!has_one(EventKind::Received) && has_one(EventKind::Failed));
        drop(of_failures);
        assert!(!has_one(EventKind::Failed));
        let _of_one_target = subscribers.enter(EventFilter {
            uri: Some("sip:bob@example.com".into()),
            ..EventFilter::default()
        });
        assert!(!has_one(EventKind::Received));
    }
}
