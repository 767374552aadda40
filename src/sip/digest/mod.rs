//! Digest authentication (RFC 7616) as SIP uses it (RFC 3261 §22, RFC 8760), from both sides.
//!
//! | file            | is about                                                                |
//! |-----------------|-------------------------------------------------------------------------|
//! | `params`        | the lists of parameters in all the headers                              |
//! | `algorithm`     | MD5, SHA-256, SHA-512/256, each with its `-sess`                        |
//! | `response`      | the formula                                                             |
//! | `credentials`   | who we are                                                              |
//! | `challenge`     | what a server asks                                                      |
//! | `realms`        | which realms are answered, and how well at least                        |
//! | `refusal`       | why a challenge is not answered                                         |
//! | `choice`        | which of several challenges is answered                                 |
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
mod params;
mod realms;
mod refusal;
mod response;
mod rounds;

pub use algorithm::{Algorithm, Hash, Hex};
pub use authenticator::Authenticator;
pub use challenge::{Challenge, Qop};
pub use credentials::{Credentials, Ha1Error};
pub use guard::{Denial, Guard};
pub use refusal::Refusal;
pub use response::Signed;
pub use rounds::Rounds;

#[cfg(test)]
mod tests;
