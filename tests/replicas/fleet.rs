//! Replicas that are started, killed and stopped one by one.

use futures_util::future::join_all;
use rustix::process::Signal;

use crate::harness::Client;
use crate::harness::Exit;
use crate::harness::Peer;
use crate::harness::Program;
use crate::harness::TestGateway;

/// A number of replicas of one gateway, some of which may not run just now.
pub(crate) struct Fleet {
    setups: Vec<TestGateway>,
    running: Vec<Option<Program>>,
}

impl Fleet {
    /// So many replicas at this database, and as many agents for them to share, with a lease as
    /// short as can be, and more settings. All of them start at once.
    pub(crate) async fn start(
        count: u32,
        database: &str,
        peer: &Peer,
        setting: impl Fn(TestGateway) -> TestGateway,
    ) -> Self {
        let setup = |number| {
            let setup = TestGateway::at(peer)
                .with(&format!("store.url = '{database}'"))
                .with(&format!("store.replica = '{}'", name(number)))
                .with("store.lease = '1s'")
                .with_agents(count);
            setting(setup)
        };
        let setups: Vec<_> = (1..=count).map(setup).collect();
        let running = join_all(setups.iter().map(TestGateway::launch)).await;
        let running = running.into_iter().map(Some).collect();
        Self { setups, running }
    }

    /// How those that run are spoken to.
    pub(crate) fn gateways(&self) -> Vec<Client> {
        let running = self.running.iter().flatten();
        running.map(|program| program.http.clone()).collect()
    }

    /// How this one is spoken to, which runs.
    pub(crate) fn gateway(&self, at: usize) -> &Client {
        &self.running[at].as_ref().unwrap().http
    }

    /// Kills one on the spot, as a power failure would.
    pub(crate) async fn kill(&mut self, at: usize) {
        self.running[at].take().unwrap().kill().await;
    }

    /// Sends a signal to one that runs.
    pub(crate) fn signal(&self, at: usize, signal: Signal) {
        self.running[at].as_ref().unwrap().signal(signal);
    }

    /// Asks one to stop, and waits until it has.
    pub(crate) async fn stop(&mut self, at: usize) -> Exit {
        self.running[at].take().unwrap().stop().await
    }

    /// Starts one again.
    pub(crate) async fn launch(&mut self, at: usize) {
        self.running[at] = Some(self.setups[at].launch().await);
    }

    /// Stops those that run, all at once.
    pub(crate) async fn end(&mut self) {
        let running = self.running.iter_mut().filter_map(Option::take);
        for exit in join_all(running.map(Program::stop)).await {
            assert_eq!(exit.code, Some(0), "{}", exit.said);
        }
    }
}

/// What a replica is called, counted from 1.
fn name(number: u32) -> String {
    format!("replica-{number}")
}
