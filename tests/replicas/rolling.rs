//! One after the other is stopped and started again, under load.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::fleet::Fleet;
use crate::harness::Load;
use crate::harness::Peer;
use crate::harness::Seed;
use crate::harness::script;
use crate::postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_three_is_restarted_under_load_and_nothing_is_lost_or_told_twice() {
    let seed = Seed::take("rolling::");
    let mut rng = SmallRng::seed_from_u64(seed.0);
    let peer = Peer::start().await;
    script(&peer, &mut rng);
    let database = postgres::database();
    let mut fleet = Fleet::start(3, &database, &peer, |setup| {
        setup.with("sip.timer_f = '400ms'")
    })
    .await;
    let load = Load::begin(fleet.gateways(), seed.0);

    for at in 0..3 {
        load.accepted(60).await;
        // Clients go on asking it until it is gone, and are sent away.
        let exit = fleet.stop(at).await;
        assert_eq!(exit.code, Some(0), "{}", exit.said);
        load.go_to(fleet.gateways());
        load.accepted(60).await;
        fleet.launch(at).await;
        load.go_to(fleet.gateways());
    }
    let ledger = load.end().await;

    ledger.account(&peer.all());
    fleet.end().await;
}
