//! What the tests of the machines have in common: a desk at which one user agent sits, and a
//! simulated world in which several do.

mod desk;
mod registrar;
mod simulation;
mod wire;

pub(in crate::sip) use desk::Desk;
pub(in crate::sip) use desk::epoch;
pub(in crate::sip) use desk::message_to;
pub(in crate::sip) use desk::reply;
pub(in crate::sip) use desk::settings;
pub(in crate::sip) use desk::status;
pub(in crate::sip) use desk::value;
