//! SIP's nouns and machines. Pure: no tokio, no clock, no randomness of its own, no I/O.
//!
//! Time and chance are arguments, so every rule can be tested at once and twice alike.
//!
//! | file           | is about                                                                |
//! |----------------|-------------------------------------------------------------------------|
//! | `parse`        | a frame read as a message, without copying                              |
//! | `headers`      | the headers that the machines read, one to a file                       |
//! | `uri`, `target`| addresses, and what a client may write for one                          |
//! | `digest`       | authentication, from both sides                                         |
//! | `transaction`  | a request on its way (RFC 3261 §17.1.2)                                 |
//! | `registration` | the life of a registration                                              |
//! | `server`       | requests that came in, once each (§17.2.2)                              |
//! | `respond`      | what is answered to them (§8.2)                                         |
//! | `user_agent`   | the machine of machines: what a connection is driven with               |

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
pub(crate) mod testing;
pub mod transaction;
pub mod uri;
mod user_agent;
mod write;

pub use outgoing::Outgoing;
pub use respond::{Answer, Received};
pub use response::Response;
pub use server::AnswerError;
pub use status::StatusCode;
pub use user_agent::{Event, Outcome, Output, Settings, Transport, UserAgent};
