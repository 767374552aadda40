//! `sendAt` and `ttl`.

use std::time::Duration;

use serde_json::json;
use sipost::clock::Clock;

use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::types_of;

/// The time on the wall, so many milliseconds from now, as JSON writes it.
pub(crate) fn in_millis(millis: u64) -> String {
    let now = Clock::system().now();
    now.plus(Duration::from_millis(millis)).to_string()
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_message_is_sent_when_its_time_comes_and_not_before() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let time = in_millis(400);
    let message = json!({"target": "bob", "body": "later", "sendAt": time});
    let answer = gateway.http.post(&message).await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &json!("scheduled"))
    );
    assert_eq!(answer.body["sendAt"], time);
    // It holds up no message that comes meanwhile.
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "now"}))
        .await;

    let id = answer.body["id"].as_str().unwrap();
    gateway.http.finished(id).await;
    let sending = gateway.http.events_of(id).await.remove(0);
    assert!(
        sending["time"].as_str().unwrap() >= time.as_str(),
        "{sending} before {time}"
    );
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["now", "later"]);
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_scheduled_before_a_restart_is_sent_at_its_time_after_it() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let message = json!({"target": "bob", "body": "later", "sendAt": in_millis(3_000_000)});
    let id = gateway.http.accepted(&message).await;
    gateway.stop().await;

    let gateway = setup.open().await;
    let shown = gateway.http.get(&format!("/messages/{id}")).await.body;
    assert_eq!(shown["status"], "scheduled");
    gateway.stop().await;
    assert_eq!(peer.all().len(), 0);

    // Its time to live counts from then.
    let gateway = setup.open_later(HOUR).await;
    assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    gateway.stop().await;
}

#[tokio::test]
async fn with_nobody_registered_a_message_waits_until_its_time_is_over() {
    let peer = Peer::start().await;
    peer.answer_registers(503);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x", "ttl": 1}))
        .await;
    let finished = gateway.http.finished(&id).await;

    assert_eq!(finished["status"], "failed");
    let result = &finished["result"];
    assert_eq!(result["cause"], "Connection Error");
    assert_eq!(
        (&result["originator"], &result["ambiguous"]),
        (&json!("system"), &json!(false))
    );
    assert!(result["time"].as_str() >= finished["expiresAt"].as_str());
    assert_eq!(types_of(&gateway.http.events_of(&id).await), ["failed"]);
    gateway.stop().await;
}

#[tokio::test]
async fn behind_another_message_the_time_of_one_runs_out_with_cause_expires() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let first = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    peer.wait_for("bob", 1).await;
    let second = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "2", "ttl": 1}))
        .await;
    let third = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "3"}))
        .await;
    let finished = gateway.http.finished(&second).await;
    let result = &finished["result"];
    assert_eq!(
        (&result["cause"], &result["originator"]),
        (&json!("Expires"), &json!("system"))
    );

    peer.release("bob");
    for id in [first, third] {
        assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    }
    assert_eq!(peer.got("bob").len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn what_expired_while_the_gateway_was_away_is_told_and_not_sent() {
    let peer = Peer::start().await;
    peer.answer_registers(503);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x", "ttl": 60}))
        .await;
    gateway.stop().await;

    peer.answer_registers(200);
    let gateway = setup.open_later(HOUR).await;
    let finished = gateway.http.finished(&id).await;
    assert_eq!(finished["status"], "failed");
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "y"}))
        .await;
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["y"]);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_left_of_the_time_goes_with_the_request() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x", "ttl": 100}))
        .await;
    let got = peer.got("bob").remove(0);
    let expires: u64 = got.header("Expires").parse().unwrap();
    assert!((60..=100).contains(&expires), "{expires}");
    assert!(got.header("Date").ends_with(" GMT"));
    gateway.stop().await;
}
