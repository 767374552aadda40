//! sipost: HTTP POST in, SIP MESSAGE (RFC 3428) out, over SIP WebSocket (RFC 7118).
//!
//! The rooms, in reading order: [`message`] has our nouns, [`sip`] has SIP's, [`store`] keeps what
//! is durable.

pub mod agent;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod events;
pub mod message;
pub mod pool;
mod retention;
pub mod sandbox;
pub mod shutdown;
pub mod sip;
pub mod store;
pub mod telemetry;
