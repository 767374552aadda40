//! SIP's nouns and machines. Pure: no tokio, no clock, no randomness of its own, no I/O.
//!
//! Time and chance are arguments, so every rule can be tested at once and twice alike.

pub mod headers;
mod outgoing;
pub mod parse;
mod status;
pub mod target;
pub mod transaction;
pub mod uri;

pub use outgoing::Outgoing;
pub use status::StatusCode;
