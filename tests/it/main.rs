//! The whole house, tried from outside: over HTTP, over WebSocket, and by its own commands.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod cli;
mod operating;
