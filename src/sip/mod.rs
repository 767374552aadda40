//! SIP's nouns and machines. Pure: no tokio, no clock, no randomness of its own, no I/O.
//!
//! Time and chance are arguments, so every rule can be tested at once and twice alike.

pub mod digest;
pub mod headers;
mod inbound;
mod outgoing;
pub mod parse;
pub mod registration;
mod response;
mod status;
pub mod target;
pub mod transaction;
pub mod uri;
mod user_agent;

pub use outgoing::Outgoing;
pub use response::Response;
pub use status::StatusCode;
pub use user_agent::Event;
pub use user_agent::Outcome;
pub use user_agent::Output;
pub use user_agent::Settings;
pub use user_agent::Transport;
pub use user_agent::UserAgent;
