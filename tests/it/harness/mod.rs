//! What tests of a whole gateway are made of: it, a SIP server that does as it is told, a client.
//!
//! Nothing here sleeps: a test waits for a fact, at most for [`PATIENCE`].

mod client;
mod disk;
mod incoming;
mod ledger;
mod load;
mod message;
mod peer;
mod program;
mod seed;
mod stream;
mod test_gateway;

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) use client::Answer;
pub(crate) use client::Client;
pub(crate) use client::id_of;
pub(crate) use client::types_of;
pub(crate) use disk::SmallDisk;
pub(crate) use incoming::Incoming;
pub(crate) use incoming::PeerAnswer;
pub(crate) use load::Load;
pub(crate) use load::script;
pub(crate) use peer::Got;
pub(crate) use peer::Peer;
pub(crate) use peer::Reply;
pub(crate) use program::Exit;
pub(crate) use program::Program;
pub(crate) use seed::Seed;
pub(crate) use stream::Event;
pub(crate) use stream::Stream;
pub(crate) use test_gateway::OpenGateway;
pub(crate) use test_gateway::TestGateway;

/// The whole log: with the events of agents, which a reader has to name.
pub(crate) const WHOLE_LOG: &str = "/events?type=sending,deferred,succeeded,failed,received,\
    delivered,displayed,undelivered,agentUp,agentDown";

/// How long a fact may be waited for. Much longer than anything takes on a busy machine, so that
/// only what never comes fails a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An address of this machine that no other test has, so that no other takes a port of it.
pub(crate) fn own_address() -> Ipv4Addr {
    static LAST: AtomicU8 = AtomicU8::new(0);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 100 + number, middle ^ high, low.max(1))
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, fact: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, fact).await {
        Ok(found) => found,
        Err(_) => panic!("this did not happen: {what}"),
    }
}
