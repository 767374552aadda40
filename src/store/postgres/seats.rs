//! Which replica runs which agent, and so which replica a message goes to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::Row;

use super::connection::Connection;
use super::lease::Lease;
use super::share;
use super::share::LeaseView;
use crate::store::session::{Lock, Row as _};
use crate::store::{AgentLease, StoreError};

/// Who has agents of which account, as this replica saw it last.
#[derive(Debug)]
pub(super) struct AgentHolders {
    lease: Arc<Lease>,
    holders: Mutex<HashMap<Arc<str>, Vec<i64>>>,
}

impl AgentHolders {
    pub(super) fn new(lease: Arc<Lease>) -> Self {
        Self {
            lease,
            holders: Mutex::default(),
        }
    }

    /// This replica.
    pub(super) fn me(&self) -> i64 {
        self.lease.number()
    }

    /// Where a message goes that this account must send, or any when `None`: here when an agent is
    /// here or nowhere, else to one that has an agent.
    pub(super) fn owner_for(&self, account: Option<&str>) -> i64 {
        let me = self.me();
        let all = self.lock();
        let holders = match account {
            Some(account) => all.get(account).cloned().unwrap_or_default(),
            None => all.values().flatten().copied().collect(),
        };
        if holders.contains(&me) {
            return me;
        }
        let others = holders.len().max(1);
        let at = rand::random_range(0..others);
        holders.get(at).copied().unwrap_or(me)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<i64>>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn seats(
    connection: &Connection,
    agent_holders: &AgentHolders,
    wanted: &[AgentLease],
    held: &[AgentLease],
) -> Result<Vec<AgentLease>, StoreError> {
    let me = agent_holders.me();
    connection.lock(Lock::AgentLeases).await?;
    let living = living(connection, me).await?;
    leave(connection, me, held).await?;
    let found = look(connection, wanted).await?;
    let places: Vec<LeaseView<'_>> = found
        .iter()
        .map(|(seat, holder)| LeaseView {
            account: &seat.account,
            holder: holder.filter(|holder| living.contains(holder)),
        })
        .collect();
    let shares = share::share(&places, &living);
    let free: Vec<Option<i64>> = places.iter().map(|place| place.holder).collect();
    let mut mine = Vec::new();
    let mut taken = Vec::new();
    let mut holders: HashMap<Arc<str>, Vec<i64>> = HashMap::new();
    for (((seat, _), holder), to) in found.into_iter().zip(free).zip(shares) {
        let holder = match holder {
            None if to == me => {
                taken.push(seat.clone());
                Some(me)
            }
            holder => holder,
        };
        if let Some(holder) = holder {
            holders
                .entry(seat.account.clone())
                .or_default()
                .push(holder);
        }
        // A lease that is to move to another replica is left out, so that its agent ends.
        if to == me && holder == Some(me) {
            mine.push(seat);
        }
    }
    take(connection, me, &taken).await?;
    *agent_holders.lock() = holders;
    Ok(mine)
}

/// The replicas that run agents, this one among them.
async fn living(connection: &Connection, me: i64) -> Result<Vec<i64>, StoreError> {
    let client = connection.client();
    client
        .execute(
            "UPDATE replicas SET runs_agents = true WHERE number = $1 AND NOT runs_agents",
            &[&me],
        )
        .await?;
    // An hour after the last moment at which a message could be given to it.
    client
        .execute(
            "DELETE FROM replicas r WHERE r.fenced \
             AND r.lease_until < clock_timestamp() - interval '1 hour' \
             AND NOT EXISTS (SELECT FROM states s WHERE s.owner = r.number \
             AND s.completed_at IS NULL)",
            &[],
        )
        .await?;
    let found = client
        .query(
            "SELECT number FROM replicas WHERE runs_agents AND NOT fenced \
             AND (lease_until > clock_timestamp() OR number = $1) ORDER BY number",
            &[&me],
        )
        .await?;
    let mut living = found
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<Vec<i64>, _>>()?;
    // Fenced a moment ago: whatever it takes, another one takes over.
    if !living.contains(&me) {
        living.push(me);
        living.sort_unstable();
    }
    Ok(living)
}

/// Leaves the seats that this replica has and does not hold any more.
async fn leave(connection: &Connection, me: i64, held: &[AgentLease]) -> Result<(), StoreError> {
    let client = connection.client();
    let found = client
        .query(
            "SELECT account, number FROM seats WHERE holder = $1",
            &[&me],
        )
        .await?;
    let held: HashSet<&AgentLease> = held.iter().collect();
    for row in &found {
        let seat = seat(row)?;
        if !held.contains(&seat) {
            let number = i64::from(seat.number);
            client
                .execute(
                    "UPDATE seats SET holder = NULL WHERE account = $1 AND number = $2",
                    &[&&*seat.account, &number],
                )
                .await?;
        }
    }
    Ok(())
}

/// The seats that are wanted, in their order, each with who has it.
async fn look(
    connection: &Connection,
    wanted: &[AgentLease],
) -> Result<Vec<(AgentLease, Option<i64>)>, StoreError> {
    let accounts: Vec<&str> = wanted.iter().map(|seat| &*seat.account).collect();
    let numbers: Vec<i64> = wanted.iter().map(|seat| i64::from(seat.number)).collect();
    let client = connection.client();
    client
        .execute(
            "INSERT INTO seats (account, number) SELECT * FROM unnest($1::text[], $2::int8[]) \
             ON CONFLICT DO NOTHING",
            &[&accounts, &numbers],
        )
        .await?;
    let found = client
        .query(
            "SELECT s.account, s.number, s.holder FROM unnest($1::text[], $2::int8[]) \
             AS u (account, number) JOIN seats s ON s.account = u.account \
             AND s.number = u.number ORDER BY s.account, s.number",
            &[&accounts, &numbers],
        )
        .await?;
    found
        .iter()
        .map(|row| Ok((seat(row)?, row.try_get(2)?)))
        .collect()
}

async fn take(connection: &Connection, me: i64, taken: &[AgentLease]) -> Result<(), StoreError> {
    for seat in taken {
        let number = i64::from(seat.number);
        connection
            .client()
            .execute(
                "UPDATE seats SET holder = $1 WHERE account = $2 AND number = $3",
                &[&me, &&*seat.account, &number],
            )
            .await?;
    }
    Ok(())
}

fn seat(row: &Row) -> Result<AgentLease, StoreError> {
    Ok(AgentLease {
        account: row.shared(0)?,
        number: row.count(1)?,
    })
}
