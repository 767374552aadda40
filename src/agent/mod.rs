//! Where a socket and a clock meet SIP's machines: one user agent, its connection, its task.
//!
//! `translate` is the only place that speaks both our vocabulary and SIP's.

mod addressing;
mod arrival;
mod changes;
mod command_queue;
mod driver;
mod handle;
mod identity;
mod observer;
mod reconnect;
mod status;
#[cfg(test)]
mod tests;
mod text_frames;
mod tls;
mod translate;
mod upgrade;
mod websocket;

pub use addressing::{Accounts, SenderAccount};
pub use arrival::{Arrival, ArrivalId, ArrivalReply, Arrivals, Inbound, InboundAnswer};
pub use changes::RegistrationChanges;
pub use command_queue::CommandReceiver;
pub use driver::{AgentParts, Keepalive, Probe, run};
pub use handle::{AgentCommand, AgentHandle, AgentIndex, Job, Report, TracedFrames};
pub use identity::{Identity, instance_id};
pub use observer::{AgentObserver, NotTaken};
pub use reconnect::{Pace, ReconnectPolicy};
pub use status::StatusCell;
pub use tls::{Identification, TlsError, client_config};
pub use translate::{BodyForm, call_id, reserved};
pub use websocket::{Dialing, FRAME_HEADER, WeightedServer};
