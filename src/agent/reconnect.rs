//! Which server comes next, how long to stay away first, and at which pace all agents connect.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::clock::Rate;
use crate::message::retry::Backoff;

/// How long to stay away after connections that failed.
#[derive(Clone, Copy, Debug)]
pub struct ReconnectPolicy {
    /// The bound after the first failure.
    pub min: Duration,
    /// The bound however many failures there were.
    pub max: Duration,
    /// How long a server that failed is left alone while another can be tried.
    pub cooldown: Duration,
}

impl ReconnectPolicy {
    /// The wait after this many failures in a row, from 1: between half of a bound that doubles
    /// and the whole of it, so that a fleet that was cut off together does not return together,
    /// not even at the first try.
    pub(super) fn wait(&self, failures: u32, jitter: f64) -> Duration {
        let (min, max) = (self.min, self.max);
        Backoff { min, max }.wait(failures, jitter)
    }
}

/// The servers of an account, and when each failed last.
#[derive(Debug)]
pub(super) struct Servers {
    weights: Vec<u32>,
    penalized_until: Vec<Option<Instant>>,
}

impl Servers {
    /// Servers of these weights; at least one.
    pub(super) fn new(weights: Vec<u32>) -> Self {
        let penalized_until = vec![None; weights.len()];
        Self {
            weights,
            penalized_until,
        }
    }

    /// The heaviest server that has not failed lately, ties by `chance` (0 to 1); when all have,
    /// they are all forgiven.
    pub(super) fn choose(&mut self, now: Instant, chance: f64) -> usize {
        let is_open = |at: &usize| self.penalized_until[*at].is_none_or(|until| until <= now);
        let mut open: Vec<_> = (0..self.weights.len()).filter(is_open).collect();
        if open.is_empty() {
            self.penalized_until.fill(None);
            open = (0..self.weights.len()).collect();
        }
        let heaviest = open
            .iter()
            .map(|at| self.weights[*at])
            .max()
            .unwrap_or_default();
        open.retain(|at| self.weights[*at] == heaviest);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a small count"
        )]
        let pick = (chance.clamp(0.0, 1.0) * open.len() as f64) as usize;
        open.get(pick)
            .or_else(|| open.last())
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn failed(&mut self, server: usize, until: Instant) {
        if let Some(slot) = self.penalized_until.get_mut(server) {
            *slot = Some(until);
        }
    }

    /// When a heavier server than this one may be tried again; `None` when there is none.
    pub(super) fn better_at(&self, server: usize) -> Option<Instant> {
        let times = self
            .heavier(server)
            .filter_map(|at| self.penalized_until[at]);
        times.min()
    }

    /// The heaviest server above this one that may be tried again by `now`.
    pub(super) fn better_than(&self, server: usize, now: Instant) -> Option<usize> {
        let may_be_back = |at: &usize| self.penalized_until[*at].is_some_and(|until| until <= now);
        let candidates = self.heavier(server).filter(may_be_back);
        candidates.max_by_key(|at| self.weights[*at])
    }

    /// Whether there is another server than this one that has not failed lately.
    pub(super) fn has_another(&self, server: Option<usize>, now: Instant) -> bool {
        let is_open = |until: &Option<Instant>| until.is_none_or(|until| until <= now);
        let others = self.penalized_until.iter().enumerate();
        others
            .filter(|(at, _)| Some(*at) != server)
            .any(|(_, until)| is_open(until))
    }

    fn heavier(&self, server: usize) -> impl Iterator<Item = usize> + '_ {
        let weight = self.weights.get(server).copied().unwrap_or(u32::MAX);
        (0..self.weights.len()).filter(move |at| self.weights[*at] > weight)
    }
}

/// How fast agents come: connections begun in a second, over all agents, so that a start or the
/// return of a registrar is a stream and not a burst.
#[derive(Debug)]
pub struct Pace(Mutex<Rate>);

impl Pace {
    /// So many a second.
    pub fn new(per_second: u32) -> Self {
        Self(Mutex::new(Rate::new(per_second.into(), Duration::ZERO)))
    }

    /// Waits for the caller's turn.
    pub(super) async fn wait(&self) {
        tokio::time::sleep_until(self.turn().into()).await;
    }

    fn turn(&self) -> Instant {
        let mut rate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rate.turn(clock::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECOVERY: ReconnectPolicy = ReconnectPolicy {
        min: Duration::from_secs(2),
        max: Duration::from_secs(30),
        cooldown: Duration::from_secs(60),
    };

    fn epoch() -> Instant {
        clock::now()
    }

    #[test]
    fn w6_the_bound_doubles_and_the_first_retry_has_jitter_too() {
        let bounds: Vec<_> = (1..8).map(|n| RECOVERY.wait(n, 1.0).as_secs()).collect();
        assert_eq!(bounds, [2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(RECOVERY.wait(1, 0.0), Duration::from_secs(1));
        assert_eq!(RECOVERY.wait(u32::MAX, 0.5), Duration::from_millis(22_500));
    }

    #[test]
    fn w7_the_heaviest_server_is_tried_first_then_the_others_then_all_again() {
        let now = epoch();
        let mut servers = Servers::new(vec![1, 10, 10]);
        let first = servers.choose(now, 0.0);
        assert_eq!(first, 1);
        assert_eq!(servers.choose(now, 0.99), 2);
        for expected in [1, 2, 0, 1] {
            assert_eq!(servers.choose(now, 0.0), expected);
            servers.failed(expected, now + RECOVERY.cooldown);
        }
    }

    #[test]
    fn w7_a_heavier_server_is_returned_to_after_its_cooldown() {
        let now = epoch();
        let mut servers = Servers::new(vec![10, 1]);
        servers.failed(0, now + RECOVERY.cooldown);
        assert_eq!(servers.choose(now, 0.5), 1);
        assert_eq!(servers.better_at(1), Some(now + RECOVERY.cooldown));
        assert_eq!(servers.better_at(0), None);
        assert_eq!(servers.choose(now + RECOVERY.cooldown, 0.5), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn agents_come_at_the_pace_and_the_first_at_once() {
        let pace = Pace::new(500);
        let start = clock::now();
        for _ in 0..=500 {
            pace.wait().await;
        }
        let took = clock::now() - start;
        assert!(
            took >= Duration::from_secs(1) && took < Duration::from_millis(1_600),
            "{took:?}"
        );
    }
}
