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

pub use addressing::Accounts;
pub use addressing::Sender;
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
pub use instance::instance_id;
pub use observer::Observer;
pub use pace::Pace;
pub use reconnect::Recovery;
pub use status::Shown;
pub use tls::Identification;
pub use tls::TlsError;
pub use tls::client_config;
pub use translate::call_id;
pub use translate::reserved;
pub use websocket::Dialing;
pub use websocket::FRAME_HEADER;
pub use websocket::Server;
