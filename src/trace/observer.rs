//! How traces fare, as figures.

/// Counts frames. Called by agents and by the tasks that write and send, so it must not block.
pub trait TraceObserver: Send + Sync {
    /// So many frames of messages were not kept, for this reason.
    fn not_kept(&self, reason: NotKept, frames: usize);

    /// So many frames for the HEP server ended so.
    fn hep(&self, outcome: HepOutcome, frames: usize);
}

impl TraceObserver for () {
    fn not_kept(&self, _reason: NotKept, _frames: usize) {}

    fn hep(&self, _outcome: HepOutcome, _frames: usize) {}
}

/// Why a frame was not kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotKept {
    /// Too much is held: of its message, or in all.
    Memory,
    /// The store did not take it.
    Store,
}

impl NotKept {
    pub const ALL: [Self; 2] = [Self::Memory, Self::Store];

    /// The word that figures use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Store => "store",
        }
    }
}

/// What became of a frame for the HEP server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HepOutcome {
    /// It was handed to the network.
    Sent,
    /// The server could not be reached.
    Failed,
    /// There was no room in the queue, or in a packet.
    Dropped,
}

impl HepOutcome {
    pub const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];

    /// The word that figures use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}
