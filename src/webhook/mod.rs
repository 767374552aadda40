//! By our POST: events to standing webhooks, and to the webhooks that messages name.
//!
//! The [`planner`] reads the log behind its readers by a cursor in the store, and turns each event
//! into deliveries once. The [`sender`] takes what is due out of the store, queue by queue, as
//! [`queues`] says, and posts it. The store is the queue: whatever the backlog, this room holds a
//! few deliveries of each queue, and what is lost with the process is taken up at the next start.
//!
//! [`client`] is the only place that knows outbound HTTP, and [`guard`] what it may reach.

mod client;
mod endpoints;
mod envelope;
mod guard;
mod observer;
mod planner;
mod queues;
mod recovery;
mod roster;
mod schedule;
mod sender;
mod sign;
mod vault;

pub use client::{Answer, Client, ClientError, Lookup, Resolver, SystemResolver, TokenSecrets};
pub use endpoints::{CreateError, NewEndpoint, Parts, Tested, Webhooks};
pub use guard::{AddressRefused, Guard, UrlRefused};
pub use observer::{Observer, PartOf, Posted};
pub use roster::RosterError;
pub use schedule::Schedule;
pub use sign::SigningSecret;
pub use vault::{KeyError, Vault, VaultError};
