//! Events of agents on their way into the log, in a transaction of their own: they are few.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::Connection;
use super::session;
use crate::message::Event;
use crate::store::{StoreError, codes};

/// The last statement takes the numbers, as every writer does.
const INSERT: &str = "WITH given AS (SELECT * FROM unnest($1::int2[], $2::uuid[], $3::text[], \
     $4::int8[], $5::bytea[]) WITH ORDINALITY AS u (kind, id, account, at, members, place)), \
     taken AS (UPDATE log SET last = last + (SELECT count(*) FROM given) \
     RETURNING last - (SELECT count(*) FROM given) AS base), \
     added AS (INSERT INTO events (seq, kind, message_id, uri, account, members) \
     SELECT t.base + g.place, g.kind, g.id, '', g.account, g.members FROM given g, taken t) \
     INSERT INTO agent_events (seq, at) SELECT t.base + g.place, g.at FROM given g, taken t";

/// Appends events, and tells the other replicas of `me`.
pub(super) async fn append(
    connection: &Connection,
    me: i64,
    events: &[Event],
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let kinds: Vec<i16> = events
        .iter()
        .map(|one| codes::kind_number(one.kind()))
        .collect();
    let ids: Vec<Uuid> = events
        .iter()
        .map(|one| session::uuid(one.message_id))
        .collect();
    let accounts: Vec<_> = events.iter().map(|one| one.account.as_deref()).collect();
    let times: Vec<i64> = events.iter().map(|one| one.time.as_millis()).collect();
    let members = events.iter().map(|one| {
        let mut members = Vec::new();
        one.write_members(&mut members);
        members
    });
    let members: Vec<Vec<u8>> = members.collect();
    let (insert, notify) = (
        connection.prepare(INSERT).await?,
        connection
            .prepare("SELECT pg_notify('sipost_events', $1)")
            .await?,
    );
    let client = connection.client();
    client.execute(&notify, &[&me.to_string()]).await?;
    let columns: [&(dyn ToSql + Sync); 5] = [&kinds, &ids, &accounts, &times, &members];
    client.execute(&insert, &columns).await?;
    Ok(())
}
