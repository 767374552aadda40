//! The only room that knows HTTP in, and JSON: parse, hand over, show.
//!
//! A handler never waits for SIP. What waits (`Prefer: wait`, event streams) reads the log.

mod access;
mod agents;
mod answer;
mod batch;
mod browser;
mod bytes;
mod connection;
mod docs;
mod error;
mod events;
mod extract;
mod frames;
mod health;
mod json;
mod live;
mod messages;
mod metrics;
mod middleware;
mod negotiate;
mod new_message;
mod observer;
mod openapi;
mod origin;
mod params;
mod peer;
mod places;
mod post;
mod problem;
mod received;
mod replies;
mod router;
mod serve;
mod service;
mod sse;
mod tls;
mod trace;
mod turns;
mod until;
mod value;
mod view;
mod wait_comment;
mod waiting;
mod webhooks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use uuid::{ContextV7, Uuid};

use crate::clock::Clock;
use crate::dispatch::{Accounts, Handle, QuotaPermit, SipTraces};
use crate::events::Feed;
use crate::message::{Agents, Limits, MessageId, Timestamp};
use crate::store::{PageSize, Store};
use crate::webhook::Webhooks;

use access::{Caller, Meter};
use bytes::ByteBudget;
use health::StoreCheck;
use turns::PageTurns;

pub use access::{Access, AccessParts, Rights, Token};
pub use browser::Origins;
pub use error::ApiError;
pub use observer::{Answered, MetricsFormat, Observer, Readings};
pub use origin::Hosts;
pub use peer::{Proxies, ProxyHeader};
pub use places::PlaceLimits;
pub use problem::ProblemType;
pub use router::PATHS;
pub use serve::Server;
pub use serve::serve;
pub use service::ApiService;
pub use tls::CertificateError;
pub use tls::server_config;

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

/// What an [`Api`] is made of.
pub struct Parts {
    /// Messages and events.
    pub store: Arc<dyn Store>,
    /// The way into the dispatcher.
    pub dispatch: Handle,
    pub feed: Feed,
    /// Standing webhooks and their deliveries.
    pub webhooks: Webhooks,
    /// What targets and senders are checked against.
    pub accounts: Arc<Accounts>,
    pub agents: Arc<dyn Agents>,
    /// The frames of messages and of agents.
    pub traces: SipTraces,
    /// Told of every answer.
    pub observer: Arc<dyn Observer>,
    pub clock: Clock,
    /// Who may call.
    pub access: watch::Receiver<Arc<Access>>,
    /// What a client may ask for.
    pub limits: watch::Receiver<Limits>,
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
    /// Bytes of bodies in memory at once, over all clients, and as many of answers.
    pub max_bodies: usize,
    /// How long a client may take over the body of a request.
    pub request_timeout: Duration,
    /// How often a quiet stream says that it is alive.
    pub heartbeat: Duration,
    /// Messages that may wait at once.
    pub max_queued: usize,
    /// Streams at once.
    pub max_streams: usize,
    /// Whom to believe about where requests come from.
    pub proxies: Proxies,
    /// The origins of pages that may call.
    pub origins: Origins,
}

/// Held as long as an event stream is open.
struct StreamPermit {
    /// Canceled when what the caller may see has changed.
    revoked: CancellationToken,
    _room: OwnedSemaphorePermit,
    _share: Vec<QuotaPermit>,
}

/// Lines a second at `info` about requests that were refused, the others at `debug`; and as many at
/// `warn` about those that there was no room for, the others at `info`.
const REFUSED_LINES: f64 = 10.0;

/// The parts, and what requests share besides.
struct Shared {
    parts: Parts,
    streams: Arc<Semaphore>,
    /// Bytes of bodies that are in memory, and of answers.
    bodies: Arc<ByteBudget>,
    answers: Arc<ByteBudget>,
    pages: Arc<PageTurns>,
    ids: Mutex<ContextV7>,
    store_check: StoreCheck,
    /// Bounds the lines about requests that were refused.
    refused_lines: Meter,
    /// Bounds those about what there was no room for, which clients bring about as well.
    unavailable_lines: Meter,
}

impl Api {
    /// The handlers' view of these parts.
    pub fn new(parts: Parts) -> Self {
        let settings = &parts.settings;
        // The largest request there may be comes through when it is alone.
        let bodies = settings.max_bodies;
        let bodies = bodies
            .max(settings.max_request)
            .max(settings.max_batch_request);
        let answers = settings.max_bodies.max(PageSize::from(1).bytes);
        let streams = Arc::new(Semaphore::new(parts.settings.max_streams));
        Self(Arc::new(Shared {
            parts,
            streams,
            bodies: ByteBudget::new(bodies),
            answers: ByteBudget::new(answers),
            pages: Arc::default(),
            ids: Mutex::new(ContextV7::new()),
            store_check: StoreCheck::default(),
            refused_lines: Meter::new(REFUSED_LINES),
            unavailable_lines: Meter::new(REFUSED_LINES),
        }))
    }

    /// A name for a message taken in at `now`; later names sort later.
    fn new_id(&self, now: Timestamp) -> MessageId {
        let millis = u64::try_from(now.as_millis()).unwrap_or_default();
        // Below a thousand milliseconds, so the nanoseconds fit.
        let nanos = (millis % 1_000) as u32 * 1_000_000;
        let time = uuid::Timestamp::from_unix(&self.0.ids, millis / 1_000, nanos);
        MessageId::new(Uuid::new_v7(time))
    }

    /// Event streams that are open.
    fn open_streams(&self) -> usize {
        let room = self.0.streams.available_permits();
        self.settings.max_streams.saturating_sub(room)
    }

    /// Room for one more event stream of this caller.
    fn stream_permit(&self, caller: &Caller) -> Result<StreamPermit, ApiError> {
        let share = caller.stream_permits(self.settings.max_streams)?;
        let permit = self.0.streams.clone().try_acquire_owned();
        Ok(StreamPermit {
            revoked: caller.revoked(),
            _room: permit.map_err(|_| ApiError::TooManyStreams)?,
            _share: share,
        })
    }
}

impl std::ops::Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
