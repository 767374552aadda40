//! How agents fare, as figures.

/// Counts reconnections. Called by the tasks of the agents, so it must not block.
pub trait Observer: Send + Sync {
    /// An agent lost its connection, or got none, and will open one again.
    fn reconnecting(&self);
}

/// Counts nothing.
impl Observer for () {
    fn reconnecting(&self) {}
}
