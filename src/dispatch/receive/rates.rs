//! How many messages a second an account takes in, in all and of one sender.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Rate;

/// How much may come at once, as the time that it takes at the rate: a person who pastes a dozen
/// lines, or a store-and-forward proxy that hands over what it kept, is no flood.
const BURST: Duration = Duration::from_secs(10);

/// Senders whose rates are known at most. Beyond them new senders count as one.
const MAX_SENDERS: usize = 10_000;

#[derive(Debug)]
pub(super) struct Rates {
    per_account: f64,
    per_sender: f64,
    accounts: HashMap<Arc<str>, AccountRates>,
    senders: usize,
}

#[derive(Debug)]
struct AccountRates {
    all: Rate,
    by_sender: HashMap<String, Rate>,
    other_senders: Rate,
}

impl Rates {
    pub(super) fn new(per_account: f64, per_sender: f64) -> Self {
        Self {
            per_account,
            per_sender,
            accounts: HashMap::new(),
            senders: 0,
        }
    }

    /// Whether a message of this sender may be taken in now; then it is counted.
    pub(super) fn take(&mut self, account: &Arc<str>, sender: &str, now: Instant) -> bool {
        if self.senders >= MAX_SENDERS {
            self.forget_quiet_senders(now);
        }
        let (per_account, per_sender) = (self.per_account, self.per_sender);
        let known = self.accounts.entry(account.clone());
        let known = known.or_insert_with(|| AccountRates {
            all: Rate::new(per_account, BURST),
            by_sender: HashMap::new(),
            other_senders: Rate::new(per_sender, BURST),
        });
        if self.senders < MAX_SENDERS && !known.by_sender.contains_key(sender) {
            self.senders += 1;
            let rate = Rate::new(per_sender, BURST);
            known.by_sender.insert(sender.to_owned(), rate);
        }
        let of_sender = known.by_sender.get_mut(sender);
        let of_sender = of_sender.unwrap_or(&mut known.other_senders);
        let is_limited =
            known.all.limited_until(now).is_some() || of_sender.limited_until(now).is_some();
        if !is_limited {
            known.all.count(1, now);
            of_sender.count(1, now);
        }
        !is_limited
    }

    /// A message that was counted came before.
    pub(super) fn give_back(&mut self, account: &str, sender: &str, now: Instant) {
        if let Some(known) = self.accounts.get_mut(account) {
            known.all.give_back(now);
            let of_sender = known.by_sender.get_mut(sender);
            of_sender.unwrap_or(&mut known.other_senders).give_back(now);
        }
    }

    /// Forgets senders whose messages have all had their time: the rate of a new one is the same.
    fn forget_quiet_senders(&mut self, now: Instant) {
        for known in self.accounts.values_mut() {
            known.by_sender.retain(|_, rate| !rate.ahead(now).is_zero());
        }
        let left = self.accounts.values().map(|known| known.by_sender.len());
        self.senders = left.sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn alice() -> Arc<str> {
        "sip:alice@example.com".into()
    }

    #[test]
    fn a_person_who_pastes_many_lines_is_no_flood() {
        let (mut rates, now) = (Rates::new(1_000.0, 20.0), clock::now());
        for _ in 0..200 {
            assert!(rates.take(&alice(), "sip:bob@example.com", now));
        }
        assert!(!rates.take(&alice(), "sip:bob@example.com", now));
        assert!(rates.take(&alice(), "sip:carol@example.com", now));
        let soon = now + Duration::from_millis(50);
        assert!(rates.take(&alice(), "sip:bob@example.com", soon));
    }

    #[test]
    fn one_account_does_not_use_up_the_rate_of_another() {
        let (mut rates, now) = (Rates::new(1.0, 100.0), clock::now());
        for sender in 0..10 {
            assert!(rates.take(&alice(), &format!("sip:{sender}@example.com"), now));
        }
        assert!(!rates.take(&alice(), "sip:bob@example.com", now));
        assert!(rates.take(&"sip:dora@example.com".into(), "sip:bob@example.com", now));
    }

    #[test]
    fn forks_and_retransmissions_do_not_count() {
        let (mut rates, now) = (Rates::new(1_000.0, 0.1), clock::now());
        for _ in 0..50 {
            assert!(rates.take(&alice(), "sip:bob@example.com", now));
            rates.give_back(&alice(), "sip:bob@example.com", now);
        }
    }

    #[test]
    fn senders_are_bounded_and_those_beyond_share_one_rate() {
        let (mut rates, now) = (Rates::new(1_000_000.0, 0.1), clock::now());
        for sender in 0..MAX_SENDERS {
            assert!(rates.take(&alice(), &format!("sip:{sender}@example.com"), now));
        }
        assert!(rates.take(&alice(), "sip:one@example.com", now));
        assert!(!rates.take(&alice(), "sip:two@example.com", now));
        assert_eq!(rates.senders, MAX_SENDERS);
        // When those have been quiet for long enough, they make room.
        let later = now + BURST;
        assert!(rates.take(&alice(), "sip:two@example.com", later));
        assert_eq!(rates.senders, 1);
    }
}
