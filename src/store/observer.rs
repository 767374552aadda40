//! Observing commits.

use std::time::Duration;

use super::StoreError;

/// Sees every commit. Called by the thread that writes, so it must not block.
pub trait Observer: Send + Sync {
    /// A transaction with this many rows took so long, its sync included.
    fn committed(&self, took: Duration, rows: usize);

    /// A transaction failed.
    fn failed(&self, _error: &StoreError) {}
}

/// Ignores every call.
impl Observer for () {
    fn committed(&self, _took: Duration, _rows: usize) {}
}
