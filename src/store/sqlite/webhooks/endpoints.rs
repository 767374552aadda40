//! Standing endpoints.

use rusqlite::params;
use rusqlite::{Connection, OptionalExtension as _};

use super::rows;
use crate::message::{EndpointId, Timestamp};
use crate::store::sqlite::schema;
use crate::store::sqlite::turn::Turn;
use crate::store::{Change, Endpoint, Endpoints, StoreError};

pub(super) fn create(
    turn: &mut Turn<'_>,
    (endpoint, limit): &(Endpoint, usize),
) -> Result<bool, StoreError> {
    let count: usize = turn
        .prepare("SELECT count(*) FROM endpoints")?
        .query_row([], |row| row.get(0))?;
    if count >= *limit {
        return Ok(false);
    }
    let created = Endpoint {
        after: turn.positions.last_event,
        ..endpoint.clone()
    };
    write(turn, &created)?;
    revise(turn)?;
    Ok(true)
}

pub(super) fn all(connection: &Connection) -> Result<Endpoints, StoreError> {
    // One view of the database, so that the revision is that of the endpoints.
    let view = connection.unchecked_transaction()?;
    let sql = format!("SELECT {} FROM endpoints ORDER BY id", rows::ENDPOINT);
    let endpoints = view
        .prepare_cached(&sql)?
        .query_map([], rows::endpoint)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Endpoints {
        revision: schema::fact(&view, "endpoints_revision")?,
        endpoints,
    })
}

pub(super) fn change(
    turn: &mut Turn<'_>,
    (id, change): &(EndpointId, Change),
) -> Result<Option<Endpoint>, StoreError> {
    let Some(mut endpoint) = find(turn, *id)? else {
        return Ok(None);
    };
    endpoint.apply(change, turn.positions.last_event);
    write(turn, &endpoint)?;
    revise(turn)?;
    Ok(Some(endpoint))
}

pub(super) fn delete(turn: &mut Turn<'_>, id: &EndpointId) -> Result<bool, StoreError> {
    let deleted = turn
        .prepare("DELETE FROM endpoints WHERE id = ?1")?
        .execute([id.as_bytes()])?;
    if deleted == 0 {
        return Ok(false);
    }
    turn.prepare("INSERT INTO deleted_queues VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([id.to_string()])?;
    revise(turn)?;
    Ok(true)
}

pub(super) fn find(turn: &Turn<'_>, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let sql = format!("SELECT {} FROM endpoints WHERE id = ?1", rows::ENDPOINT);
    let found = turn
        .prepare(&sql)?
        .query_row([id.as_bytes()], rows::endpoint)
        .optional()?;
    Ok(found)
}

fn write(turn: &Turn<'_>, endpoint: &Endpoint) -> Result<(), StoreError> {
    let previous = endpoint.previous_secret.as_ref();
    let recovery = endpoint.recovery;
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let sql = format!(
        "INSERT OR REPLACE INTO endpoints ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
         ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        rows::ENDPOINT
    );
    turn.prepare(&sql)?.execute(params![
        endpoint.id.as_bytes(),
        &*endpoint.url,
        rows::kinds_text(&endpoint.kinds),
        rows::accounts_text(&endpoint.accounts),
        endpoint.description,
        endpoint.disabled.map(|disabled| disabled.because.as_str()),
        millis(endpoint.disabled.map(|disabled| disabled.at)),
        &*endpoint.secret,
        previous.map(|(secret, _)| &**secret),
        millis(previous.map(|(_, until)| *until)),
        endpoint.after,
        endpoint.created_at.as_millis(),
        endpoint.updated_at.as_millis(),
        millis(endpoint.failing_since),
        millis(recovery.map(|recovery| recovery.since)),
        millis(recovery.map(|recovery| recovery.until)),
        recovery.map(|recovery| recovery.cursor),
        recovery.map(|recovery| recovery.end),
    ])?;
    Ok(())
}

/// Plans that were made before this are not carried out.
fn revise(turn: &Turn<'_>) -> Result<(), StoreError> {
    let revision = schema::fact(turn.connection, "endpoints_revision")?;
    schema::set_fact(turn.connection, "endpoints_revision", revision + 1)?;
    Ok(())
}
