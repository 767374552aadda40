//! Kill -9 of one of several, under load, with a recipient that counts.

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::fleet::Fleet;
use crate::harness::Load;
use crate::harness::Peer;
use crate::harness::Seed;
use crate::harness::script;
use crate::postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_three_is_killed_under_load_and_every_message_that_was_accepted_is_accounted_for() {
    let seed = Seed::take("killed::");
    let mut rng = SmallRng::seed_from_u64(seed.0);
    let peer = Peer::start().await;
    script(&peer, &mut rng);
    let database = postgres::database();
    let mut fleet = Fleet::start(3, &database, &peer, |setup| {
        setup.with("sip.timer_f = '400ms'")
    })
    .await;
    let load = Load::begin(fleet.gateways(), seed.0);

    for victim in 0..3 {
        load.accepted(rng.random_range(50..150)).await;
        fleet.kill(victim).await;
        load.go_to(fleet.gateways());
        load.accepted(rng.random_range(50..150)).await;
        fleet.launch(victim).await;
        load.go_to(fleet.gateways());
    }
    assert_eq!(load.refusals(), 0);
    let ledger = load.end().await;

    ledger.account(&peer.all());
    fleet.end().await;
}
