//! `Idempotency-Key`: a request that is repeated is one request.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::harness::House;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::id_of;

#[tokio::test]
async fn twenty_clients_with_one_key_make_one_message() {
    let peer = Peer::start().await;
    let house = House::at(&peer);
    let gateway = house.open().await;
    let message = json!({"target": "bob", "body": "once"});
    let clients = (0..20).map(|_| async {
        loop {
            let answer = gateway.http.post_with_key(&message, "one key").await;
            match answer.status {
                202 => {
                    return (
                        id_of(&answer.body),
                        answer.header("Idempotent-Replayed").is_some(),
                    );
                }
                // The first of them is being answered: that is to be tried again.
                409 => assert_eq!(
                    (answer.problem(), answer.header("Retry-After")),
                    ("key-in-progress", Some("1"))
                ),
                _ => panic!("{answer:?}"),
            }
        }
    });
    let answers = futures_util::future::join_all(clients).await;

    let ids: HashSet<_> = answers.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1);
    gateway.http.finished(&answers[0].0).await;
    assert_eq!(peer.all().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_used_with_another_body_is_refused_and_nothing_is_stored() {
    let peer = Peer::start().await;
    let house = House::at(&peer);
    let gateway = house.open().await;
    let first = json!({"target": "bob", "body": "1"});
    assert_eq!(gateway.http.post_with_key(&first, "k").await.status, 202);
    let refused = gateway
        .http
        .post_with_key(&json!({"target": "bob", "body": "2"}), "k")
        .await;
    assert_eq!((refused.status, refused.problem()), (422, "key-reused"));
    let list = gateway.http.get("/messages").await.body;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn the_first_answer_comes_again_in_every_form_also_after_a_restart() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(486)]);
    let house = House::at(&peer);
    let gateway = house.open().await;
    let message = json!({"target": "bob", "body": "1"});
    let first = gateway.http.post_with_key(&message, "k").await;
    let id = id_of(&first.body);
    gateway.http.finished(&id).await;
    gateway.stop().await;

    let gateway = house.open().await;
    let again = gateway.http.post_with_key(&message, "k").await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    assert_eq!(again.header("Location"), first.header("Location"));

    let repeat = || {
        let request = gateway
            .http
            .request(Method::POST, "/messages")
            .json(&message);
        request.header("Idempotency-Key", "k")
    };
    let waited = gateway.http.send(repeat().header("Prefer", "wait=5")).await;
    assert_eq!(
        (waited.status, &waited.body["status"]),
        (200, &json!("failed"))
    );
    let stream = gateway.http.stream_of(repeat()).await;
    let names: Vec<_> = stream
        .rest()
        .await
        .into_iter()
        .map(|event| event.name)
        .collect();
    assert_eq!(names, ["sending", "failed"]);
    assert_eq!(peer.all().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_with_a_key_is_taken_once() {
    let peer = Peer::start().await;
    let house = House::at(&peer);
    let gateway = house.open().await;
    let batch = json!({"messages": [
        {"target": "bob", "body": "1"}, {"target": "carol", "body": "2"},
    ]});
    let post = || {
        let request = gateway
            .http
            .request(Method::POST, "/messages/batch")
            .json(&batch);
        request.header("Idempotency-Key", "k")
    };
    let first = gateway.http.send(post()).await;
    let again = gateway.http.send(post()).await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.body, again.body);
    assert_eq!(first.header("Idempotent-Replayed"), None);
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    for message in first.body["data"].as_array().unwrap() {
        gateway.http.finished(&id_of(message)).await;
    }
    assert_eq!(peer.all().len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_time() {
    let peer = Peer::start().await;
    let house = House::at(&peer).with("retention.idempotency = '1h'");
    let gateway = house.open().await;
    let message = json!({"target": "bob", "body": "1"});
    let first = gateway.http.post_with_key(&message, "k").await;
    gateway.stop().await;

    let gateway = house.open_later(Duration::from_secs(3_500)).await;
    let again = gateway.http.post_with_key(&message, "k").await;
    assert_eq!(id_of(&again.body), id_of(&first.body));
    gateway.stop().await;

    let gateway = house.open_later(Duration::from_secs(3_700)).await;
    // Retention goes its round when the gateway starts; until it came to the key, that is known.
    loop {
        let again = gateway.http.post_with_key(&message, "k").await;
        if id_of(&again.body) != id_of(&first.body) {
            assert_eq!(again.header("Idempotent-Replayed"), None);
            break;
        }
    }
    gateway.stop().await;
}
