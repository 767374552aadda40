//! Shares the agents among the replicas, periodically.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::supervisor;
use super::supervisor::Supervisor;
use crate::config::{Account, Config};
use crate::dispatch;
use crate::message::Agents as _;
use crate::store::{AgentLease, Store, StoreError};

/// The agreement with the other replicas.
pub(super) struct Sharing {
    store: Arc<dyn Store>,
    interval: Option<tokio::time::Interval>,
    /// When the replicas agreed last.
    agreed: Instant,
    /// How long the last agreement stays in force without another.
    grace: Duration,
    granted: Vec<AgentLease>,
    /// The rates that the dispatcher has.
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
            grace: lease * 2,
            granted: Vec::new(),
            rates: Rates::new(),
        }
    }

    /// Resolves when it is time to agree again; never without other replicas.
    pub(super) async fn due(&mut self) {
        match &mut self.interval {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Agrees with the other replicas on who runs which agents, starts and stops agents
    /// accordingly, and sets the rates of the accounts at this replica.
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
            match self.store.leases(wanted, held).await {
                Ok(granted) => {
                    (self.agreed, self.granted) = (Instant::now(), granted);
                    is_agreed = true;
                }
                Err(error) => self.handle_failure(&error),
            }
            supervisor.grant(self.granted.iter().cloned());
        }
        // Before an agent starts that would send at the previous rate.
        let granted = is_shared.then_some(&*self.granted);
        let rates = rates(config, granted);
        if rates != self.rates {
            dispatch.set_rates(rates.clone()).await;
            self.rates = rates;
        }
        supervisor.follow(config);
        if is_agreed {
            self.publish(supervisor).await;
        }
    }

    /// Without an agreement the agents stay for a while, and then stop: another replica may have
    /// taken them over.
    fn handle_failure(&mut self, error: &StoreError) {
        tracing::debug!(%error, "failed to share the agents among the replicas");
        if self.agreed.elapsed() >= self.grace {
            self.granted.clear();
        }
    }

    async fn publish(&self, supervisor: &Supervisor) {
        let directory = supervisor.directory();
        let orders = directory.outgoing();
        match self
            .store
            .share_agents(directory.list().collect(), orders)
            .await
        {
            Ok(shared) => {
                directory.show_elsewhere(shared.agents);
                for (agent, order) in shared.orders {
                    directory.obey(&agent, order);
                }
            }
            Err(error) => tracing::debug!(%error, "failed to publish the agents of this replica"),
        }
    }
}

/// Messages a second by account; `None` for any number.
type Rates = Vec<(Arc<str>, Option<f64>)>;

/// The rate of each account at this replica: in proportion to the agents that it has here, and all
/// of it without other replicas (`granted` is `None`). An account without an agent here sends
/// nothing, whatever its rate.
fn rates(config: &Config, granted: Option<&[AgentLease]>) -> Rates {
    let mut here: HashMap<&str, u32> = HashMap::new();
    for lease in granted.unwrap_or_default() {
        *here.entry(&lease.account).or_default() += 1;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the accounts may send from here, in the order of the configuration.
    fn shares(granted: Option<&[AgentLease]>) -> Vec<Option<f64>> {
        let config = Config::from_toml(
            "[[account]]\nuri = 'sip:alice@example.com'\nservers = ['wss://a.example']\n\
             connections = 4\nrate = 20.0\n\
             [[account]]\nuri = 'sip:carol@example.com'\nservers = ['wss://a.example']\n\
             connections = 2\n",
        );
        let rates = rates(&config.unwrap(), granted);
        rates.into_iter().map(|(_, rate)| rate).collect()
    }

    fn lease(account: &str, number: u32) -> AgentLease {
        AgentLease {
            account: account.into(),
            number,
        }
    }

    #[test]
    fn a_gateway_that_is_alone_sends_at_the_whole_rate() {
        assert_eq!(shares(None), [Some(20.0), None]);
    }

    #[test]
    fn a_replica_sends_at_the_share_of_its_agents_and_at_the_least_share_without_any() {
        let leases: Vec<_> = (1..=4)
            .map(|number| lease("sip:alice@example.com", number))
            .collect();
        for (count, rate) in [(0, 5.0), (1, 5.0), (3, 15.0), (4, 20.0)] {
            assert_eq!(shares(Some(&leases[..count])), [Some(rate), None]);
        }
        // Another account's agents, and more than the configuration wants, give no share.
        let other = [lease("sip:carol@example.com", 1)];
        assert_eq!(shares(Some(&other)), [Some(5.0), None]);
        let more = [&leases[..], &[lease("sip:alice@example.com", 5)]].concat();
        assert_eq!(shares(Some(&more)), [Some(20.0), None]);
    }
}
