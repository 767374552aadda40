//! Where a socket and a clock meet SIP's machines: one user agent, its connection, its task.
//!
//! `translate` is the only place that speaks both our vocabulary and SIP's.

mod handle;
mod translate;

pub use handle::AgentIndex;
pub use handle::Command;
pub use handle::Handle;
pub use handle::Identity;
pub use handle::Job;
pub use handle::Report;
