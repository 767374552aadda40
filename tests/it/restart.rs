//! What was accepted outlives the gateway, however it ends.

use serde_json::json;

use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::types_of;

#[tokio::test]
async fn what_waited_is_sent_after_an_orderly_restart_and_after_kill_9() {
    for is_killed in [false, true] {
        let peer = Peer::start().await;
        peer.answer_registers(503);
        let setup = TestGateway::at(&peer);
        let gateway = setup.launch().await;
        let mut ids = Vec::new();
        for number in 0..10 {
            let message = json!({"target": "bob", "body": number.to_string()});
            ids.push(gateway.http.accepted(&message).await);
        }
        if is_killed {
            gateway.kill().await;
        } else {
            let exit = gateway.stop().await;
            assert_eq!(exit.code, Some(0), "{exit:?}");
        }

        peer.answer_registers(200);
        let gateway = setup.launch().await;
        for id in &ids {
            assert_eq!(gateway.http.finished(id).await["status"], "succeeded");
            assert_eq!(
                types_of(&gateway.http.events_of(id).await),
                ["sending", "succeeded"]
            );
        }
        let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
        assert_eq!(bodies, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn killed_while_sending_it_sends_again_with_the_same_call_id() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x", "attempts": 1}))
        .await;
    let behind = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "y"}))
        .await;
    peer.wait_for("bob", 1).await;
    gateway.kill().await;

    let gateway = setup.launch().await;
    let finished = gateway.http.finished(&id).await;
    assert_eq!(finished["status"], "succeeded");
    gateway.http.finished(&behind).await;
    let events = gateway.http.events_of(&id).await;
    assert_eq!(
        types_of(&events),
        ["sending", "deferred", "sending", "succeeded"]
    );
    let deferred = &events[1];
    assert_eq!(
        (&deferred["cause"], &deferred["originator"]),
        (&json!("Connection Error"), &json!("system"))
    );
    let got = peer.got("bob");
    let bodies: Vec<_> = got.iter().map(|got| got.body.as_str()).collect();
    assert_eq!(bodies, ["x", "x", "y"]);
    assert_eq!(got[0].call_id, got[1].call_id);
    assert_eq!(got[0].header("From"), got[1].header("From"));
    gateway.stop().await;
}

#[tokio::test]
async fn killed_while_sending_it_says_ambiguous_when_it_must_not_send_again() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    let message = json!({"target": "bob", "body": "x", "onUnknown": "fail"});
    let id = gateway.http.accepted(&message).await;
    peer.wait_for("bob", 1).await;
    gateway.kill().await;

    let gateway = setup.launch().await;
    let finished = gateway.http.finished(&id).await;
    let result = &finished["result"];
    assert_eq!(
        (&result["cause"], &result["ambiguous"]),
        (&json!("Connection Error"), &json!(true))
    );
    assert_eq!(
        (&result["originator"], &result["attempt"]),
        (&json!("system"), &json!(1))
    );
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "y"}))
        .await;
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["x", "y"]);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_still_open_when_the_grace_is_over_is_taken_up_at_the_next_start() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer).with("delivery.shutdown_grace = '100ms'");
    let gateway = setup.launch().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x"}))
        .await;
    peer.wait_for("bob", 1).await;
    let exit = gateway.stop().await;
    assert_eq!(exit.code, Some(0), "{exit:?}");

    let gateway = setup.launch().await;
    assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    let got = peer.got("bob");
    assert_eq!((got.len(), &got[0].call_id), (2, &got[1].call_id));
    gateway.stop().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer).with("delivery.shutdown_grace = '1h'");
    let gateway = setup.launch().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x"}))
        .await;
    peer.wait_for("bob", 1).await;
    gateway.signal(rustix::process::Signal::INT);
    gateway.says("a second signal ends at once").await;
    gateway.end_at_once().await;

    let gateway = setup.launch().await;
    assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    gateway.stop().await;
}

#[tokio::test]
async fn the_log_is_the_same_after_a_restart() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(486)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    for target in ["bob", "carol", "bob"] {
        gateway
            .http
            .delivered(&json!({"target": target, "body": "x"}))
            .await;
    }
    let before = gateway.http.get("/events").await.body["data"].clone();
    let list = gateway.http.get("/messages").await.body;
    gateway.kill().await;
    let gateway = setup.launch().await;
    assert_eq!(gateway.http.get("/events").await.body["data"], before);
    assert_eq!(gateway.http.get("/messages").await.body, list);
    gateway.stop().await;
}
