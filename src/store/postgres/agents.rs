//! What replicas tell each other of their agents.

use std::sync::Arc;

use crate::message::{AgentOrder, AgentStatus};
use crate::store::session::{Session, SqlValue, values};
use crate::store::{SharedAgents, StoreError};

pub(super) fn share(
    session: &dyn Session,
    me: i64,
    own: &[AgentStatus],
    orders: &[(Arc<str>, AgentOrder)],
) -> Result<SharedAgents, StoreError> {
    let asked = asked(session, me)?;
    show(session, me, own)?;
    ask(session, me, orders)?;
    Ok(SharedAgents {
        agents: others(session, me)?,
        orders: asked,
    })
}

/// What clients of other replicas ask of agents of this one.
fn asked(session: &dyn Session, me: i64) -> Result<Vec<(Arc<str>, AgentOrder)>, StoreError> {
    let mut asked = session.all(
        "DELETE FROM agent_orders WHERE owner = $1 RETURNING number, agent, word",
        &values![me],
        |row| {
            Ok((
                row.integer(0)?,
                row.shared(1)?,
                AgentOrder::from_word(row.text(2)?),
            ))
        },
    )?;
    asked.sort_unstable_by_key(|(number, ..)| *number);
    // A word of a later version is nothing that this one could do.
    let known = |(_, agent, order): (_, _, Option<_>)| order.map(|order| (agent, order));
    Ok(asked.into_iter().filter_map(known).collect())
}

fn show(session: &dyn Session, me: i64, own: &[AgentStatus]) -> Result<(), StoreError> {
    let ids: Vec<&str> = own.iter().map(|agent| &*agent.id).collect();
    // Statuses are always JSON.
    let statuses: Vec<String> = own
        .iter()
        .map(|agent| serde_json::to_string(agent).unwrap_or_default())
        .collect();
    session.execute(
        "DELETE FROM agents a WHERE (a.owner = $1 AND a.id <> ALL($2::text[])) \
         OR NOT EXISTS (SELECT FROM replicas r WHERE r.number = a.owner AND NOT r.fenced)",
        &[SqlValue::from(me), SqlValue::Texts(ids.clone())],
    )?;
    session.execute(
        "INSERT INTO agents (owner, id, status) SELECT $1, u.id, u.status \
         FROM unnest($2::text[], $3::text[]) AS u (id, status) \
         ON CONFLICT (owner, id) DO UPDATE SET status = excluded.status \
         WHERE agents.status <> excluded.status",
        &[
            SqlValue::from(me),
            SqlValue::Texts(ids),
            SqlValue::Texts(statuses.iter().map(String::as_str).collect()),
        ],
    )?;
    Ok(())
}

/// Asks agents of other replicas; one that is nowhere is not asked.
fn ask(
    session: &dyn Session,
    me: i64,
    orders: &[(Arc<str>, AgentOrder)],
) -> Result<(), StoreError> {
    if orders.is_empty() {
        return Ok(());
    }
    session.execute(
        "INSERT INTO agent_orders (owner, agent, word) SELECT a.owner, u.agent, u.word \
         FROM unnest($2::text[], $3::text[]) AS u (agent, word) \
         JOIN agents a ON a.id = u.agent AND a.owner <> $1",
        &[
            SqlValue::from(me),
            SqlValue::Texts(orders.iter().map(|(agent, _)| &**agent).collect()),
            SqlValue::Texts(orders.iter().map(|(_, order)| order.as_str()).collect()),
        ],
    )?;
    Ok(())
}

fn others(session: &dyn Session, me: i64) -> Result<Vec<AgentStatus>, StoreError> {
    let found = session.all(
        "SELECT a.status, r.name FROM agents a JOIN replicas r ON r.number = a.owner \
         WHERE a.owner <> $1 AND NOT r.fenced AND r.lease_until > clock_timestamp() \
         ORDER BY a.id",
        &values![me],
        |row| {
            // What a later version writes otherwise is not shown by this one.
            let status = serde_json::from_str::<AgentStatus>(row.text(0)?).ok();
            Ok((status, row.shared(1)?))
        },
    )?;
    let named = |(status, replica): (Option<AgentStatus>, Arc<str>)| {
        status.map(|status| AgentStatus {
            replica: Some(replica),
            ..status
        })
    };
    Ok(found.into_iter().filter_map(named).collect())
}
