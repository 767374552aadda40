//! Where a socket and a clock meet SIP's machines: one user agent, its connection, its task.
//!
//! `translate` is the only place that speaks both our vocabulary and SIP's.

mod addressing;
mod driver;
mod handle;
mod instance;
mod observer;
mod pace;
mod reconnect;
mod status;
#[cfg(test)]
mod tests;
mod tls;
mod translate;
mod upgrade;
mod websocket;

pub use addressing::{Accounts, Sender};
pub use driver::run;
pub use driver::{Keepalive, Parts, Probe};
pub use handle::{AgentIndex, Command, Handle, Identity, Job, Report};
pub use instance::instance_id;
pub use observer::Observer;
pub use pace::Pace;
pub use reconnect::Recovery;
pub use status::Shown;
pub use tls::client_config;
pub use tls::{Identification, TlsError};
pub use translate::call_id;
pub use translate::reserved;
pub use websocket::{Dialing, FRAME_HEADER, Server};
