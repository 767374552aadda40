//! How many values were how large, counted without a lock.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::MetricEncoder;
use prometheus_client::encoding::NoLabelSet;

/// Counts of values up to each of some bounds.
///
/// The histogram of the metrics library takes a lock for each value; here every value is two
/// atomic additions. Sums are kept in billionths, so they end after 584 years of seconds.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [f64],
    /// One more than there are bounds: the last counts what is beyond.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What the sum is kept in.
const BILLION: f64 = 1e9;

impl Histogram {
    /// Nothing counted yet. The bounds rise.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a time, in seconds.
    pub(super) fn observe_time(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.count(time.as_secs_f64(), nanos);
    }

    /// Counts a number of things.
    pub(super) fn observe_count(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.count(f64::from(count), u64::from(count) * 1_000_000_000);
    }

    fn count(&self, value: f64, billionths: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(billionths, Ordering::Relaxed);
    }

    /// Writes it down.
    pub(super) fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a sum is shown to sixteen digits"
        )]
        let sum = self.sum.load(Ordering::Relaxed) as f64 / BILLION;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}
