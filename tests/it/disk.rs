//! A disk that is full, slow to be had, read-only or damaged: told clearly, and recovered from.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;

use crate::harness::House;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::soon;
use crate::harness::types_of;

#[tokio::test]
async fn a_disk_that_takes_nothing_refuses_with_503_and_recovers_without_a_restart() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let house = House::at(&peer);
    let gateway = house.launch().await;
    let open = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    let behind = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "2"}))
        .await;
    peer.wait_for("bob", 1).await;

    gateway.may_write(false);
    let message = json!({"target": "carol", "body": "x"});
    for _ in 0..3 {
        let refused = gateway.http.post_with_key(&message, "k").await;
        assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
        assert!(refused.header("Retry-After").is_some());
    }
    assert_eq!(gateway.http.get("/readyz").await.status, 503);
    assert_eq!(gateway.http.get("/livez").await.status, 200);
    // The answer comes while it cannot be recorded: nobody sees what is not durable.
    peer.release("bob");
    gateway.says("events cannot be written").await;
    let shown = gateway.http.get(&format!("/messages/{open}")).await.body;
    assert_eq!(shown["status"], "sending");
    assert_eq!(types_of(&gateway.http.events_of(&open).await), ["sending"]);
    // The next has its turn and an agent with room, and says what keeps it.
    let shown = gateway.http.get(&format!("/messages/{behind}")).await.body;
    assert_eq!(shown["waitingFor"], json!({"kind": "store"}));

    gateway.may_write(true);
    for id in [&open, &behind] {
        let finished = gateway.http.finished(id).await;
        assert_eq!(finished["status"], "succeeded");
        assert_eq!(
            types_of(&gateway.http.events_of(id).await),
            ["sending", "succeeded"]
        );
    }
    assert_eq!(gateway.http.get("/readyz").await.status, 200);
    let taken = gateway.http.post_with_key(&message, "k").await;
    assert_eq!(
        (taken.status, taken.header("Idempotent-Replayed")),
        (202, None)
    );
    gateway
        .http
        .finished(taken.body["id"].as_str().unwrap())
        .await;
    // What was refused was not sent, and the log has no hole where it would have been.
    assert_eq!(peer.got("carol").len(), 1);
    let log = gateway.http.get("/events").await.body;
    let ids: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["id"].clone())
        .collect();
    assert_eq!(ids.len(), 6);
    assert!(
        ids.last()
            .unwrap()
            .as_str()
            .unwrap()
            .ends_with("-0000000000000006")
    );
    gateway.stop().await;
}

#[tokio::test]
async fn killed_while_the_disk_takes_nothing_it_knows_what_it_knew() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let house = House::at(&peer);
    let gateway = house.launch().await;
    let open = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    peer.wait_for("bob", 1).await;
    gateway.may_write(false);
    peer.release("bob");
    gateway.says("events cannot be written").await;
    gateway.kill().await;

    let gateway = house.launch().await;
    assert_eq!(gateway.http.finished(&open).await["status"], "succeeded");
    let events = gateway.http.events_of(&open).await;
    assert_eq!(
        types_of(&events),
        ["sending", "deferred", "sending", "succeeded"]
    );
    let got = peer.got("bob");
    assert_eq!((got.len(), &got[0].call_id), (2, &got[1].call_id));
    gateway.stop().await;
}

#[tokio::test]
async fn a_database_that_another_program_holds_refuses_until_it_lets_go() {
    let peer = Peer::start().await;
    let house = House::at(&peer);
    let gateway = house.launch().await;
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "1"}))
        .await;
    let other = Connection::open(house.store()).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let refused = gateway
        .http
        .post(&json!({"target": "bob", "body": "2"}))
        .await;
    assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
    assert_eq!(refused.header("Retry-After"), Some("1"));
    // What was there can be read meanwhile.
    assert_eq!(
        gateway.http.get("/messages").await.body["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    other.execute_batch("ROLLBACK").unwrap();
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "3"}))
        .await;
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["1", "3"]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_second_gateway_on_the_same_store_does_not_start() {
    let peer = Peer::start().await;
    let house = House::at(&peer);
    let gateway = house.launch().await;
    let exit = house.refused().await;
    assert_eq!(exit.code, Some(1));
    assert!(
        exit.said.contains("is open in another sipost"),
        "{}",
        exit.said
    );
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x"}))
        .await;
    // A lock goes with its process, in whatever way that ends.
    gateway.kill().await;
    house.launch().await.stop().await;
}

#[tokio::test]
async fn a_damaged_store_is_refused_and_left_as_it_is() {
    let peer = Peer::start().await;
    let house = House::at(&peer);
    let garbage = "no database at all; ".repeat(1_000);
    fs::write(house.store(), &garbage).unwrap();
    let exit = house.refused().await;
    assert_eq!(exit.code, Some(1));
    let path = house.store().display().to_string();
    assert!(exit.said.contains("the store is damaged"), "{}", exit.said);
    assert!(exit.said.contains(&path), "{}", exit.said);
    assert_eq!(fs::read_to_string(house.store()).unwrap(), garbage);
    assert_eq!(peer.all().len(), 0);
}

#[tokio::test]
async fn a_store_that_may_only_be_read_is_refused_until_it_may_be_written() {
    let peer = Peer::start().await;
    peer.answer_registers(503);
    let house = House::at(&peer);
    let gateway = house.launch().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x"}))
        .await;
    gateway.stop().await;
    fs::set_permissions(house.store(), Permissions::from_mode(0o444)).unwrap();
    let exit = house.refused().await;
    assert_eq!(exit.code, Some(1));
    assert!(
        exit.said.contains("the store cannot be written"),
        "{}",
        exit.said
    );

    fs::set_permissions(house.store(), Permissions::from_mode(0o644)).unwrap();
    peer.answer_registers(200);
    let gateway = house.launch().await;
    assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    gateway.stop().await;
}

#[tokio::test]
async fn a_disk_that_stays_full_is_told_of_once_in_the_log() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let house = House::at(&peer);
    let gateway = house.launch().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    peer.wait_for("bob", 1).await;
    gateway.may_write(false);
    peer.release("bob");
    gateway.says("events cannot be written").await;
    // Several tries later there is still one line.
    soon("more tries", async {
        for _ in 0..5 {
            assert_eq!(gateway.http.get("/readyz").await.status, 503);
        }
    })
    .await;
    gateway.may_write(true);
    gateway.http.finished(&id).await;
    let said = gateway.said();
    assert_eq!(
        said.matches("events cannot be written").count(),
        1,
        "{said}"
    );
    assert_eq!(
        said.matches("the store can be written again").count(),
        1,
        "{said}"
    );
    gateway.stop().await;
}
