//! sipost: HTTP POST in, SIP MESSAGE (RFC 3428) out, over SIP WebSocket (RFC 7118).
//!
//! The rooms, in reading order; `ARCHITECTURE.md` draws them, and the way a message takes.
//!
//! * Pure: [`message`] has our nouns, [`sip`] has SIP's.
//! * Durable, and the readers of it: [`store`], [`events`].
//! * What sends: [`agent`] drives a user agent, [`pool`] chooses one, [`dispatch`] decides what
//!   goes out next and what follows from how it went.
//! * Interfaces: [`api`] over HTTP, [`cli`] on a terminal, [`sandbox`] as a SIP
//!   server to try things on.
//! * What holds it together: [`app`] builds, joins and ends every part, from a [`config`].

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
pub mod retention;
pub mod sandbox;
pub mod shutdown;
pub mod sip;
pub mod store;
pub mod telemetry;
pub mod trace;
pub mod webhook;
