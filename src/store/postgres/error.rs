//! PostgreSQL's errors, sorted by what can be done about them.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::message::without_os_error;
use crate::store::StoreError;

impl From<Error> for StoreError {
    /// Sorts an error by what can be done about it.
    fn from(error: Error) -> Self {
        let Some(failure) = error.as_db_error() else {
            return Self::Away(chain(&error));
        };
        let code = failure.code();
        let text = format!("{} (SQLSTATE {})", failure.message(), code.code());
        if *code == SqlState::DISK_FULL {
            return Self::Full(text);
        }
        if [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::INSUFFICIENT_PRIVILEGE,
        ]
        .contains(code)
        {
            return Self::ReadOnly(text);
        }
        match code.code().get(..2) {
            // A value that is none, one against a rule of the schema, one that is too large.
            Some("22" | "23" | "54") => Self::Rejected(text),
            // A schema that is not ours, a damaged page.
            Some("42" | "XX") => Self::Damaged(text),
            // Rolled back because of another transaction: trying again is all it takes.
            Some("40") => Self::Locked(text),
            _ => Self::Away(text),
        }
    }
}

/// Whether one order of a group may be to blame: then each is tried by itself.
pub(super) fn is_of_an_order(error: &StoreError) -> bool {
    match error {
        StoreError::Damaged(_) => true,
        StoreError::Full(_)
        | StoreError::ReadOnly(_)
        | StoreError::Locked(_)
        | StoreError::Rejected(_)
        | StoreError::Foreign(_)
        | StoreError::Newer { .. }
        | StoreError::Away(_)
        | StoreError::Overloaded
        | StoreError::Closed => false,
    }
}

/// An error and its causes in one sentence: the outermost alone says only that it went wrong.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    without_os_error(text)
}
