//! What the replicas have in common: agents, keys, and what is posted to webhooks.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use futures_util::future::join;
use futures_util::future::join_all;
use serde_json::Value;
use serde_json::json;

use crate::fleet::Fleet;
use crate::harness::Client;
use crate::harness::Peer;
use crate::harness::TestGateway;
use crate::harness::id_of;
use crate::harness::soon;
use crate::postgres;
use crate::receiver::Receiver;

/// Which replica has which agent, as this one says; only those that are registered.
async fn agents(gateway: &Client) -> BTreeMap<String, String> {
    let shown = gateway.get("/agents").await.body;
    let agents = shown["data"].as_array().unwrap().clone();
    let registered = agents
        .iter()
        .filter(|agent| agent["state"] == "registered" && agent["replica"].is_string());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    registered
        .map(|agent| (text(&agent["id"]), text(&agent["replica"])))
        .collect()
}

/// Waits until every replica says the same: three agents, at these replicas.
async fn shared_out(fleet: &Fleet, replicas: &[&str]) {
    let expected: BTreeSet<_> = replicas.iter().copied().collect();
    soon("the agents are shared out", async {
        loop {
            let gateways = fleet.gateways();
            let shown = join_all(gateways.iter().map(agents)).await;
            let is_even = |agents: &BTreeMap<String, String>| {
                let holders: BTreeSet<_> = agents.values().map(String::as_str).collect();
                agents.len() == 3 && holders == expected
            };
            if shown.iter().all(is_even) && shown.iter().all(|other| *other == shown[0]) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_shared_out_and_taken_over_when_their_replica_dies_and_everybody_shows_them_all()
{
    let peer = Peer::start().await;
    let database = postgres::database();
    let mut fleet = Fleet::start(3, &database, &peer, |setup| setup).await;
    shared_out(&fleet, &["replica-1", "replica-2", "replica-3"]).await;

    fleet.kill(0).await;
    shared_out(&fleet, &["replica-2", "replica-3"]).await;

    fleet.launch(0).await;
    shared_out(&fleet, &["replica-1", "replica-2", "replica-3"]).await;
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_at_two_replicas_at_once_makes_one_message() {
    let peer = Peer::start().await;
    let database = postgres::database();
    let mut fleet = Fleet::start(2, &database, &peer, |setup| setup).await;
    let (one, two) = (fleet.gateway(0).clone(), fleet.gateway(1).clone());

    for number in 0..20 {
        let message = json!({"target": "bob", "body": number.to_string()});
        let key = format!("key {number}");
        let (here, there) = join(
            one.post_with_key(&message, &key),
            two.post_with_key(&message, &key),
        )
        .await;
        assert_eq!((here.status, there.status), (202, 202));
        assert_eq!(id_of(&here.body), id_of(&there.body));
        let replayed = [&here, &there].map(|answer| answer.header("Idempotent-Replayed"));
        assert_eq!(replayed.iter().flatten().count(), 1, "{replayed:?}");
        two.finished(&id_of(&here.body)).await;
    }

    assert_eq!(peer.got("bob").len(), 20);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_posted_to_its_webhook_once_whichever_replica_wrote_it() {
    let peer = Peer::start().await;
    let receiver = Receiver::start().await;
    let database = postgres::database();
    let settings = |setup: TestGateway| {
        setup
            .with("webhooks.allowed_networks = ['127.0.0.0/8']")
            .with("webhooks.secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'")
    };
    let mut fleet = Fleet::start(3, &database, &peer, settings).await;

    let gateways = fleet.gateways();
    let posts = (0..60).map(|number| {
        let gateway = &gateways[number % 3];
        let url = receiver.url("/hook");
        let user = format!("user{number}");
        async move {
            let message = json!({"target": user, "body": "x", "webhook": url});
            gateway.accepted(&message).await
        }
    });
    let ids: Vec<_> = join_all(posts).await;
    for id in &ids {
        gateways[0].finished(id).await;
    }
    receiver.posted(120).await;
    // Whatever would be posted twice is posted before this one at the latest.
    let url = receiver.url("/last");
    let last = json!({"target": "last", "body": "x", "webhook": url});
    gateways[1].delivered(&last).await;
    receiver.posted(122).await;
    fleet.end().await;

    let posts = receiver.posts();
    let events: BTreeSet<_> = posts.iter().map(|post| post.header("webhook-id")).collect();
    assert_eq!((posts.len(), events.len()), (122, 122));
}
