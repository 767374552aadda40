//! What a message waits for, asked at the replica that has it and at another one.

use serde_json::Value;
use serde_json::json;

use crate::fleet::Fleet;
use crate::harness::Client;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::soon;
use crate::postgres;

async fn waiting_for(http: &Client, id: &str) -> Value {
    let answer = http.get(&format!("/messages/{id}")).await;
    answer.body["waitingFor"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replica_that_has_a_message_says_what_it_waits_for_and_another_one_who_has_it() {
    let peer = Peer::start().await;
    peer.script("kept", [Reply::Held(200), Reply::Status(200)]);
    let mut fleet = Fleet::start(2, &postgres::database(), &peer, |setup| setup).await;
    let message = json!({"target": "kept", "body": "x"});
    let first = fleet.gateway(0).accepted(&message).await;
    peer.wait_for("kept", 1).await;
    let answer = fleet.gateway(1).post(&message).await.body;
    let second = answer["id"].as_str().unwrap();

    // Until the one that has its lane has heard of it, that one can say no more than the other.
    let (has_it, other_index, other) = soon("one of them knows what it waits for", async {
        loop {
            for (has_it, other) in [(0, 1), (1, 0)] {
                let lane = waiting_for(fleet.gateway(has_it), second).await;
                if lane == json!({"kind": "lane", "before": 1}) {
                    let told = waiting_for(fleet.gateway(other), second).await;
                    return (has_it, other, told);
                }
            }
        }
    })
    .await;
    let until = other["until"].as_str().unwrap();
    assert!(until > answer["createdAt"].as_str().unwrap(), "{other}");
    let name = format!("replica-{}", has_it + 1);
    assert_eq!(
        other,
        json!({"kind": "replica", "replica": name, "until": until})
    );

    // A list says the same.
    let list = fleet
        .gateway(other_index)
        .get("/messages?status=queued")
        .await;
    let listed = &list.body["data"][0]["waitingFor"];
    // The lease may have been renewed between the two.
    let renewed = listed["until"].as_str().unwrap();
    assert!(renewed >= until, "{listed}");
    assert_eq!(
        *listed,
        json!({"kind": "replica", "replica": name, "until": renewed})
    );

    peer.release("kept");
    for id in [first.as_str(), second] {
        for gateway in 0..2 {
            let http = fleet.gateway(gateway);
            assert_eq!(http.finished(id).await["status"], "succeeded");
            assert_eq!(waiting_for(http, id).await, Value::Null);
        }
    }
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_for_the_dead_server_of_its_account_holds_up_no_other_account() {
    let peer = Peer::start().await;
    let dead = "[[account]]\nuri = 'sip:dead@example.com'\nservers = ['ws://127.0.0.1:1']";
    // The only agent of alice is at one of the replicas; the dead account has none at either.
    let setting = |setup: TestGateway| setup.with_agents(1).with_account(dead);
    let mut fleet = Fleet::start(2, &postgres::database(), &peer, setting).await;
    peer.registered(1).await;

    for (has_lane, target) in [(0, "bob"), (1, "carol")] {
        let from = |account: &str| json!({"from": account, "target": target, "body": account});
        let waits = fleet.gateway(has_lane);
        let waits = waits.accepted(&from("sip:dead@example.com")).await;
        for gateway in fleet.gateways() {
            let sent = gateway.delivered(&from("sip:alice@example.com")).await;
            assert_eq!(sent["status"], "succeeded");
        }
        let message = format!("/messages/{waits}");
        let message = fleet.gateway(has_lane).get(&message).await.body;
        assert_eq!(message["status"], "queued");
        assert_eq!(peer.got(target).len(), 2);
    }
    fleet.end().await;
}
