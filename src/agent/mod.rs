//! Where a socket and a clock meet SIP's machines: one user agent, its connection, its task.
//!
//! `translate` is the only place that speaks both our vocabulary and SIP's.

mod driver;
mod handle;
mod pace;
mod reconnect;
mod status;
mod translate;
mod websocket;

pub use driver::Keepalive;
pub use driver::Parts;
pub use driver::Probe;
pub use driver::run;
pub use handle::AgentIndex;
pub use handle::Command;
pub use handle::Handle;
pub use handle::Identity;
pub use handle::Job;
pub use handle::Report;
pub use pace::Pace;
pub use reconnect::Recovery;
pub use status::Shown;
pub use websocket::Dialing;
pub use websocket::Server;
