//! Shared by the tests of the machines: a fixture of one user agent, and a simulated world of
//! several.

mod fixture;
mod proxy;
mod registrar;
mod simulation;
mod wire;

pub(in crate::sip) use fixture::Fixture;
pub(in crate::sip) use fixture::epoch;
pub(crate) use fixture::message_to;
pub(crate) use fixture::reply;
pub(crate) use fixture::settings;
pub(crate) use fixture::status;
pub(crate) use fixture::value;
