//! What replicas tell each other of their agents.

use std::sync::Arc;

use super::connection::Connection;
use crate::message::{AgentOrder, AgentStatus};
use crate::store::session::Row as _;
use crate::store::{SharedAgents, StoreError};

pub(super) async fn share(
    connection: &Connection,
    me: i64,
    own: &[AgentStatus],
    orders: &[(Arc<str>, AgentOrder)],
) -> Result<SharedAgents, StoreError> {
    let asked = asked(connection, me).await?;
    show(connection, me, own).await?;
    ask(connection, me, orders).await?;
    Ok(SharedAgents {
        agents: others(connection, me).await?,
        orders: asked,
    })
}

/// What clients of other replicas ask of agents of this one.
async fn asked(
    connection: &Connection,
    me: i64,
) -> Result<Vec<(Arc<str>, AgentOrder)>, StoreError> {
    let statement = connection
        .prepare("DELETE FROM agent_orders WHERE owner = $1 RETURNING number, agent, word")
        .await?;
    let found = connection.client().query(&statement, &[&me]).await?;
    let mut asked = Vec::with_capacity(found.len());
    for row in &found {
        let number: i64 = row.try_get(0)?;
        let order = AgentOrder::from_word(row.try_get(2)?);
        // A word of a later version is nothing that this one could do.
        if let Some(order) = order {
            asked.push((number, row.shared(1)?, order));
        }
    }
    asked.sort_unstable_by_key(|(number, ..)| *number);
    Ok(asked
        .into_iter()
        .map(|(_, agent, order)| (agent, order))
        .collect())
}

async fn show(connection: &Connection, me: i64, own: &[AgentStatus]) -> Result<(), StoreError> {
    let client = connection.client();
    let ids: Vec<&str> = own.iter().map(|agent| &*agent.id).collect();
    // Statuses are always JSON.
    let statuses: Vec<String> = own
        .iter()
        .map(|agent| serde_json::to_string(agent).unwrap_or_default())
        .collect();
    let gone = connection
        .prepare(
            "DELETE FROM agents a WHERE (a.owner = $1 AND a.id <> ALL($2::text[])) \
             OR NOT EXISTS (SELECT FROM replicas r WHERE r.number = a.owner AND NOT r.fenced)",
        )
        .await?;
    client.execute(&gone, &[&me, &ids]).await?;
    let published = connection
        .prepare(
            "INSERT INTO agents (owner, id, status) SELECT $1, u.id, u.status \
             FROM unnest($2::text[], $3::text[]) AS u (id, status) \
             ON CONFLICT (owner, id) DO UPDATE SET status = excluded.status \
             WHERE agents.status <> excluded.status",
        )
        .await?;
    client.execute(&published, &[&me, &ids, &statuses]).await?;
    Ok(())
}

/// Asks agents of other replicas; one that is nowhere is not asked.
async fn ask(
    connection: &Connection,
    me: i64,
    orders: &[(Arc<str>, AgentOrder)],
) -> Result<(), StoreError> {
    if orders.is_empty() {
        return Ok(());
    }
    let agents: Vec<&str> = orders.iter().map(|(agent, _)| &**agent).collect();
    let words: Vec<&str> = orders.iter().map(|(_, order)| order.as_str()).collect();
    let statement = connection
        .prepare(
            "INSERT INTO agent_orders (owner, agent, word) SELECT a.owner, u.agent, u.word \
             FROM unnest($2::text[], $3::text[]) AS u (agent, word) \
             JOIN agents a ON a.id = u.agent AND a.owner <> $1",
        )
        .await?;
    connection
        .client()
        .execute(&statement, &[&me, &agents, &words])
        .await?;
    Ok(())
}

async fn others(connection: &Connection, me: i64) -> Result<Vec<AgentStatus>, StoreError> {
    let statement = connection
        .prepare(
            "SELECT a.status, r.name FROM agents a JOIN replicas r ON r.number = a.owner \
             WHERE a.owner <> $1 AND NOT r.fenced AND r.lease_until > clock_timestamp() \
             ORDER BY a.id",
        )
        .await?;
    let found = connection.client().query(&statement, &[&me]).await?;
    let mut agents = Vec::with_capacity(found.len());
    for row in &found {
        // What a later version writes otherwise is not published by this one.
        if let Ok(status) = serde_json::from_str::<AgentStatus>(row.try_get(0)?) {
            agents.push(AgentStatus {
                replica: Some(row.shared(1)?),
                ..status
            });
        }
    }
    Ok(agents)
}
