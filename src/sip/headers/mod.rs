//! Headers that the machines read, one to a file. Each borrows from the value it reads.

pub mod contact;
pub mod cseq;
pub mod name_addr;
pub mod params;
pub mod retry_after;
pub mod via;

pub use contact::Contact;
pub use cseq::CSeq;
pub use name_addr::NameAddr;
pub use retry_after::retry_after;
pub use via::Via;

#[cfg(test)]
mod tests;
