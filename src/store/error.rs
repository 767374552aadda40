//! Why a verb did not do what it says.

use std::time::Duration;

/// Why a verb did not do what it says. Nothing of its batch took effect.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the quota, is full.
    #[error("the store is full: {0}")]
    Full(String),
    /// The files may be read and not written.
    #[error("the store cannot be written: {0}")]
    ReadOnly(String),
    /// Another process holds the store.
    #[error("the store is locked: {0}")]
    Locked(String),
    /// The database does not take a value of what was brought: it is too large, or no text, or
    /// breaks a rule of the schema. Trying again does not help.
    #[error("the store does not take a value: {0}")]
    Rejected(String),
    /// The store holds values that no sipost writes, or its pages are damaged.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The file or the database is of another program, or has nothing in it.
    #[error("it is no store of sipost: {0}")]
    Foreign(String),
    /// A newer program wrote the store.
    #[error(
        "the store is of version {found}, and this program knows {known} at most: a newer sipost \
         wrote it; start that one, or restore a copy from before it"
    )]
    Newer {
        /// Of the store.
        found: usize,
        /// The newest this program knows.
        known: usize,
    },
    /// The store does not answer.
    #[error("the store cannot be reached: {0}")]
    Away(String),
    /// More is waiting for the disk than may.
    #[error("the store is overloaded")]
    Overloaded,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// When trying again is worth while.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Overloaded | Self::Locked(_) => Duration::from_secs(1),
            Self::Away(_) | Self::Closed => Duration::from_secs(5),
            Self::Full(_)
            | Self::ReadOnly(_)
            | Self::Rejected(_)
            | Self::Damaged(_)
            | Self::Foreign(_)
            | Self::Newer { .. } => Duration::from_secs(30),
        }
    }
}
