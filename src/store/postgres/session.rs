//! [`Session`] on PostgreSQL, its SQL in PostgreSQL's words, and our values as columns.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use uuid::Uuid;

use super::connection::Connection;
use crate::message::MessageId;
use crate::store::StoreError;
use crate::store::session::{Lock, ReadRow, Session, SqlRow, SqlValue};

/// A session of a pool, on a thread that may block.
struct PostgresSession {
    connection: Arc<Connection>,
    runtime: Handle,
    is_apart: bool,
}

/// Runs a verb on a thread that may block.
pub(super) async fn run<T: Send + 'static>(
    connection: Arc<Connection>,
    is_apart: bool,
    verb: impl FnOnce(&dyn Session) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let session = PostgresSession {
        connection,
        runtime: Handle::current(),
        is_apart,
    };
    tokio::task::spawn_blocking(move || verb(&session))
        .await
        .unwrap_or(Err(StoreError::Closed))
}

/// Statements that are on their way at the same time.
const PIPELINED: usize = 25;

impl Session for PostgresSession {
    fn either(&self, _sqlite: &'static str, postgres: &'static str) -> &'static str {
        postgres
    }

    fn is_apart(&self) -> bool {
        self.is_apart
    }

    fn execute(&self, sql: &str, values: &[SqlValue<'_>]) -> Result<u64, StoreError> {
        self.runtime.block_on(async {
            let statement = self.connection.prepare(sql).await?;
            let client = self.connection.client();
            Ok(client.execute_raw(&statement, values).await?)
        })
    }

    fn execute_each(&self, sql: &str, values: &[Vec<SqlValue<'_>>]) -> Result<(), StoreError> {
        self.runtime.block_on(async {
            let statement = self.connection.prepare(sql).await?;
            let client = self.connection.client();
            for some in values.chunks(PIPELINED) {
                try_join_all(
                    some.iter()
                        .map(|values| client.execute_raw(&statement, values)),
                )
                .await?;
            }
            Ok(())
        })
    }

    fn read(
        &self,
        sql: &str,
        values: &[SqlValue<'_>],
        read: &mut ReadRow<'_>,
    ) -> Result<(), StoreError> {
        self.runtime.block_on(async {
            let statement = self.connection.prepare(sql).await?;
            let client = self.connection.client();
            let mut rows = pin!(client.query_raw(&statement, values).await?);
            while let Some(row) = rows.try_next().await? {
                if read(&row)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn lock(&self, lock: Lock) -> Result<(), StoreError> {
        self.runtime.block_on(self.connection.lock(lock))
    }

    fn try_lock(&self, lock: Lock) -> Result<bool, StoreError> {
        self.runtime.block_on(self.connection.try_lock(lock))
    }
}

/// SQL of SQLite as PostgreSQL writes it; see [`crate::store::session`].
pub(super) fn translate(sql: &str) -> String {
    let mut words = sql.replace('?', "$").replace("unhex(value)", "value");
    while let Some((before, rest)) = words.split_once(" INDEXED BY ") {
        let after = rest.find(' ').map_or("", |at| &rest[at..]);
        words = format!("{before}{after}");
    }
    const LIST: &str = "IN (SELECT value FROM json_each(";
    while let Some((before, rest)) = words.split_once(LIST) {
        let (list, after) = rest.split_once("))").unwrap_or((rest, ""));
        words = format!("{before}= ANY({list}){after}");
    }
    words
}

impl SqlRow for Row {
    fn optional_integer(&self, at: usize) -> Result<Option<i64>, StoreError> {
        let number: Option<Integer> = self.try_get(at)?;
        Ok(number.map(|Integer(number)| number))
    }

    fn optional_text(&self, at: usize) -> Result<Option<&str>, StoreError> {
        Ok(self.try_get(at)?)
    }

    fn optional_blob(&self, at: usize) -> Result<Option<&[u8]>, StoreError> {
        let bytes: Option<Raw<'_>> = self.try_get(at)?;
        Ok(bytes.map(|Raw(bytes)| bytes))
    }
}

/// A number of any size.
struct Integer(i64);

impl<'r> FromSql<'r> for Integer {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::BOOL => bool::from_sql(ty, raw)?.into(),
            Type::INT2 => i16::from_sql(ty, raw)?.into(),
            Type::INT4 => i32::from_sql(ty, raw)?.into(),
            _ => i64::from_sql(ty, raw)?,
        }))
    }

    fn accepts(ty: &Type) -> bool {
        [Type::BOOL, Type::INT2, Type::INT4, Type::INT8].contains(ty)
    }
}

/// Bytes, or those of an id.
struct Raw<'r>(&'r [u8]);

impl<'r> FromSql<'r> for Raw<'r> {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(ty: &Type) -> bool {
        [Type::BYTEA, Type::UUID].contains(ty)
    }
}

impl ToSql for SqlValue<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) => match *ty {
                Type::INT2 => i16::try_from(*number)?.to_sql(ty, out),
                Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
                _ => number.to_sql(ty, out),
            },
            Self::Text(text) => text.to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
            Self::Id(id) => id.as_slice().to_sql(ty, out),
            Self::Integers(list) => list.to_sql(ty, out),
            Self::Texts(list) => list.to_sql(ty, out),
            Self::Ids(list) => {
                let list: Vec<_> = list.iter().map(|id| Uuid::from_bytes(*id)).collect();
                list.to_sql(ty, out)
            }
        }
    }

    /// The statement says what it wants, and the database refuses what does not fit.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

pub(super) fn uuid(id: MessageId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// The lane of a target. Two targets that share one by chance wait for each other, no more.
pub(super) fn lane(uri: &str) -> i64 {
    let digest = Sha256::digest(uri.as_bytes());
    let first = digest.first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

/// Bytes of an event's JSON before its members, at most: `{"id":"<epoch>-<seq>"`.
pub(super) const EVENT_ID: usize = 48;

/// A place in a batch, which the database counts from 1, and the number of an event.
pub(super) fn numbered(row: &Row) -> Result<(usize, u64), StoreError> {
    let place = usize::try_from(row.number(0)?).unwrap_or(usize::MAX);
    Ok((place.saturating_sub(1), row.number(1)?))
}

/// Numbers from elsewhere can be anything.
pub(super) fn from_seq(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_is_translated() {
        assert_eq!(
            translate(
                "SELECT a FROM t INDEXED BY t_open WHERE a = ?1 \
                 AND b IN (SELECT value FROM json_each(?2)) \
                 AND c IN (SELECT unhex(value) FROM json_each(?3)) LIMIT ?10"
            ),
            "SELECT a FROM t WHERE a = $1 AND b = ANY($2) AND c = ANY($3) LIMIT $10"
        );
        assert_eq!(
            translate("SELECT a FROM t INDEXED BY t_all"),
            "SELECT a FROM t"
        );
    }
}
