//! How often one address may come without a token that is known.
//!
//! No guessing finds a token; this keeps what guesses cost, and what they write to the log, small.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::meter::Meter;
use crate::api::peer::network;

/// Addresses remembered at once. When there is no room for another, the new ones share one
/// allowance until some are forgotten.
const MAX_ADDRESSES: usize = 4_096;
/// An address is forgotten when it was quiet for so long.
const MEMORY: Duration = Duration::from_secs(60);

/// The allowance of each address.
#[derive(Debug)]
pub(super) struct Refusals {
    rate: f64,
    by_address: Mutex<HashMap<IpAddr, Seen>>,
    others: Meter,
}

#[derive(Debug)]
struct Seen {
    meter: Meter,
    last: Instant,
}

impl Refusals {
    pub(super) fn new(rate: u32) -> Self {
        let rate = f64::from(rate);
        Self {
            rate,
            by_address: Mutex::default(),
            others: Meter::new(rate),
        }
    }

    pub(super) fn is_of_rate(&self, rate: u32) -> bool {
        self.rate.total_cmp(&f64::from(rate)).is_eq()
    }

    /// Counts one from this address, or says how long it is too early.
    pub(super) fn count(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let network = network(address);
        let mut seen = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_ADDRESSES && !seen.contains_key(&network) {
            seen.retain(|_, seen| now.saturating_duration_since(seen.last) < MEMORY);
            if seen.len() >= MAX_ADDRESSES {
                return self.others.take(now);
            }
        }
        let seen = seen.entry(network).or_insert_with(|| Seen {
            meter: Meter::new(self.rate),
            last: now,
        });
        seen.last = now;
        seen.meter.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_address_has_an_allowance_and_a_v6_network_has_one() {
        let now = Instant::now();
        let refusals = Refusals::new(2);
        let count = |text: &str| refusals.count(text.parse().unwrap(), now).is_ok();
        assert!(count("192.0.2.1") && count("192.0.2.1") && !count("192.0.2.1"));
        assert!(!count("::ffff:192.0.2.1"));
        assert!(count("192.0.2.2"));
        assert!(count("2001:db8::1") && count("2001:db8::2") && !count("2001:db8::3"));
    }

    #[tokio::test(start_paused = true)]
    async fn more_addresses_than_are_remembered_share_one_allowance() {
        let now = Instant::now();
        let refusals = Refusals::new(1);
        for number in 0..MAX_ADDRESSES {
            let address = IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
            assert!(refusals.count(address, now).is_ok());
        }
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        assert!(refusals.count(one, now).is_ok());
        assert!(refusals.count(other, now).is_err());
        let later = now + MEMORY;
        assert!(refusals.count(other, later).is_ok() && refusals.count(one, later).is_ok());
    }
}
