//! Who wants to know how commits go.

use std::time::Duration;

use super::StoreError;

/// Who wants to know how commits go. Called by the thread that writes, so it must not block.
pub trait Observer: Send + Sync {
    /// A transaction with this many rows took so long, its sync included.
    fn committed(&self, took: Duration, rows: usize);

    /// A transaction failed.
    fn failed(&self, _error: &StoreError) {}
}

/// Nobody wants to know.
impl Observer for () {
    fn committed(&self, _took: Duration, _rows: usize) {}
}
