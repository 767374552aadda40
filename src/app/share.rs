//! Sharing the agents out among the replicas, again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::supervisor;
use super::supervisor::Supervisor;
use crate::config::{Account, Config};
use crate::dispatch;
use crate::message::Agents as _;
use crate::store::{Seat, Store, StoreError};

/// When the replicas agree, and since when they could not.
pub(super) struct Sharing {
    store: Arc<dyn Store>,
    interval: Option<tokio::time::Interval>,
    /// What this replica may run, as of the last time the others were heard of.
    agreed: Instant,
    /// How long it goes on without them once its lease is over.
    patience: Duration,
    granted: Vec<Seat>,
    /// What the dispatcher was told last.
    rates: Rates,
}

impl Sharing {
    pub(super) fn new(store: Arc<dyn Store>, lease: Duration) -> Self {
        let interval = store.agreeing().map(|period| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self {
            store,
            interval,
            agreed: Instant::now(),
            patience: lease * 2,
            granted: Vec::new(),
            rates: Rates::new(),
        }
    }

    /// When it is time to agree again; never for a replica that is alone.
    pub(super) async fn due(&mut self) {
        match &mut self.interval {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Agrees with the other replicas on who runs what, begins and ends agents accordingly, and
    /// sets what the accounts may send from here.
    pub(super) async fn agree(
        &mut self,
        supervisor: &mut Supervisor,
        config: &Config,
        dispatch: &dispatch::Handle,
    ) {
        let is_shared = self.interval.is_some();
        let mut is_agreed = false;
        if is_shared {
            let (wanted, held) = (supervisor::wanted(config), supervisor.held());
            match self.store.seats(wanted, held).await {
                Ok(granted) => {
                    (self.agreed, self.granted) = (Instant::now(), granted);
                    is_agreed = true;
                }
                Err(error) => self.without(&error),
            }
            supervisor.grant(self.granted.iter().cloned());
        }
        // Before an agent begins that would send at a rate of before.
        let granted = is_shared.then_some(&*self.granted);
        let rates = rates(config, granted);
        if rates != self.rates {
            dispatch.set_rates(rates.clone()).await;
            self.rates = rates;
        }
        supervisor.follow(config);
        if is_agreed {
            self.tell(supervisor).await;
        }
    }

    /// What to run while the others cannot be heard of: the same for a while, then nothing, because
    /// they may have taken it over.
    fn without(&mut self, error: &StoreError) {
        tracing::debug!(%error, "the agents cannot be shared out now");
        if self.agreed.elapsed() >= self.patience {
            self.granted.clear();
        }
    }

    async fn tell(&self, supervisor: &Supervisor) {
        let directory = supervisor.directory();
        let orders = directory.outgoing();
        match self.store.share_agents(directory.list(), orders).await {
            Ok(shared) => {
                directory.show_elsewhere(shared.agents);
                for (agent, order) in shared.orders {
                    directory.obey(&agent, order);
                }
            }
            Err(error) => tracing::debug!(%error, "agents cannot be told of now"),
        }
    }
}

/// Messages a second by account; `None` for any number.
type Rates = Vec<(Arc<str>, Option<f64>)>;

/// What each account may send from here: as much of its rate as this replica has of its agents,
/// and all of it when there are no others (`granted` is `None`). Without an agent nothing is sent,
/// so the least share stands for none.
fn rates(config: &Config, granted: Option<&[Seat]>) -> Rates {
    let mut here: HashMap<&str, u32> = HashMap::new();
    for seat in granted.unwrap_or_default() {
        *here.entry(&seat.account).or_default() += 1;
    }
    let rate = |account: &Account| {
        let uri = account.uri.as_str();
        let agents = here.get(uri).copied().unwrap_or_default().max(1);
        let all = account.connections.max(1);
        let share = match granted {
            Some(_) => f64::from(agents.min(all)) / f64::from(all),
            None => 1.0,
        };
        (uri.into(), account.rate.map(|rate| rate * share))
    };
    config.accounts.iter().map(rate).collect()
}
