//! Which replica runs which agent, and so which replica a message goes to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lease::Lease;
use super::share::{LeaseView, share};
use crate::store::session::{Lock, Session, SqlRow, SqlValue, values};
use crate::store::{AgentLease, StoreError};

/// Which replicas have agents of each account, as this one saw it last.
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

pub(super) fn share_out(
    session: &dyn Session,
    agent_holders: &AgentHolders,
    wanted: &[AgentLease],
    held: &[AgentLease],
) -> Result<Vec<AgentLease>, StoreError> {
    let me = agent_holders.me();
    session.lock(Lock::AgentLeases)?;
    let living = living(session, me)?;
    leave(session, me, held)?;
    let found = look(session, wanted)?;
    let views: Vec<LeaseView<'_>> = found
        .iter()
        .map(|(lease, holder)| LeaseView {
            account: &lease.account,
            holder: holder.filter(|holder| living.contains(holder)),
        })
        .collect();
    let shares = share(&views, &living);
    let living_holders: Vec<Option<i64>> = views.iter().map(|view| view.holder).collect();
    let (mut mine, mut taken) = (Vec::new(), Vec::new());
    let mut holders: HashMap<Arc<str>, Vec<i64>> = HashMap::new();
    for (((lease, _), holder), to) in found.into_iter().zip(living_holders).zip(shares) {
        let holder = match holder {
            None if to == me => {
                taken.push(lease.clone());
                Some(me)
            }
            holder => holder,
        };
        if let Some(holder) = holder {
            let of_account = holders.entry(lease.account.clone()).or_default();
            of_account.push(holder);
        }
        // A lease that is to move to another replica is left out, so that its agent ends.
        if to == me && holder == Some(me) {
            mine.push(lease);
        }
    }
    set_holder(session, Some(me), &taken)?;
    *agent_holders.lock() = holders;
    Ok(mine)
}

/// The replicas that run agents, this one among them.
fn living(session: &dyn Session, me: i64) -> Result<Vec<i64>, StoreError> {
    session.execute(
        "UPDATE replicas SET runs_agents = true WHERE number = $1 AND NOT runs_agents",
        &values![me],
    )?;
    // An hour after the last moment at which a message could be given to it.
    session.execute(
        "DELETE FROM replicas r WHERE r.fenced \
         AND r.lease_until < clock_timestamp() - interval '1 hour' \
         AND NOT EXISTS (SELECT FROM states s WHERE s.owner = r.number \
         AND s.completed_at IS NULL)",
        &[],
    )?;
    let mut living = session.all(
        "SELECT number FROM replicas WHERE runs_agents AND NOT fenced \
         AND (lease_until > clock_timestamp() OR number = $1) ORDER BY number",
        &values![me],
        |row| row.integer(0),
    )?;
    // Fenced a moment ago: whatever it takes, another one takes over.
    if !living.contains(&me) {
        living.push(me);
        living.sort_unstable();
    }
    Ok(living)
}

/// Gives up the leases that this replica has in the database, and of which it runs no agent any
/// more.
fn leave(session: &dyn Session, me: i64, held: &[AgentLease]) -> Result<(), StoreError> {
    let sql = "SELECT account, number FROM agent_leases WHERE holder = $1";
    let mut given_up = session.all(sql, &values![me], agent_lease)?;
    let held: HashSet<&AgentLease> = held.iter().collect();
    given_up.retain(|lease| !held.contains(lease));
    set_holder(session, None, &given_up)
}

/// The leases that are wanted, in their order, each with its holder.
fn look(
    session: &dyn Session,
    wanted: &[AgentLease],
) -> Result<Vec<(AgentLease, Option<i64>)>, StoreError> {
    let accounts = wanted.iter().map(|lease| &*lease.account).collect();
    let numbers: Vec<i64> = wanted.iter().map(|lease| lease.number.into()).collect();
    let columns = [SqlValue::Texts(accounts), SqlValue::Integers(&numbers)];
    session.execute(
        "INSERT INTO agent_leases (account, number) SELECT * FROM unnest($1::text[], $2::int8[]) \
         ON CONFLICT DO NOTHING",
        &columns,
    )?;
    session.all(
        "SELECT s.account, s.number, s.holder FROM unnest($1::text[], $2::int8[]) \
         AS u (account, number) JOIN agent_leases s ON s.account = u.account \
         AND s.number = u.number ORDER BY s.account, s.number",
        &columns,
        |row| Ok((agent_lease(row)?, row.optional_integer(2)?)),
    )
}

fn set_holder(
    session: &dyn Session,
    holder: Option<i64>,
    leases: &[AgentLease],
) -> Result<(), StoreError> {
    let columns = leases
        .iter()
        .map(|lease| Vec::from(values![holder, &*lease.account, lease.number]))
        .collect::<Vec<_>>();
    session.execute_each(
        "UPDATE agent_leases SET holder = $1 WHERE account = $2 AND number = $3",
        &columns,
    )
}

fn agent_lease(row: &dyn SqlRow) -> Result<AgentLease, StoreError> {
    Ok(AgentLease {
        account: row.shared(0)?,
        number: row.count(1)?,
    })
}
