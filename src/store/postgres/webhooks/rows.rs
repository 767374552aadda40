//! Endpoints, deliveries and attempts as rows, and back.

use std::time::Duration;

use bytes::Bytes;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::message::EndpointId;
use crate::store::postgres::rows;
use crate::store::postgres::rows::strange;
use crate::store::{
    Attempt, Delivery, DeliveryState, Disabled, DisabledBecause, Endpoint, Recovery, StoreError,
    codes,
};

/// The columns that [`endpoint`] reads, in its order.
macro_rules! endpoint_columns {
    () => {
        "id, url, kinds, accounts, description, disabled_because, disabled_at, secret, \
         previous_secret, previous_until, after, created_at, updated_at, failing_since, \
         recovery_since, recovery_until, recovery_cursor, recovery_end"
    };
}

/// The columns that [`delivery`] reads, in its order; the first is for finding its attempts.
macro_rules! delivery_columns {
    () => {
        "number, seq, message_id, kind, state, created_at, next_at, completed_at"
    };
}
pub(super) use delivery_columns;
pub(super) use endpoint_columns;

pub(super) fn endpoint_uuid(id: EndpointId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

fn bytes(row: &Row, at: usize) -> Result<Option<Bytes>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(at)?;
    Ok(bytes.map(Bytes::copy_from_slice))
}

/// Reads the columns of [`endpoint_columns`].
pub(super) fn endpoint(row: &Row) -> Result<Endpoint, StoreError> {
    let id: Uuid = row.try_get(0)?;
    Ok(Endpoint {
        id: EndpointId::from_bytes(id.as_bytes()).ok_or_else(|| strange("id"))?,
        url: rows::shared(row, 1)?,
        kinds: codes::kinds(row.try_get(2)?).ok_or_else(|| strange("kinds"))?,
        accounts: codes::list(row.try_get(3)?).ok_or_else(|| strange("accounts"))?,
        description: row.try_get(4)?,
        disabled: disabled(row)?,
        secret: bytes(row, 7)?.unwrap_or_default(),
        previous_secret: bytes(row, 8)?.zip(rows::optional_time(row, 9)?),
        after: rows::to_seq(row.try_get(10)?),
        created_at: rows::time(row, 11)?,
        updated_at: rows::time(row, 12)?,
        failing_since: rows::optional_time(row, 13)?,
        recovery: recovery(row)?,
    })
}

fn disabled(row: &Row) -> Result<Option<Disabled>, StoreError> {
    let Some(word) = row.try_get::<_, Option<&str>>(5)? else {
        return Ok(None);
    };
    let because = DisabledBecause::from_word(word);
    Ok(Some(Disabled {
        because: because.ok_or_else(|| strange("disabled_because"))?,
        at: rows::time(row, 6)?,
    }))
}

fn recovery(row: &Row) -> Result<Option<Recovery>, StoreError> {
    let Some(since) = rows::optional_time(row, 14)? else {
        return Ok(None);
    };
    Ok(Some(Recovery {
        since,
        until: rows::time(row, 15)?,
        cursor: rows::to_seq(row.try_get(16)?),
        end: rows::to_seq(row.try_get(17)?),
    }))
}

pub(super) fn state_number(state: DeliveryState) -> i16 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Delivered => 1,
        DeliveryState::Failed => 2,
    }
}

/// Reads the columns of [`delivery_columns`]: the number, and the delivery without its attempts.
pub(super) fn delivery(row: &Row) -> Result<(i64, Delivery), StoreError> {
    let state = usize::try_from(row.try_get::<_, i16>(4)?).unwrap_or(usize::MAX);
    let state = DeliveryState::ALL.get(state).copied();
    let delivery = Delivery {
        seq: rows::to_seq(row.try_get(1)?),
        message_id: rows::id(row, 2)?,
        kind: codes::kind(row.try_get(3)?).ok_or_else(|| strange("kind"))?,
        state: state.ok_or_else(|| strange("state"))?,
        created_at: rows::time(row, 5)?,
        next_at: rows::optional_time(row, 6)?,
        completed_at: rows::optional_time(row, 7)?,
        attempts: Vec::new(),
    };
    Ok((row.try_get(0)?, delivery))
}

/// Reads delivery, number, at, took, status, answer, error.
pub(super) fn attempt(row: &Row) -> Result<(i64, Attempt), StoreError> {
    let took: i64 = row.try_get(3)?;
    let status: Option<i32> = row.try_get(4)?;
    let attempt = Attempt {
        number: rows::count(row, 1)?,
        at: rows::time(row, 2)?,
        took: Duration::from_millis(u64::try_from(took).unwrap_or(0)),
        status: status.and_then(|status| u16::try_from(status).ok()),
        answer: row.try_get(5)?,
        error: row.try_get(6)?,
    };
    Ok((row.try_get(0)?, attempt))
}

/// A text without the one character that PostgreSQL does not hold: servers answer what they like.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
