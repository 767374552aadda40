//! At most one request in flight to a target, in the order of acceptance; targets are independent.

use serde_json::json;

use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::id_of;

#[tokio::test]
async fn messages_to_one_target_go_out_one_by_one_in_the_order_of_acceptance() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer).with_agents(3);
    let gateway = setup.open().await;
    peer.registered(3).await;
    let mut ids = Vec::new();
    for number in 0..8 {
        let message = json!({"target": "bob", "body": number.to_string()});
        ids.push(gateway.http.accepted(&message).await);
    }
    for count in 1..=8 {
        let got = peer.wait_for("bob", count).await;
        assert_eq!(got.len(), count, "the next waits for the answer");
        peer.release("bob");
        gateway.http.finished(&ids[count - 1]).await;
    }
    assert_eq!(peer.most_open("bob"), 1);
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_target_that_does_not_answer_holds_up_no_other() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let held = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x"}))
        .await;
    peer.wait_for("bob", 1).await;
    for number in 0..20 {
        let message = json!({"target": format!("user{number}"), "body": "x"});
        assert_eq!(
            gateway.http.delivered(&message).await["status"],
            "succeeded"
        );
    }
    peer.release("bob");
    gateway.http.finished(&held).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_deferred_message_keeps_its_place_before_those_behind_it() {
    let peer = Peer::start().await;
    peer.script(
        "bob",
        [Reply::Status(503), Reply::Status(500), Reply::Status(200)],
    );
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let messages: Vec<_> = (0..3)
        .map(|number| json!({"target": "bob", "body": number.to_string()}))
        .collect();
    let accepted = gateway.http.post_batch(&messages).await;
    for message in accepted.body["data"].as_array().unwrap() {
        gateway.http.finished(&id_of(message)).await;
    }
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["0", "0", "0", "1", "2"]);
    gateway.stop().await;
}

#[tokio::test]
async fn spellings_of_one_address_are_one_target() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer).with_agents(2);
    let gateway = setup.open().await;
    peer.registered(2).await;
    let mut ids = Vec::new();
    for target in [
        "bob",
        "sip:bob@example.com",
        "sip:bob@EXAMPLE.com",
        "sip:b%6fb@example.com",
    ] {
        let message = json!({"target": target, "body": target});
        ids.push(gateway.http.accepted(&message).await);
    }
    for (count, id) in (1..).zip(&ids) {
        assert_eq!(peer.wait_for("bob", count).await.len(), count);
        peer.release("bob");
        gateway.http.finished(id).await;
    }
    assert_eq!(peer.most_open("bob"), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn under_load_no_target_ever_has_two_in_flight_and_none_is_overtaken() {
    let peer = Peer::start().await;
    peer.script(
        "user3",
        [
            Reply::Status(503),
            Reply::After(100, 200),
            Reply::Thrice(200),
        ],
    );
    peer.script("user5", [Reply::Noise(200)]);
    let setup = TestGateway::at(&peer).with_agents(4);
    let gateway = setup.open().await;
    let clients = (0..10).map(|client| {
        let http = gateway.http.clone();
        async move {
            let mut ids = Vec::new();
            for number in 0..30 {
                let target = format!("user{client}");
                let message = json!({"target": target, "body": number.to_string()});
                ids.push(http.accepted(&message).await);
            }
            for id in ids {
                assert_eq!(http.finished(&id).await["status"], "succeeded");
            }
        }
    });
    futures_util::future::join_all(clients).await;
    for client in 0..10 {
        let user = format!("user{client}");
        assert_eq!(peer.most_open(&user), 1, "{user}");
        let mut got: Vec<usize> = peer
            .got(&user)
            .iter()
            .map(|got| got.body.parse().unwrap())
            .collect();
        got.dedup();
        assert_eq!(got, (0..30).collect::<Vec<_>>(), "{user}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_that_waits_for_the_dead_server_of_its_account_holds_up_no_other_account() {
    let peer = Peer::start().await;
    let dead = "[[account]]\nuri = 'sip:dead@example.com'\nservers = ['ws://127.0.0.1:1']";
    let gateway = TestGateway::at(&peer).with_account(dead).open().await;
    peer.registered(1).await;
    let from = |from: &str, body: &str| json!({"from": from, "target": "bob", "body": body});
    let waits = gateway
        .http
        .accepted(&from("sip:dead@example.com", "waits"))
        .await;
    for message in [
        from("sip:alice@example.com", "named"),
        json!({"target": "bob", "body": "any"}),
    ] {
        assert_eq!(
            gateway.http.delivered(&message).await["status"],
            "succeeded"
        );
    }
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["named", "any"]);
    assert_eq!(
        gateway.http.get(&format!("/messages/{waits}")).await.body["status"],
        "queued"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_ends_with_its_ttl_while_it_is_sent_and_the_next_waits_for_the_transaction() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let gateway = TestGateway::at(&peer).open().await;
    let short = json!({"target": "bob", "body": "short", "ttl": 1});
    let short = gateway.http.accepted(&short).await;
    let next = json!({"target": "bob", "body": "next"});
    let next = gateway.http.accepted(&next).await;
    let ended = gateway.http.finished(&short).await;
    assert_eq!(ended["status"], "failed");
    let result = &ended["result"];
    assert_eq!(
        (
            &result["cause"],
            &result["originator"],
            &result["ambiguous"]
        ),
        (&json!("Expires"), &json!("system"), &json!(true))
    );
    assert_eq!(peer.got("bob").len(), 1, "its transaction is still open");
    peer.release("bob");
    peer.wait_for("bob", 2).await;
    peer.release("bob");
    assert_eq!(gateway.http.finished(&next).await["status"], "succeeded");
    assert_eq!(
        gateway.http.get(&format!("/messages/{short}")).await.body["status"],
        "failed"
    );
    gateway.stop().await;
}
