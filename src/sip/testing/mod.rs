//! What the tests of the machines have in common: a desk at which one user agent sits, and a
//! simulated world in which several do.

mod desk;
mod registrar;
mod simulation;
mod wire;

pub(in crate::sip) use desk::Desk;
pub(in crate::sip) use desk::epoch;
pub(crate) use desk::message_to;
pub(crate) use desk::reply;
pub(crate) use desk::settings;
pub(crate) use desk::status;
pub(crate) use desk::value;
