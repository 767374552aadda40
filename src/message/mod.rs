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

pub use accepted::{BodyEncoding, Message, Metadata, OnUnknown};
pub use addressing::{AddressError, Addressing, BodyRoom, Recipient};
pub use agent::{AgentError, AgentOrder, AgentState, AgentStatus, Agents};
pub use cause::{Cause, Originator};
pub use draft::Draft;
pub use event::{Event, EventKind, EventKinds, RequestView, ResponseView, What};
pub use header::{Header, HeaderError, HeaderList};
pub use header_map::HeaderMap;
pub use id::{ByMessage, EndpointId, IdError, MessageId};
pub use json::weight as json_weight;
pub use new_message::{Limits, NewMessage};
pub use outcome::{Answer, Outcome, Unknown};
pub use status::Status;
pub use targets::Targets;
pub use time::{Timestamp, TimestampError};
pub use trace::{SpanId, Step, Trace, TraceId};
pub use validate::MAX_METADATA;
pub use violations::{Place, Violation, Violations};
