//! Our nouns: what a client asks us to send, what became of it, and what comes in.
//!
//! Pure: no tokio, no clock, no randomness, no I/O, and no word of SIP's wire or of SQL. A message
//! begins as [`Contents`] (checked while they are read), becomes a [`Message`] (accepted: it has an
//! id and a time), and each attempt at it ends in an [`Outcome`], from which [`retry::decide`] says
//! the [`Event`] that follows.

#![warn(missing_docs)]

mod agent;
mod cause;
mod contents;
mod event;
mod event_id;
mod event_kind;
mod frame;
mod header;
mod header_map;
mod id;
mod json;
mod limits;
mod media_type;
mod os_error;
mod outcome;
mod priority;
mod received;
mod recipient;
pub mod retry;
mod status;
mod targets;
mod time;
mod trace;
mod view;
mod violations;
pub mod webhook;

pub use agent::{AgentChange, AgentError, AgentList, AgentOrder, AgentState, AgentStatus, Agents};
pub use cause::{Cause, Originator};
pub use contents::{BodyEncoding, Contents, InReplyTo, Message, Metadata, OnUnknown};
pub use event::{Event, What};
pub use event_id::{EventId, EventIdError};
pub use event_kind::{EventKind, EventKinds};
pub use frame::{Direction, Frame, FrameRecord};
pub use header::{Header, HeaderError, HeaderList};
pub use header_map::HeaderMap;
pub use id::{ByMessage, EndpointId, IdError, MessageId};
pub use json::weight as json_weight;
pub use limits::{Limits, MAX_METADATA, check_metadata};
pub use media_type::is_media_type;
pub use os_error::without_os_error;
pub use outcome::{Answer, Outcome, Unknown};
pub use priority::Priority;
pub use received::{
    Disposition, Envelope, Receipt, ReceiptRequest, Received, Sender, UndeliveredStatus, is_user_of,
};
pub use recipient::{AddressError, BodyRoom, Recipient, is_same_user};
pub use status::Status;
pub use targets::Targets;
pub use time::{Timestamp, TimestampError};
pub use trace::{SpanId, Step, Trace, TraceId};
pub use view::{RequestView, ResponseView};
pub use violations::{Place, Violation, Violations};
