//! The heart: which message goes out next, and what follows from how it went.

mod admission;
mod agent_log;
mod board;
mod handle;
mod observer;
mod quota;
mod receive;
mod run;
mod sip_traces;
#[cfg(test)]
mod tests;

/// Which targets and senders there are, for the API: a table that waits for nothing.
pub use crate::agent::Accounts;
pub use admission::{AcceptError, AcceptRequest, Admission, AdmissionReply, Awaited};
pub use agent_log::run as write_agent_log;
pub use handle::{CancelError, Command, DispatchParts, Handle, Settings, Settling};
pub use observer::{FinishedAttempt, MessageObserver, QueueCounts, WaitingFor};
pub use quota::{Quota, QuotaPermit};
pub use receive::{
    Consumers, InboundEnd, InboundObserver, InboundParts, InboundSettings, follow_receipts, receive,
};
pub use run::run;
pub use sip_traces::SipTraces;
