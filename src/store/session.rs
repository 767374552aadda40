//! A connection as verbs see it that are written once for both backends.
//!
//! Their SQL is SQLite's. What PostgreSQL writes otherwise it translates when it prepares a
//! statement: `?1` becomes `$1`, `INDEXED BY name` is left out, and
//! `IN (SELECT value FROM json_each(?1))` becomes `= ANY($1)`, also where ids are `unhex(value)`.
//! Where the two have to be asked in different ways, [`Session::either`] holds both texts.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::StoreError;
use crate::message::{EndpointId, MessageId, Timestamp};

/// A connection, used by one thread that may block.
pub(in crate::store) trait Session {
    /// The text for this backend.
    fn either(&self, sqlite: &'static str, postgres: &'static str) -> &'static str;

    /// Whether the database rejected a value of this transaction, which is therefore tried again
    /// with each [`part`](trait@Session#method.part) in a savepoint of its own.
    fn is_apart(&self) -> bool;

    /// Runs a statement; how many rows it changed.
    fn execute(&self, sql: &str, values: &[SqlValue<'_>]) -> Result<u64, StoreError>;

    /// Runs a statement once for each of these.
    fn execute_each(&self, sql: &str, values: &[Vec<SqlValue<'_>>]) -> Result<(), StoreError>;

    /// Reads rows one by one, until `read` has enough of them. No other statement runs meanwhile.
    fn read(
        &self,
        sql: &str,
        values: &[SqlValue<'_>],
        read: &mut ReadRow<'_>,
    ) -> Result<(), StoreError>;

    /// Holds a lock until the transaction ends. With SQLite there is nothing to wait for.
    fn lock(&self, lock: Lock) -> Result<(), StoreError>;

    /// The same, unless another replica holds it: then `false`.
    fn try_lock(&self, lock: Lock) -> Result<bool, StoreError>;
}

/// Takes a row, and says whether it wants the next one.
pub(in crate::store) type ReadRow<'r> =
    dyn FnMut(&dyn SqlRow) -> Result<ControlFlow<()>, StoreError> + 'r;

/// What replicas do one at a time. The numbers are keys in PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Lock {
    /// Tables are made or changed.
    Migrating = 1,
    /// Lanes of replicas that are gone are taken over.
    TakingOver = 2,
    /// Old messages and keys are removed.
    Removing = 3,
    /// Agents are shared out.
    AgentLeases = 4,
    /// Deliveries are added, or one ends and the next of its message becomes due. Without it a
    /// delivery could be added behind one that has just ended, and never become due. Taken before
    /// every other lock.
    Deliveries = 5,
    /// Endpoints are changed.
    Endpoints = 6,
    /// A replica gets its number.
    Entering = 7,
}

impl dyn Session + '_ {
    pub(in crate::store) fn all<T>(
        &self,
        sql: &str,
        values: &[SqlValue<'_>],
        read: impl Fn(&dyn SqlRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.read(sql, values, &mut |row| {
            all.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// Reads the first row, if there is one.
    pub(in crate::store) fn first<T>(
        &self,
        sql: &str,
        values: &[SqlValue<'_>],
        read: impl Fn(&dyn SqlRow) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut first = None;
        self.read(sql, values, &mut |row| {
            first = Some(read(row)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// Does a part of the work that others do not depend on. When the database does not take it,
    /// it is undone, and the inner error says why.
    pub(in crate::store) fn part<T>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Result<T, String>, StoreError> {
        self.execute("SAVEPOINT part", &[])?;
        let done = match work() {
            Err(StoreError::Rejected(text)) => {
                self.execute("ROLLBACK TO part", &[])?;
                Err(text)
            }
            done => Ok(done?),
        };
        self.execute("RELEASE part", &[])?;
        Ok(done)
    }

    /// Reads a number that the database keeps about itself.
    pub(in crate::store) fn fact(&self, name: &str) -> Result<u64, StoreError> {
        let sql = "SELECT value FROM facts WHERE name = ?1";
        let value = self.first(sql, &values![name], |row| row.number(0))?;
        value.ok_or_else(|| strange(name))
    }

    /// Changes a number that the database keeps about itself.
    pub(in crate::store) fn set_fact(&self, name: &str, value: u64) -> Result<(), StoreError> {
        let sql = "UPDATE facts SET value = ?2 WHERE name = ?1";
        self.execute(sql, &values![name, value])?;
        Ok(())
    }

    /// The number of the newest event.
    pub(in crate::store) fn last_event(&self) -> Result<u64, StoreError> {
        let sql = self.either(
            "SELECT max(coalesce((SELECT max(seq) FROM events), 0), \
             (SELECT value FROM facts WHERE name = 'forgotten_to'))",
            "SELECT last FROM log",
        );
        let last = self.first(sql, &[], |row| row.number(0))?;
        last.ok_or_else(|| strange("last"))
    }
}

/// A value for a statement.
#[derive(Clone, Debug)]
pub(in crate::store) enum SqlValue<'v> {
    Null,
    Integer(i64),
    Text(Cow<'v, str>),
    Blob(&'v [u8]),
    Id([u8; 16]),
    /// For `IN (SELECT value FROM json_each(?1))`.
    Integers(&'v [i64]),
    /// The same.
    Texts(Vec<&'v str>),
    /// For `IN (SELECT unhex(value) FROM json_each(?1))`.
    Ids(&'v [[u8; 16]]),
}

/// Values for a statement, in the order of their numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::store::session::SqlValue::from($value)),*] };
}
pub(in crate::store) use values;

impl<'v, T: Into<Self>> From<Option<T>> for SqlValue<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'v> From<&'v str> for SqlValue<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for SqlValue<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'v> From<&'v Bytes> for SqlValue<'v> {
    fn from(bytes: &'v Bytes) -> Self {
        Self::Blob(bytes)
    }
}

impl From<i64> for SqlValue<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<i16> for SqlValue<'_> {
    fn from(number: i16) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u32> for SqlValue<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

/// Neither the log nor a table is ever as long as what does not fit.
impl From<u64> for SqlValue<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for SqlValue<'_> {
    fn from(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for SqlValue<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Integer(time.as_millis())
    }
}

impl From<MessageId> for SqlValue<'_> {
    fn from(id: MessageId) -> Self {
        Self::Id(*id.as_bytes())
    }
}

impl From<EndpointId> for SqlValue<'_> {
    fn from(id: EndpointId) -> Self {
        Self::Id(*id.as_bytes())
    }
}

impl<'v> From<&'v [i64]> for SqlValue<'v> {
    fn from(list: &'v [i64]) -> Self {
        Self::Integers(list)
    }
}

/// A row of an answer; columns count from 0.
pub(in crate::store) trait SqlRow {
    fn optional_integer(&self, at: usize) -> Result<Option<i64>, StoreError>;
    fn optional_text(&self, at: usize) -> Result<Option<&str>, StoreError>;
    fn optional_blob(&self, at: usize) -> Result<Option<&[u8]>, StoreError>;

    fn integer(&self, at: usize) -> Result<i64, StoreError> {
        self.optional_integer(at)?.ok_or_else(|| missing(at))
    }

    fn text(&self, at: usize) -> Result<&str, StoreError> {
        self.optional_text(at)?.ok_or_else(|| missing(at))
    }

    fn blob(&self, at: usize) -> Result<&[u8], StoreError> {
        self.optional_blob(at)?.ok_or_else(|| missing(at))
    }

    fn number(&self, at: usize) -> Result<u64, StoreError> {
        u64::try_from(self.integer(at)?).map_err(|_| strange("a number"))
    }

    fn count(&self, at: usize) -> Result<u32, StoreError> {
        u32::try_from(self.integer(at)?).map_err(|_| strange("a count"))
    }

    fn time(&self, at: usize) -> Result<Timestamp, StoreError> {
        self.integer(at).map(Timestamp::from_millis)
    }

    fn optional_time(&self, at: usize) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_integer(at)?.map(Timestamp::from_millis))
    }

    fn shared(&self, at: usize) -> Result<Arc<str>, StoreError> {
        self.text(at).map(Into::into)
    }

    fn optional_shared(&self, at: usize) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.optional_text(at)?.map(Into::into))
    }

    fn bytes(&self, at: usize) -> Result<Bytes, StoreError> {
        self.blob(at).map(Bytes::copy_from_slice)
    }

    fn optional_bytes(&self, at: usize) -> Result<Option<Bytes>, StoreError> {
        Ok(self.optional_blob(at)?.map(Bytes::copy_from_slice))
    }

    fn message_id(&self, at: usize) -> Result<MessageId, StoreError> {
        MessageId::from_bytes(self.blob(at)?).ok_or_else(|| strange("id"))
    }
}

fn missing(at: usize) -> StoreError {
    StoreError::Damaged(format!("column {at} of an answer is empty"))
}

/// The error for a value that the schema allows, and no sipost writes.
pub(in crate::store) fn strange(column: &str) -> StoreError {
    StoreError::Damaged(format!("{column} holds what no sipost writes"))
}
