//! Readers that go from replica to replica, while all of them write.

use crate::fleet::Fleet;
use crate::harness::Load;
use crate::harness::Peer;
use crate::harness::Seed;
use crate::postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_hop_between_four_that_write_see_the_same_log_without_gap_or_repeat() {
    let seed = Seed::take("readers::");
    let peer = Peer::start().await;
    let database = postgres::database();
    let mut fleet = Fleet::start(4, &database, &peer, |setup| setup).await;
    let load = Load::begin(fleet.gateways(), seed.0);

    load.accepted(400).await;
    let ledger = load.end().await;

    ledger.account(&peer.all());
    fleet.end().await;
}
