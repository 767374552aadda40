//! The whole gateway, tried from outside: over HTTP, over WebSocket, and by its own commands.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod agents;
mod batch;
mod cancel;
mod certificates;
mod cli;
mod crash;
mod disk;
mod events;
mod harness;
mod idempotency;
mod lanes;
mod limits;
mod losses;
mod operating;
mod outcomes;
mod posting;
mod priority;
mod received;
mod receiving;
mod restart;
mod retention;
mod schedule;
mod soak;
mod traces;
mod watching;
mod webhooks;
