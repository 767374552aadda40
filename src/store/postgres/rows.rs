//! Our values as columns.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::message::MessageId;

pub(super) fn uuid(id: MessageId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// The lane of a target. Two targets that share one by chance wait for each other, no more.
pub(super) fn lane(uri: &str) -> i64 {
    let digest = Sha256::digest(uri.as_bytes());
    let first = digest.first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

/// Numbers from elsewhere can be anything.
pub(super) fn from_seq(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
