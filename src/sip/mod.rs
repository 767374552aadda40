//! SIP's nouns and machines. Pure: no tokio, no clock, no randomness of its own, no I/O.
//!
//! Time and chance are arguments, so every rule can be tested at once and twice alike.

pub mod digest;
pub mod headers;
mod outgoing;
pub mod parse;
pub mod registration;
mod respond;
mod response;
mod server;
mod status;
pub mod target;
#[cfg(test)]
mod testing;
pub mod transaction;
pub mod uri;
mod user_agent;
mod write;

pub use outgoing::Outgoing;
pub use respond::Answer;
pub use respond::Received;
pub use response::Response;
pub use server::AnswerError;
pub use status::StatusCode;
pub use user_agent::Event;
pub use user_agent::Outcome;
pub use user_agent::Output;
pub use user_agent::Settings;
pub use user_agent::Transport;
pub use user_agent::UserAgent;
