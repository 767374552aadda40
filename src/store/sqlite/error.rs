//! SQLite's errors, sorted by what can be done about them.

use rusqlite::ffi;
use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;

impl From<Error> for StoreError {
    /// Sorts an error by what can be done about it.
    fn from(error: Error) -> Self {
        let text = sentence(&error);
        let Some(failure) = error.sqlite_error() else {
            return match error {
                Error::ToSqlConversionFailure(_) => Self::Rejected(text),
                // A value that the schema does not allow.
                _ => Self::Damaged(text),
            };
        };
        match failure.code {
            ErrorCode::DiskFull => Self::Full(text),
            ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::AuthorizationForStatementDenied => Self::ReadOnly(text),
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed => Self::Locked(text),
            ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
                Self::Rejected(text)
            }
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ParameterOutOfRange
            | ErrorCode::SchemaChanged
            | ErrorCode::Unknown => Self::Damaged(text),
            // The disk answers, and what it says is not what was written.
            ErrorCode::SystemIoFailure
                if matches!(
                    failure.extended_code,
                    ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA
                ) =>
            {
                Self::Damaged(text)
            }
            _ => Self::Away(text),
        }
    }
}

/// What SQLite says, with the number by which its documentation explains it.
fn sentence(error: &Error) -> String {
    match error.sqlite_error() {
        Some(failure) => format!("{error} (SQLite error {})", failure.extended_code),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: std::ffi::c_int) -> StoreError {
        StoreError::from(Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn every_cause_an_operator_can_act_on_is_told_apart() {
        assert!(matches!(of(ffi::SQLITE_FULL), StoreError::Full(_)));
        for code in [ffi::SQLITE_READONLY, ffi::SQLITE_READONLY_DBMOVED] {
            assert!(matches!(of(code), StoreError::ReadOnly(_)), "{code}");
        }
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_BUSY_SNAPSHOT,
            ffi::SQLITE_LOCKED,
        ] {
            assert!(matches!(of(code), StoreError::Locked(_)), "{code}");
        }
        for code in [
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_IOERR_CORRUPTFS,
        ] {
            assert!(matches!(of(code), StoreError::Damaged(_)), "{code}");
        }
        for code in [
            ffi::SQLITE_CONSTRAINT_UNIQUE,
            ffi::SQLITE_CONSTRAINT_DATATYPE,
            ffi::SQLITE_MISMATCH,
            ffi::SQLITE_TOOBIG,
        ] {
            assert!(matches!(of(code), StoreError::Rejected(_)), "{code}");
        }
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_NOMEM,
        ] {
            assert!(matches!(of(code), StoreError::Away(_)), "{code}");
        }
    }
}
