//! Our nouns: what a client asks us to send, and what became of it.
//!
//! Pure: no tokio, no clock, no randomness, no I/O, and no word of SIP's wire or of SQL. A message
//! begins as a [`NewMessage`] (as a client wrote it), becomes a [`Draft`] (checked, once and for
//! all), then a [`Message`] (accepted: it has an id and a time), and each attempt at it ends in an
//! [`Outcome`], from which [`retry::decide`] says what is told: an [`Event`].

mod accepted;
mod addressing;
mod agent;
mod cause;
mod draft;
mod event;
mod header;
mod header_map;
mod id;
mod json;
mod media_type;
mod new_message;
mod outcome;
pub mod retry;
mod status;
mod targets;
mod time;
mod trace;
mod validate;
mod violations;
pub mod webhook;

pub use accepted::BodyEncoding;
pub use accepted::Message;
pub use accepted::Metadata;
pub use accepted::OnUnknown;
pub use addressing::AddressError;
pub use addressing::Addressing;
pub use addressing::BodyRoom;
pub use addressing::Recipient;
pub use agent::AgentError;
pub use agent::AgentOrder;
pub use agent::AgentState;
pub use agent::AgentStatus;
pub use agent::Agents;
pub use cause::Cause;
pub use cause::Originator;
pub use draft::Draft;
pub use event::Event;
pub use event::EventKind;
pub use event::EventKinds;
pub use event::RequestView;
pub use event::ResponseView;
pub use event::What;
pub use header::Header;
pub use header::HeaderError;
pub use header::HeaderList;
pub use header_map::HeaderMap;
pub use id::ByMessage;
pub use id::EndpointId;
pub use id::IdError;
pub use id::MessageId;
pub use json::weight as json_weight;
pub use new_message::Limits;
pub use new_message::NewMessage;
pub use outcome::Answer;
pub use outcome::Outcome;
pub use outcome::Unknown;
pub use status::Status;
pub use targets::Targets;
pub use time::Timestamp;
pub use time::TimestampError;
pub use trace::SpanId;
pub use trace::Step;
pub use trace::Trace;
pub use trace::TraceId;
pub use validate::MAX_METADATA;
pub use violations::Place;
pub use violations::Violation;
pub use violations::Violations;
