//! Higher classes go first, on the wire and over a restart.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::id_of;

const CLASSES: [&str; 4] = ["non-urgent", "normal", "urgent", "emergency"];

fn message(target: &str, body: &str, priority: &str) -> Value {
    json!({"target": target, "body": body, "priority": priority})
}

#[tokio::test]
async fn a_priority_is_written_shown_and_told_where_it_was_given() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    for class in CLASSES {
        let done = gateway.http.delivered(&message(class, "x", class)).await;
        assert_eq!(
            (&done["priority"], &done["result"]["priority"]),
            (&json!(class), &json!(class))
        );
        assert_eq!(peer.got(class)[0].header("Priority"), class);
        let events = gateway.http.events_of(done["id"].as_str().unwrap()).await;
        assert!(
            events.iter().all(|event| event["priority"] == class),
            "{events:?}"
        );
        assert_eq!(events[0]["request"]["headers"]["Priority"], json!([class]));
    }
    let plain = json!({"target": "bob", "body": "x"});
    let done = gateway.http.delivered(&plain).await;
    assert_eq!(
        (&done["priority"], &done["result"]["priority"]),
        (&json!("normal"), &Value::Null)
    );
    assert_eq!(peer.got("bob")[0].header("Priority"), "");
    // As it was before there was a member for it.
    let headers = json!({"target": "carol", "body": "x", "extraHeaders": ["Priority: urgent"]});
    assert_eq!(gateway.http.delivered(&headers).await["priority"], "normal");
    assert_eq!(peer.got("carol")[0].header("Priority"), "urgent");
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_priority_is_refused_and_nothing_is_stored() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let twice = json!({"target": "bob", "body": "x", "priority": "urgent",
        "extraHeaders": {"priority": "normal"}});
    for (wrong, pointer) in [
        (message("bob", "x", "high"), "/priority"),
        (
            json!({"target": "bob", "body": "x", "priority": 3}),
            "/priority",
        ),
        (twice, "/extraHeaders"),
    ] {
        let answer = gateway.http.post(&wrong).await;
        assert_eq!(answer.status, 422, "{wrong}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
        let batch = [message("bob", "x", "urgent"), wrong];
        let answer = gateway.http.post_batch(&batch).await;
        assert_eq!(answer.status, 422);
        let pointer = format!("/messages/1{pointer}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
    assert_eq!(gateway.http.get("/messages").await.body["data"], json!([]));
    gateway.stop().await;
}

/// The bodies to one target, in the order in which they went out.
fn order(peer: &Peer, user: &str) -> Vec<String> {
    peer.got(user).into_iter().map(|got| got.body).collect()
}

#[tokio::test]
async fn a_higher_class_overtakes_what_waits_for_a_target_also_after_a_restart() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    let classes = [
        "normal",
        "non-urgent",
        "normal",
        "urgent",
        "emergency",
        "urgent",
    ];
    let first = gateway
        .http
        .accepted(&message("bob", "first", "normal"))
        .await;
    peer.wait_for("bob", 1).await;
    let batch: Vec<_> = (0..)
        .zip(classes)
        .map(|(number, class)| message("bob", &format!("{class} {number}"), class))
        .collect();
    let accepted = gateway.http.post_batch(&batch).await;
    let ids: Vec<_> = accepted.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(id_of)
        .collect();
    let waits_for = |shown: Value| shown["waitingFor"].clone();
    let shown = gateway
        .http
        .get(&format!("/messages/{}", ids[4]))
        .await
        .body;
    assert_eq!(waits_for(shown), json!({"kind": "lane", "before": 1}));

    gateway.kill().await;
    peer.script("bob", [Reply::Status(200)]);
    let gateway = setup.open().await;
    for id in ids.iter().chain([&first]) {
        assert_eq!(gateway.http.finished(id).await["status"], "succeeded");
    }
    let order = order(&peer, "bob");
    let sent: Vec<_> = order
        .iter()
        .map(String::as_str)
        .filter(|body| *body != "first")
        .collect();
    let expected = [
        "emergency 4",
        "urgent 3",
        "urgent 5",
        "normal 0",
        "normal 2",
        "non-urgent 1",
    ];
    assert_eq!(sent, expected);
    gateway.stop().await;
}

#[tokio::test]
async fn a_slot_is_kept_for_what_is_urgent() {
    let peer = Peer::start().await;
    let users: Vec<_> = (0..12).map(|number| format!("user{number}")).collect();
    for user in &users {
        peer.script(user, [Reply::Held(200)]);
    }
    let setup = TestGateway::at(&peer).with_account("in_flight = 10");
    let gateway = setup.open().await;
    peer.registered(1).await;
    let mut ids = Vec::new();
    for user in &users[..10] {
        ids.push(
            gateway
                .http
                .accepted(&json!({"target": user, "body": "x"}))
                .await,
        );
    }
    peer.until_all(9).await;
    let last = format!("/messages/{}", ids[9]);
    let shown = gateway.http.get(&last).await.body;
    assert_eq!(shown["waitingFor"], json!({"kind": "slot"}));
    gateway
        .http
        .accepted(&message("user10", "x", "urgent"))
        .await;
    peer.wait_for("user10", 1).await;
    gateway
        .http
        .accepted(&message("user11", "x", "emergency"))
        .await;
    let shown = gateway.http.get(&last).await.body;
    assert_eq!(
        shown["waitingFor"],
        json!({"kind": "priority", "class": "emergency"})
    );
    assert!(peer.got("user9").is_empty() && peer.got("user11").is_empty());
    peer.release("user0");
    peer.wait_for("user11", 1).await;
    assert!(peer.got("user9").is_empty());
    for user in &users[1..] {
        peer.wait_for(user, 1).await;
        peer.release(user);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_emergency_does_not_wait_for_a_rate_that_a_campaign_uses_up() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with_account("rate = 10");
    let gateway = setup.open().await;
    peer.registered(1).await;
    let campaign: Vec<_> = (0..1_000)
        .map(|number| json!({"target": format!("user{number}"), "body": "x"}))
        .collect();
    assert_eq!(gateway.http.post_batch(&campaign).await.status, 202);
    let done = gateway
        .http
        .delivered(&message("alarm", "fire", "emergency"))
        .await;
    assert_eq!(done["status"], "succeeded");
    // A hundred seconds' worth was before it.
    assert!(peer.all().len() < 500);
    let request = gateway.http.request(Method::GET, "/metrics");
    let text = request.send().await.unwrap().text().await.unwrap();
    for line in [
        "sipost_messages_open{priority=\"emergency\"} 0",
        "sipost_message_wait_seconds_count{priority=\"emergency\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    gateway.stop().await;
}
