//! Who wants to know how agents fare, as figures.

/// Told of what is counted. Called by the tasks of the agents, so it must not block.
pub trait Observer: Send + Sync {
    /// An agent lost its connection, or got none, and will open one again.
    fn reconnecting(&self);
}

/// Nobody wants to know.
impl Observer for () {
    fn reconnecting(&self) {}
}
