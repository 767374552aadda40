//! Endpoints, deliveries and attempts as rows, and back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Error, Row};

use crate::message::{EndpointId, EventKind};
use crate::store::sqlite::rows;
use crate::store::{
    Attempt, Delivery, DeliveryState, Disabled, DisabledBecause, Endpoint, Recovery,
};

/// The columns that [`endpoint`] reads, in its order.
pub(super) const ENDPOINT: &str = "id, url, kinds, accounts, description, disabled_because, \
     disabled_at, secret, previous_secret, previous_until, after, created_at, updated_at, \
     failing_since, recovery_since, recovery_until, recovery_cursor, recovery_end";

/// The columns that [`delivery`] reads, in its order; the first is for finding its attempts.
pub(super) const DELIVERY: &str =
    "number, seq, message_id, kind, state, created_at, next_at, completed_at";

/// Reads the columns of [`ENDPOINT`].
pub(super) fn endpoint(row: &Row<'_>) -> Result<Endpoint, Error> {
    let id = EndpointId::from_bytes(row.get_ref(0)?.as_blob()?);
    let previous: Option<Vec<u8>> = row.get(8)?;
    Ok(Endpoint {
        id: id.ok_or_else(|| rows::strange(0, "id"))?,
        url: rows::shared(row, 1)?,
        kinds: kinds(row, 2)?,
        accounts: accounts(row, 3)?,
        description: row.get(4)?,
        disabled: disabled(row)?,
        secret: rows::bytes(row, 7)?,
        previous_secret: previous.map(Bytes::from).zip(rows::optional_time(row, 9)?),
        after: row.get(10)?,
        created_at: rows::time(row, 11)?,
        updated_at: rows::time(row, 12)?,
        failing_since: rows::optional_time(row, 13)?,
        recovery: recovery(row)?,
    })
}

fn disabled(row: &Row<'_>) -> Result<Option<Disabled>, Error> {
    let Some(word) = row.get_ref(5)?.as_str_or_null()? else {
        return Ok(None);
    };
    let because = DisabledBecause::from_word(word);
    Ok(Some(Disabled {
        because: because.ok_or_else(|| rows::strange(5, "disabled_because"))?,
        at: rows::time(row, 6)?,
    }))
}

fn recovery(row: &Row<'_>) -> Result<Option<Recovery>, Error> {
    let Some(since) = rows::optional_time(row, 14)? else {
        return Ok(None);
    };
    Ok(Some(Recovery {
        since,
        until: rows::time(row, 15)?,
        cursor: row.get(16)?,
        end: row.get(17)?,
    }))
}

/// `NULL` for all, else JSON: `["succeeded","failed"]`.
pub(super) fn kinds_text(kinds: &[EventKind]) -> Option<String> {
    let words: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
    list_text(&words)
}

fn kinds(row: &Row<'_>, at: usize) -> Result<Vec<EventKind>, Error> {
    let words: Vec<String> = list(row, at, "kinds")?;
    let kind = |word: &String| EventKind::from_word(word);
    let kinds: Option<Vec<_>> = words.iter().map(kind).collect();
    kinds.ok_or_else(|| rows::strange(at, "kinds"))
}

/// `NULL` for all, else JSON: `["sip:alice@example.com"]`.
pub(super) fn accounts_text(accounts: &[Arc<str>]) -> Option<String> {
    list_text(accounts)
}

fn accounts(row: &Row<'_>, at: usize) -> Result<Vec<Arc<str>>, Error> {
    list(row, at, "accounts")
}

fn list_text<T: serde::Serialize>(items: &[T]) -> Option<String> {
    if items.is_empty() {
        return None;
    }
    // Strings are always JSON.
    serde_json::to_string(items).ok()
}

fn list<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    at: usize,
    name: &str,
) -> Result<Vec<T>, Error> {
    match row.get_ref(at)?.as_str_or_null()? {
        Some(text) => serde_json::from_str(text).map_err(|_| rows::strange(at, name)),
        None => Ok(Vec::new()),
    }
}

pub(super) fn state_number(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Delivered => 1,
        DeliveryState::Failed => 2,
    }
}

/// Reads the columns of [`DELIVERY`]: the number, and the delivery without its attempts.
pub(super) fn delivery(row: &Row<'_>) -> Result<(i64, Delivery), Error> {
    let state = usize::try_from(row.get::<_, i64>(4)?).unwrap_or(usize::MAX);
    let state = DeliveryState::ALL.get(state).copied();
    let delivery = Delivery {
        seq: row.get(1)?,
        message_id: rows::id(row, 2)?,
        kind: rows::kind(row, 3)?,
        state: state.ok_or_else(|| rows::strange(4, "state"))?,
        created_at: rows::time(row, 5)?,
        next_at: rows::optional_time(row, 6)?,
        completed_at: rows::optional_time(row, 7)?,
        attempts: Vec::new(),
    };
    Ok((row.get(0)?, delivery))
}

/// Reads number, at, took, status, answer, error.
pub(super) fn attempt(row: &Row<'_>) -> Result<Attempt, Error> {
    Ok(Attempt {
        number: row.get(0)?,
        at: rows::time(row, 1)?,
        took: Duration::from_millis(row.get(2)?),
        status: row.get(3)?,
        answer: row.get(4)?,
        error: row.get(5)?,
    })
}
