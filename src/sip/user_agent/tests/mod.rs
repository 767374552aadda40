//! The catalogue of cases that a user agent is held to, by its letters: `docs/conformance.md`.

mod challenges;
mod fallback;
mod inbound;
mod properties;
mod registering;
mod requests;
mod responses;
