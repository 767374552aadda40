//! PostgreSQL stops under load, and comes back.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde_json::json;

use crate::fleet::Fleet;
use crate::harness::Load;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::Seed;
use crate::harness::script;
use crate::harness::soon;
use crate::postgres::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_is_away_everything_is_refused_and_what_was_heard_is_told_when_it_is_back() {
    let peer = Peer::start().await;
    peer.script("kept", [Reply::Held(200)]);
    let mut cluster = Cluster::start();
    let mut fleet = Fleet::start(1, &cluster.database(), &peer, |setup| setup).await;
    let http = fleet.gateway(0).clone();
    let message = json!({"target": "kept", "body": "once", "onUnknown": "fail"});
    let id = http.accepted(&message).await;
    peer.wait_for("kept", 1).await;

    cluster.stop_server();
    peer.release("kept");
    for path in [
        &format!("/messages/{id}"),
        "/messages",
        "/webhooks",
        "/readyz",
    ] {
        let refused = http.get(path).await;
        assert_eq!(refused.status, 503, "{path}: {refused:?}");
        assert_eq!(refused.problem(), "unavailable", "{path}");
        assert!(refused.header("Retry-After").is_some(), "{path}");
    }
    let refused = http.post(&json!({"target": "bob", "body": "x"})).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("Retry-After").is_some());
    assert_eq!(http.get("/livez").await.status, 200);
    cluster.start_server();

    soon("it is ready again", async {
        while http.get("/readyz").await.status != 200 {}
    })
    .await;
    let kept = http.finished(&id).await;
    assert_eq!(kept["status"], "succeeded", "{kept}");
    assert_eq!(peer.got("kept").len(), 1);
    let bob = json!({"target": "bob", "body": "x"});
    assert_eq!(http.delivered(&bob).await["status"], "succeeded");
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_again_and_again_under_load_and_every_message_is_accounted_for() {
    let seed = Seed::take("away::");
    let mut rng = SmallRng::seed_from_u64(seed.0);
    let peer = Peer::start().await;
    script(&peer, &mut rng);
    let mut cluster = Cluster::start();
    let mut fleet = Fleet::start(2, &cluster.database(), &peer, |setup| {
        setup.with("sip.timer_f = '400ms'")
    })
    .await;
    let load = Load::begin(fleet.gateways(), seed.0);

    for _ in 0..3 {
        load.accepted(60).await;
        cluster.stop_server();
        load.refused(6).await;
        cluster.start_server();
    }
    load.accepted(60).await;
    let ledger = load.end().await;

    ledger.account(&peer.all());
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_is_away_a_replica_can_be_stopped() {
    let peer = Peer::start().await;
    let mut cluster = Cluster::start();
    let mut fleet = Fleet::start(1, &cluster.database(), &peer, |setup| setup).await;
    let load = Load::begin(fleet.gateways(), 0);
    load.accepted(20).await;

    cluster.stop_server();
    load.refused(1).await;

    fleet.end().await;
}
