//! Sharing the agents out among the replicas, again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

use super::crew;
use super::crew::Crew;
use super::rates;
use crate::config::Config;
use crate::dispatch;
use crate::message::Agents as _;
use crate::store::Seat;
use crate::store::Store;
use crate::store::StoreError;

/// When the replicas agree, and since when they could not.
pub(super) struct Sharing {
    store: Arc<dyn Store>,
    interval: Option<tokio::time::Interval>,
    /// What this replica may run, as of the last time the others were heard of.
    agreed: Instant,
    /// How long it goes on without them once its lease is over.
    patience: Duration,
    granted: Vec<Seat>,
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
        }
    }

    /// When it is time to agree again; never for a replica that is alone.
    pub(super) async fn due(&mut self) {
        match &mut self.interval {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Agrees with the other replicas on who runs what, and begins and ends agents accordingly.
    pub(super) async fn agree(
        &mut self,
        crew: &mut Crew,
        config: &Config,
        dispatch: &dispatch::Handle,
    ) {
        if self.interval.is_none() {
            crew.follow(config);
            return;
        }
        let wanted = crew::wanted(config);
        let granted = match self.store.seats(wanted, crew.held()).await {
            Ok(granted) => {
                self.agreed = Instant::now();
                granted
            }
            Err(error) => match self.without(&error) {
                Some(granted) => granted,
                None => return,
            },
        };
        crew.grant(granted.iter().cloned());
        crew.follow(config);
        if granted != self.granted {
            dispatch.set_rates(shares(config, &granted)).await;
            self.granted = granted;
        }
        self.tell(crew).await;
    }

    /// What to run while the others cannot be heard of: the same for a while, then nothing, because
    /// they may have taken it over.
    fn without(&self, error: &StoreError) -> Option<Vec<Seat>> {
        tracing::debug!(%error, "the agents cannot be shared out now");
        (self.agreed.elapsed() >= self.patience).then(Vec::new)
    }

    async fn tell(&self, crew: &Crew) {
        let directory = crew.directory();
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

/// What each account may send from here: as much of its rate as this replica has of its agents.
fn shares(config: &Config, granted: &[Seat]) -> Vec<(Arc<str>, Option<f64>)> {
    let mut here: HashMap<&str, u32> = HashMap::new();
    for seat in granted {
        *here.entry(&seat.account).or_default() += 1;
    }
    let all: HashMap<&str, u32> = config
        .accounts
        .iter()
        .map(|account| (account.uri.as_str(), account.connections))
        .collect();
    let share = |(account, rate): (Arc<str>, Option<f64>)| {
        let agents = here.get(&*account).copied().unwrap_or(0);
        let of = all.get(&*account).copied().unwrap_or(1).max(1);
        let rate = match agents {
            0 => rate,
            agents => rate.map(|rate| rate * f64::from(agents) / f64::from(of)),
        };
        (account, rate)
    };
    rates(config).into_iter().map(share).collect()
}
