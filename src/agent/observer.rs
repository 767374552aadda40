//! How agents fare, as figures.

/// Counts reconnections. Called by the tasks of the agents, so it must not block.
pub trait ReconnectObserver: Send + Sync {
    /// An agent lost its connection, or got none, and will open one again.
    fn reconnecting(&self);
}

/// Counts nothing.
impl ReconnectObserver for () {
    fn reconnecting(&self) {}
}
