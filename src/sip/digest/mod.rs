//! Digest authentication (RFC 7616) as SIP uses it (RFC 3261 §22, RFC 8760), from both sides.
//!
//! | file            | is about                                                                |
//! |-----------------|-------------------------------------------------------------------------|
//! | `algorithm`     | MD5, SHA-256, SHA-512/256, each with its `-sess`, and the formula        |
//! | `challenge`     | what a server asks for                                                  |
//! | `credentials`   | a user name and its secret                                              |
//! | `choice`        | which challenges are answered                                           |
//! | `rounds`        | what one request has been through                                       |
//! | `authenticator` | the client: answers challenges, and signs ahead of the next one         |
//! | `guard`         | the server: challenges, and verifies answers                            |
//!
//! Realm, nonce and opaque are opaque bytes: they are hashed and sent back exactly as they came,
//! whatever their encoding. `Basic` is never answered: RFC 3261 §22 has no place for it.

mod algorithm;
mod authenticator;
mod challenge;
mod choice;
mod credentials;
mod guard;
mod rounds;

pub use algorithm::{Algorithm, Hash, Hex, Signed};
pub use authenticator::Authenticator;
pub use challenge::{Challenge, Qop};
pub use choice::Refusal;
pub use credentials::{Credentials, Ha1Error};
pub use guard::{Denial, Guard};
pub use rounds::Rounds;

#[cfg(test)]
mod tests;
