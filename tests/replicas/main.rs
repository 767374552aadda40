//! Several replicas, each a program of its own, that share one PostgreSQL and nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod alone;
mod away;
mod fleet;
#[allow(
    dead_code,
    unused_imports,
    reason = "the tests of `it` use the rest of it"
)]
#[path = "../it/harness/mod.rs"]
mod harness;
mod killed;
#[path = "../../src/store/postgres/testing.rs"]
mod postgres;
mod readers;
#[allow(dead_code, reason = "the tests of `it` use the rest of it")]
#[path = "../it/webhooks/receiver.rs"]
mod receiver;
mod restoring;
mod rolling;
mod sharing;
mod upgrading;
mod waiting;
