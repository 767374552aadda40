//! The verbs of standing endpoints, and their rows.

use crate::message::{EndpointId, EventKind};
use crate::store::session::{Lock, Session, SqlRow, strange, values};
use crate::store::{
    Change, Disabled, DisabledBecause, Endpoint, Endpoints, Recovery, StoreError, WebhookHealth,
    codes,
};

/// The columns that [`endpoint`] reads, in its order.
const ENDPOINT: &str = "id, url, kinds, accounts, description, disabled_because, disabled_at, \
     secret, previous_secret, previous_until, after, created_at, updated_at, failing_since, \
     recovery_since, recovery_until, recovery_cursor, recovery_end";

pub(super) fn create(
    session: &dyn Session,
    endpoint: &Endpoint,
    limit: usize,
) -> Result<bool, StoreError> {
    session.lock(Lock::Endpoints)?;
    let sql = "SELECT count(*) FROM endpoints";
    let count = session.first(sql, &[], |row| row.number(0))?;
    if count >= u64::try_from(limit).ok() {
        return Ok(false);
    }
    let created = Endpoint {
        after: session.last_event()?,
        ..endpoint.clone()
    };
    write(session, &created)?;
    revise(session)?;
    Ok(true)
}

pub(super) fn all(session: &dyn Session) -> Result<Endpoints, StoreError> {
    // The revision first: should an endpoint change in between, the plan made from it is refused.
    let revision = session.fact("endpoints_revision")?;
    let sql = format!("SELECT {ENDPOINT} FROM endpoints ORDER BY id");
    Ok(Endpoints {
        revision,
        endpoints: session.all(&sql, &[], endpoint)?,
    })
}

pub(super) fn health(session: &dyn Session) -> Result<WebhookHealth, StoreError> {
    let sql = "SELECT \
        count(CASE WHEN disabled_because IS NULL AND failing_since IS NULL THEN 1 END), \
        count(CASE WHEN disabled_because IS NULL AND failing_since IS NOT NULL THEN 1 END), \
        count(disabled_because) FROM endpoints";
    let health = session.first(sql, &[], |row| {
        Ok(WebhookHealth {
            enabled: row.number(0)?,
            failing: row.number(1)?,
            disabled: row.number(2)?,
        })
    })?;
    Ok(health.unwrap_or_default())
}

pub(super) fn change(
    session: &dyn Session,
    id: EndpointId,
    change: &Change,
) -> Result<Option<Endpoint>, StoreError> {
    session.lock(Lock::Endpoints)?;
    let Some(mut endpoint) = find(session, id)? else {
        return Ok(None);
    };
    endpoint.apply(change, session.last_event()?);
    write(session, &endpoint)?;
    revise(session)?;
    Ok(Some(endpoint))
}

pub(super) fn delete(session: &dyn Session, id: EndpointId) -> Result<bool, StoreError> {
    session.lock(Lock::Endpoints)?;
    if session.execute("DELETE FROM endpoints WHERE id = ?1", &values![id])? == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO deleted_queues VALUES (?1) ON CONFLICT DO NOTHING";
    session.execute(sql, &values![id.to_string()])?;
    revise(session)?;
    Ok(true)
}

pub(super) fn find(session: &dyn Session, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let sql = format!("SELECT {ENDPOINT} FROM endpoints WHERE id = ?1");
    session.first(&sql, &values![id], endpoint)
}

fn write(session: &dyn Session, endpoint: &Endpoint) -> Result<(), StoreError> {
    let kinds: Vec<_> = endpoint.kinds.iter().map(|kind| kind.as_str()).collect();
    let previous = endpoint.previous_secret.as_ref();
    let recovery = endpoint.recovery;
    session.execute("DELETE FROM endpoints WHERE id = ?1", &values![endpoint.id])?;
    let sql = format!(
        "INSERT INTO endpoints ({ENDPOINT}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
         ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
    );
    session.execute(
        &sql,
        &values![
            endpoint.id,
            &*endpoint.url,
            codes::list_text(&kinds),
            codes::list_text(&endpoint.accounts),
            endpoint.description.as_deref(),
            endpoint.disabled.map(|disabled| disabled.because.as_str()),
            endpoint.disabled.map(|disabled| disabled.at),
            &endpoint.secret,
            previous.map(|(secret, _)| secret),
            previous.map(|(_, until)| *until),
            endpoint.after,
            endpoint.created_at,
            endpoint.updated_at,
            endpoint.failing_since,
            recovery.map(|recovery| recovery.since),
            recovery.map(|recovery| recovery.until),
            recovery.map(|recovery| recovery.cursor),
            recovery.map(|recovery| recovery.end),
        ],
    )?;
    Ok(())
}

/// Plans that were made before this are not carried out.
fn revise(session: &dyn Session) -> Result<(), StoreError> {
    let sql = "UPDATE facts SET value = value + 1 WHERE name = 'endpoints_revision'";
    session.execute(sql, &[])?;
    Ok(())
}

/// Reads the columns of [`ENDPOINT`].
fn endpoint(row: &dyn SqlRow) -> Result<Endpoint, StoreError> {
    let kinds: Vec<String> = list(row, 2, "kinds")?;
    let kinds: Option<Vec<_>> = kinds
        .iter()
        .map(|word| EventKind::from_word(word))
        .collect();
    Ok(Endpoint {
        id: EndpointId::from_bytes(row.blob(0)?).ok_or_else(|| strange("id"))?,
        url: row.shared(1)?,
        kinds: kinds.ok_or_else(|| strange("kinds"))?,
        accounts: list(row, 3, "accounts")?,
        description: row.optional_text(4)?.map(str::to_owned),
        disabled: disabled(row)?,
        secret: row.bytes(7)?,
        previous_secret: row.optional_bytes(8)?.zip(row.optional_time(9)?),
        after: row.number(10)?,
        created_at: row.time(11)?,
        updated_at: row.time(12)?,
        failing_since: row.optional_time(13)?,
        recovery: recovery(row)?,
    })
}

fn list<T: serde::de::DeserializeOwned>(
    row: &dyn SqlRow,
    at: usize,
    name: &str,
) -> Result<Vec<T>, StoreError> {
    codes::list(row.optional_text(at)?).ok_or_else(|| strange(name))
}

fn disabled(row: &dyn SqlRow) -> Result<Option<Disabled>, StoreError> {
    let Some(word) = row.optional_text(5)? else {
        return Ok(None);
    };
    let because = DisabledBecause::from_word(word);
    Ok(Some(Disabled {
        because: because.ok_or_else(|| strange("disabled_because"))?,
        at: row.time(6)?,
    }))
}

fn recovery(row: &dyn SqlRow) -> Result<Option<Recovery>, StoreError> {
    let Some(since) = row.optional_time(14)? else {
        return Ok(None);
    };
    Ok(Some(Recovery {
        since,
        until: row.time(15)?,
        cursor: row.number(16)?,
        end: row.number(17)?,
    }))
}
