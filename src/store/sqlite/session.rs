//! [`Session`] on SQLite.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, ToSql, params_from_iter};

use super::transaction::WriteTransaction;
use crate::store::StoreError;
use crate::store::session::{Lock, ReadRow, Session, SqlRow, SqlValue};

/// A connection that reads, or the one that writes in its transaction.
pub(super) struct SqliteSession<'c> {
    pub(super) connection: &'c Connection,
    pub(super) is_apart: bool,
}

impl<'c> SqliteSession<'c> {
    /// The connection that writes, in this transaction.
    pub(super) fn of(transaction: &WriteTransaction<'c>) -> Self {
        Self {
            connection: transaction.connection,
            is_apart: transaction.is_apart,
        }
    }
}

impl Session for SqliteSession<'_> {
    fn either(&self, sqlite: &'static str, _postgres: &'static str) -> &'static str {
        sqlite
    }

    fn is_apart(&self) -> bool {
        self.is_apart
    }

    fn execute(&self, sql: &str, values: &[SqlValue<'_>]) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let changed = statement.execute(params_from_iter(values))?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    fn execute_each(&self, sql: &str, values: &[Vec<SqlValue<'_>>]) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        for values in values {
            statement.execute(params_from_iter(values))?;
        }
        Ok(())
    }

    fn read(
        &self,
        sql: &str,
        values: &[SqlValue<'_>],
        read: &mut ReadRow<'_>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if read(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// One process has the database open, and one thread of it writes.
    fn lock(&self, _lock: Lock) -> Result<(), StoreError> {
        Ok(())
    }

    fn try_lock(&self, _lock: Lock) -> Result<bool, StoreError> {
        Ok(true)
    }
}

impl SqlRow for rusqlite::Row<'_> {
    fn optional_integer(&self, at: usize) -> Result<Option<i64>, StoreError> {
        Ok(self.get_ref(at)?.as_i64_or_null().map_err(Error::from)?)
    }

    fn optional_text(&self, at: usize) -> Result<Option<&str>, StoreError> {
        Ok(self.get_ref(at)?.as_str_or_null().map_err(Error::from)?)
    }

    fn optional_blob(&self, at: usize) -> Result<Option<&[u8]>, StoreError> {
        Ok(self.get_ref(at)?.as_blob_or_null().map_err(Error::from)?)
    }
}

impl ToSql for SqlValue<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, Error> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Integer(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Id(id) => ToSqlOutput::Borrowed(ValueRef::Blob(id)),
            Self::Integers(list) => json(list),
            Self::Texts(list) => json(list),
            Self::Ids(list) => json(&list.iter().map(hex).collect::<Vec<_>>()),
        })
    }
}

fn hex(id: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}

/// A list as `json_each` reads it.
fn json(list: &impl serde::Serialize) -> ToSqlOutput<'static> {
    // Numbers and strings are always JSON.
    serde_json::to_string(list).unwrap_or_default().into()
}
