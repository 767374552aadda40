//! How much one client has of what all share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much one client has.
#[derive(Debug, Default)]
pub struct Quota {
    used: AtomicUsize,
}

/// One share of a quota; dropping it gives it back.
#[derive(Debug)]
pub struct QuotaPermit(Arc<Quota>);

impl Quota {
    /// Takes so many more, or none when there would be more than `limit`.
    pub fn take(self: &Arc<Self>, count: usize, limit: usize) -> Option<Vec<QuotaPermit>> {
        let add = |used: usize| used.checked_add(count).filter(|sum| *sum <= limit);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .ok()?;
        Some((0..count).map(|_| QuotaPermit(self.clone())).collect())
    }
}

/// Whose a permit is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct QuotaHolder(usize);

impl QuotaPermit {
    /// Whose it is, to be compared with others.
    pub(super) fn holder(&self) -> QuotaHolder {
        QuotaHolder(Arc::as_ptr(&self.0).addr())
    }
}

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none_is_taken_and_given_back_one_by_one() {
        let quota = Arc::new(Quota::default());
        let mut taken = quota.take(2, 3).unwrap();
        assert!(quota.take(2, 3).is_none());
        assert!(quota.take(usize::MAX, 3).is_none());
        taken.pop();
        assert_eq!(quota.take(2, 3).unwrap().len(), 2);
        assert!(quota.take(3, 3).is_none());
    }
}
