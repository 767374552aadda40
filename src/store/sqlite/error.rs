//! What SQLite's errors mean for whoever asked.

use rusqlite::Error;
use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Sorts an error by what can be done about it.
pub(super) fn store_error(error: &Error) -> StoreError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(text),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly(text),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(text),
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => StoreError::Away(text),
        Some(_) => StoreError::Away(text),
        // A value of another type than the schema says.
        None => StoreError::Damaged(text),
    }
}
