//! Kill -9 at any moment, any number of times, under load, with a recipient that counts.

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::harness::Load;
use crate::harness::Peer;
use crate::harness::Seed;
use crate::harness::TestGateway;
use crate::harness::script;

/// How often the gateway is killed.
const ROUNDS: u32 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_under_load_it_accounts_for_every_message_it_accepted() {
    let seed = Seed::take("crash::");
    let mut rng = SmallRng::seed_from_u64(seed.0);
    let peer = Peer::start().await;
    script(&peer, &mut rng);
    let setup = TestGateway::at(&peer)
        .with_agents(3)
        .with("sip.timer_f = '400ms'");
    let mut gateway = setup.launch().await;
    let load = Load::begin(vec![gateway.http.clone()], seed.0);

    for _ in 0..ROUNDS {
        load.accepted(rng.random_range(1..120)).await;
        gateway.kill().await;
        gateway = setup.launch().await;
        load.go_to(vec![gateway.http.clone()]);
    }
    assert_eq!(load.refusals(), 0);
    let ledger = load.end().await;

    ledger.account(&peer.all());
    gateway.stop().await;
}
