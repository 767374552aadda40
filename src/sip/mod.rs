//! SIP's nouns and machines. Pure: no tokio, no clock, no randomness of its own, no I/O.
//!
//! Time and chance are arguments, so every rule can be tested at once and repeated from a seed.
//!
//! | file           | is about                                                                |
//! |----------------|-------------------------------------------------------------------------|
//! | `parse`        | a frame read as a message, without copying                              |
//! | `write`        | lines of a message                                                      |
//! | `headers`      | the headers that the machines read                                      |
//! | `uri`, `target`| addresses, and what a client may write for one                          |
//! | `digest`       | authentication, from both sides                                         |
//! | `cpim`, `imdn` | messages in an envelope, and receipts                                   |
//! | `registration` | the life of a registration                                              |
//! | `settings`     | the settings of a user agent                                            |
//! | `output`       | its output: frames to write, and events                                 |
//! | `server`       | requests that came in, once each (§17.2.2)                              |
//! | `content`      | what they carry                                                         |
//! | `respond`      | how they are answered (§8.2)                                            |
//! | `user_agent`   | the machine of machines: it drives a connection                         |

#![warn(missing_docs)]

mod content;
pub mod cpim;
pub mod digest;
pub mod headers;
pub mod imdn;
mod output;
pub mod parse;
pub mod registration;
mod respond;
mod server;
mod settings;
mod status;
pub mod target;
#[cfg(test)]
pub(crate) mod testing;
mod unhashed;
pub mod uri;
mod user_agent;
pub(crate) mod write;

pub use content::Content;
pub use output::{Event, FrameOwner, IncomingRequest, NotTaken, Outcome, Output, Response};
pub use respond::OutgoingResponse;
pub use server::AnswerError;
pub use settings::{ReceiveSettings, Settings, Transport};
pub use status::StatusCode;
pub use user_agent::{FallbackBody, OutgoingRequest, UserAgent};
