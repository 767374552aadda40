//! `POST /messages/batch`: all of it, in order, or nothing.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::harness::Peer;
use crate::harness::TestGateway;
use crate::harness::id_of;

fn numbered(count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| json!({"target": format!("user{}", number % 7), "body": number.to_string()}))
        .collect()
}

#[tokio::test]
async fn a_batch_is_accepted_and_sent_in_its_order() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let answer = gateway.http.post_batch(&numbered(200)).await;

    assert_eq!(answer.status, 202, "{answer:?}");
    let accepted = answer.body["data"].as_array().unwrap();
    let bodies: Vec<_> = accepted
        .iter()
        .map(|message| message["body"].clone())
        .collect();
    let expected: Vec<_> = (0..200).map(|number| json!(number.to_string())).collect();
    assert_eq!(bodies, expected);
    for message in accepted {
        let finished = gateway.http.finished(&id_of(message)).await;
        assert_eq!(finished["status"], "succeeded");
    }
    for user in 0..7 {
        let got = peer.got(&format!("user{user}"));
        let got: Vec<usize> = got.iter().map(|got| got.body.parse().unwrap()).collect();
        assert_eq!(got, (user..200).step_by(7).collect::<Vec<_>>());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn one_invalid_message_refuses_the_batch_and_is_pointed_at() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let mut messages = numbered(5);
    messages[1]["target"] = json!("im:bob");
    messages[3]["ttl"] = json!("soon");
    let answer = gateway.http.post_batch(&messages).await;

    assert_eq!(answer.status, 422, "{answer:?}");
    let errors = answer.body["errors"].as_array().unwrap();
    let pointers: Vec<_> = errors
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/messages/1/target", "/messages/3/ttl"]);
    assert_eq!(gateway.http.get("/messages").await.body["data"], json!([]));
    gateway.stop().await;
}

#[tokio::test]
async fn a_list_alone_is_no_batch_and_the_answer_shows_one() {
    let peer = Peer::start().await;
    let gateway = TestGateway::at(&peer).open().await;
    let request = gateway.http.request(Method::POST, "/messages/batch");
    let answer = gateway.http.send(request.json(&numbered(2))).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(
        answer.body["detail"],
        "a batch is an object: {\"messages\": [ … ]}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_has_one_to_a_thousand_messages() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    for count in [0, 1_001] {
        let answer = gateway.http.post_batch(&numbered(count)).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.body["errors"][0]["pointer"], "/messages");
    }
    let answer = gateway.http.post_batch(&numbered(1_000)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_larger_than_the_room_left_is_refused_whole() {
    let peer = Peer::start().await;
    peer.answer_registers(503);
    let setup = TestGateway::at(&peer).with("delivery.max_queued = 10");
    let gateway = setup.open().await;
    assert_eq!(gateway.http.post_batch(&numbered(6)).await.status, 202);
    let refused = gateway.http.post_batch(&numbered(5)).await;
    assert_eq!((refused.status, refused.problem()), (503, "overloaded"));
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert_eq!(gateway.http.post_batch(&numbered(4)).await.status, 202);
    let list = gateway.http.get("/messages").await.body;
    assert_eq!(list["data"].as_array().unwrap().len(), 10);
    gateway.stop().await;
}
