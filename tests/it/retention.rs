//! Messages that have ended are kept for their time and then removed, and no request waits for it.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::harness::Client;
use crate::harness::Peer;
use crate::harness::TestGateway;
use crate::harness::id_of;
use crate::harness::soon;

const DAY: Duration = Duration::from_secs(86_400);

/// Waits until this many messages are listed.
async fn listed(http: &Client, count: usize) -> Vec<Value> {
    soon("what is old goes", async {
        loop {
            let page = http.get("/messages?limit=500").await.body;
            let messages = page["data"].as_array().unwrap();
            if messages.len() == count && page["nextCursor"].is_null() {
                return messages.clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_ended_long_ago_goes_with_its_events_and_what_waits_stays() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with("retention.finished = '7d'");
    let gateway = setup.open().await;
    let ended = gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x"}))
        .await;
    let later = crate::schedule::in_millis(20 * 86_400_000);
    let waits = json!({"target": "carol", "body": "y", "sendAt": later});
    let waits = gateway.http.accepted(&waits).await;
    gateway.stop().await;

    let gateway = setup.open_later(6 * DAY).await;
    let young = gateway
        .http
        .delivered(&json!({"target": "dave", "body": "z"}))
        .await;
    assert_eq!(listed(&gateway.http, 3).await.len(), 3);
    gateway.stop().await;

    let gateway = setup.open_later(8 * DAY).await;
    let left: Vec<_> = listed(&gateway.http, 2).await.iter().map(id_of).collect();
    assert_eq!(left, [id_of(&young), waits.clone()]);
    let gone = id_of(&ended);
    for path in [
        format!("/messages/{gone}"),
        format!("/messages/{gone}/events"),
    ] {
        assert_eq!(gateway.http.get(&path).await.status, 404, "{path}");
    }
    // The oldest kept is where the log begins now.
    let page = gateway.http.get("/events").await.body;
    assert_eq!(page["data"][0]["messageId"], id_of(&young));
    assert!(page["gap"].is_null());
    gateway.stop().await;

    let gateway = setup
        .open_later(20 * DAY + Duration::from_secs(1_800))
        .await;
    assert_eq!(gateway.http.finished(&waits).await["status"], "succeeded");
    gateway.stop().await;
}

#[tokio::test]
async fn many_that_are_old_go_while_new_ones_come_and_are_read() {
    const OLD: usize = 800;
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with("retention.finished = '1h'");
    let gateway = setup.open().await;
    let batch: Vec<_> = (0..OLD / 2)
        .map(|number| json!({"target": format!("user{}", number % 50), "body": "old"}))
        .collect();
    for _ in 0..2 {
        let accepted = gateway.http.post_batch(&batch).await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
    }
    peer.until_all(OLD).await;
    soon("all have ended", async {
        for status in ["queued", "sending"] {
            while gateway
                .http
                .get(&format!("/messages?status={status}"))
                .await
                .body["data"]
                != json!([])
            {}
        }
    })
    .await;
    gateway.stop().await;

    let gateway = setup.open_later(Duration::from_secs(7_200)).await;
    let mut stream = gateway.http.stream("/events").await;
    let mut new = Vec::new();
    for number in 0..50 {
        let message = json!({"target": format!("user{number}"), "body": "new"});
        new.push(id_of(&gateway.http.delivered(&message).await));
    }
    // Who follows the log misses none of what is new.
    for _ in 0..100 {
        let event = stream.next().await;
        assert_ne!(event.name, "gap");
        assert!(new.contains(&event.data["messageId"].as_str().unwrap().to_owned()));
    }
    let mut left: Vec<_> = listed(&gateway.http, 50).await.iter().map(id_of).collect();
    left.reverse();
    assert_eq!(left, new);
    gateway.stop().await;
}

#[tokio::test]
async fn bodies_go_as_soon_as_their_messages_ended_when_told_so() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with("retention.bodies = 'discard'");
    let gateway = setup.open().await;
    let ended = id_of(
        &gateway
            .http
            .delivered(&json!({"target": "bob", "body": "secret"}))
            .await,
    );
    let later = crate::schedule::in_millis(600_000);
    let waits = json!({"target": "bob", "body": "still needed", "sendAt": later});
    let waits = gateway.http.accepted(&waits).await;
    gateway.stop().await;

    let gateway = setup.open().await;
    soon("the body goes", async {
        loop {
            let shown = gateway.http.get(&format!("/messages/{ended}")).await.body;
            assert_eq!(
                (&shown["target"], &shown["status"]),
                (&json!("bob"), &json!("succeeded"))
            );
            if shown["body"] != "secret" {
                return;
            }
        }
    })
    .await;
    let shown = gateway.http.get(&format!("/messages/{waits}")).await.body;
    assert_eq!(shown["body"], "still needed");
    gateway.stop().await;

    let gateway = setup.open_later(Duration::from_secs(900)).await;
    gateway.http.finished(&waits).await;
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["secret", "still needed"]);
    gateway.stop().await;
}
