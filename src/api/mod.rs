//! The only room that knows HTTP in, and JSON: parse, hand over, show.
//!
//! A handler never waits for SIP. What waits (`Prefer: wait`, event streams) reads the log.

mod agents;
mod batch;
mod error;
mod events;
mod extract;
mod health;
mod messages;
mod middleware;
mod negotiate;
mod new_message;
mod openapi;
mod query;
mod router;
mod serve;
mod sse;
mod view;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::dispatch::Handle;
use crate::events::Feed;
use crate::message::Addressing;
use crate::message::Agents;
use crate::message::Limits;
use crate::store::Store;

pub use error::ApiError;
pub use error::SLUGS;
pub use router::ROUTES;
pub use router::router;
pub use serve::Server;
pub use serve::serve;

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// What an [`Api`] is made of.
pub struct Parts {
    /// What is durable.
    pub store: Arc<dyn Store>,
    /// The way into the dispatcher.
    pub dispatch: Handle,
    /// The log.
    pub feed: Feed,
    /// What targets and senders are checked against.
    pub addressing: Arc<dyn Addressing>,
    /// The agents.
    pub agents: Arc<dyn Agents>,
    /// The time.
    pub clock: Clock,
    /// What a client may ask for.
    pub limits: Limits,
    /// What the operator set.
    pub settings: Settings,
    /// Canceled when the gateway begins to stop: nothing new is taken in.
    pub draining: CancellationToken,
    /// Canceled when event streams are to end.
    pub closing: CancellationToken,
}

/// What the operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest request, in bytes.
    pub max_request: usize,
    /// The largest batch, in bytes.
    pub max_batch_request: usize,
    /// How long a client may take over its whole request.
    pub request_timeout: Duration,
    /// How often a quiet stream says that it is alive.
    pub heartbeat: Duration,
    /// Streams at once.
    pub max_streams: usize,
}

impl Api {
    /// The handlers' view of these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
