//! sipost against the SIP world: a real Kamailio between the gateway and user agents made by
//! others. `scripts/test` installs what this needs; where something is missing the test fails
//! and says so.
//!
//! Every test starts its own Kamailio on free ports of loopback, its own recipients and its own
//! gateway, and ends them, so that all tests may run at once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic; outside #[test] functions clippy has to be told"
)]

mod baresip;
mod digest;
mod gateway;
mod homer;
mod kamailio;
mod linphone;
mod messages;
mod process;
mod received;
mod recipient;
mod restart;
mod sandbox;
mod sender;
mod shipped;
