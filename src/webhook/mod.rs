//! By our POST: events to standing webhooks, and to the webhooks that messages name.
//!
//! The [`planner`] reads the log by a cursor in the store, and turns each event into deliveries
//! once. The [`send_loop`] takes due deliveries out of the store, queue by queue, as [`queues`]
//! says, and the [`sender`] posts them. The store is the queue: whatever the backlog, this room
//! holds a few deliveries of each queue, and the next start takes up those that are lost with the
//! process.
//!
//! [`client`] is the only place that knows outbound HTTP, and [`guard`] what it may reach.

mod client;
mod endpoint_cache;
mod endpoints;
mod failing;
mod guard;
mod planner;
mod queues;
mod schedule;
mod secrets;
mod send_loop;
mod sender;

pub use client::{
    Client, ClientError, Lookup, Observer, PartOf, PostResult, Posted, Resolver, SystemResolver,
    TokenSecrets,
};
pub use endpoint_cache::EndpointCacheError;
pub use endpoints::{CreateError, Dependencies, MAX_TESTS, NewEndpoint, Tested, Webhooks};
pub use guard::{AddressGuard, AddressRefused, UrlRefused};
pub use schedule::Schedule;
pub use secrets::{KeyError, SigningSecret, Vault, VaultError};
