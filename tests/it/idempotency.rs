//! `Idempotency-Key`: a request that is repeated is one request.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;

use crate::harness::Client;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::Seed;
use crate::harness::TestGateway;
use crate::harness::id_of;
use crate::harness::soon;

#[tokio::test]
async fn twenty_clients_with_one_key_make_one_message() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
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
    let answers = join_all(clients).await;

    let ids: HashSet<_> = answers.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1);
    gateway.http.finished(&answers[0].0).await;
    assert_eq!(peer.all().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_in_quotation_marks_is_the_same_and_the_same_body_is_the_same_bytes() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let message = json!({"target": "bob", "body": "once"});
    let bare = gateway.http.post_with_key(&message, "k1").await;
    let quoted = gateway.http.post_with_key(&message, r#""k1""#).await;
    assert_eq!((bare.status, quoted.status), (202, 202));
    assert_eq!(id_of(&bare.body), id_of(&quoted.body));
    assert_eq!(quoted.header("Idempotent-Replayed"), Some("true"));

    let request = gateway.http.request(Method::POST, "/messages");
    let request = request.header("Idempotency-Key", "k1");
    let request = request.header("Content-Type", "application/json");
    let spaced = request.body(r#"{ "target": "bob", "body": "once" }"#);
    let answer = gateway.http.send(spaced).await;
    assert_eq!((answer.status, answer.problem()), (422, "key-reused"));
    gateway.stop().await;
}

/// Posts with this key until it is answered 202, through however many ends of the gateway: the id,
/// and whether it was the first answer.
async fn insist(
    mut gateway: watch::Receiver<Client>,
    message: Value,
    key: String,
    answers: Arc<watch::Sender<usize>>,
) -> (String, bool) {
    loop {
        let http = gateway.borrow_and_update().clone();
        let request = http.request(Method::POST, "/messages").json(&message);
        let answered = http.try_send(request.header("Idempotency-Key", &key)).await;
        if answered.is_ok() {
            answers.send_modify(|count| *count += 1);
        }
        match answered {
            Ok(answer) if answer.status == 202 => {
                let is_first = answer.header("Idempotent-Replayed").is_none();
                return (id_of(&answer.body), is_first);
            }
            Ok(answer) => assert_eq!((answer.status, answer.problem()), (409, "key-in-progress")),
            // It was killed; another will be there.
            Err(_) => gateway.changed().await.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_clients_with_one_key_make_one_message_also_when_the_gateway_is_killed_meanwhile() {
    const ROUNDS: usize = 5;
    let seed = Seed::take("idempotency::");
    let mut rng = SmallRng::seed_from_u64(seed.0);
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let mut gateway = setup.launch().await;
    let (current, running) = watch::channel(gateway.http.clone());
    let mut ids = HashSet::new();
    for round in 0..ROUNDS {
        let message = json!({"target": format!("user{round}"), "body": "once"});
        let key = format!("key {round}");
        let answers = Arc::new(watch::Sender::new(0));
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let (message, key) = (message.clone(), key.clone());
                tokio::spawn(insist(running.clone(), message, key, answers.clone()))
            })
            .collect();
        // Sometimes before any client was answered, sometimes after some were.
        let goal = rng.random_range(0..8);
        let mut answered = answers.subscribe();
        let enough = answered.wait_for(|count| *count >= goal);
        soon("some are answered", enough).await.unwrap();
        gateway.kill().await;
        gateway = setup.launch().await;
        current.send_replace(gateway.http.clone());

        let mut told = soon("all are answered", join_all(clients)).await;
        // The clients that were answered before the end ask again.
        told.push(Ok(insist(running.clone(), message, key, answers).await));
        let told: Vec<_> = told.into_iter().map(Result::unwrap).collect();
        let (id, _) = &told[0];
        assert!(told.iter().all(|(other, _)| other == id), "{told:?}");
        // None when the first answer was lost with the gateway that gave it.
        assert!(told.iter().filter(|(_, is_first)| *is_first).count() <= 1);
        gateway.http.finished(id).await;
        assert!(ids.insert(id.clone()));
    }

    let list = gateway.http.get("/messages?limit=100").await.body;
    assert_eq!(list["data"].as_array().unwrap().len(), ROUNDS);
    // A message that was being sent when the gateway ended was sent again, as the same.
    let calls: HashSet<_> = peer.all().into_iter().map(|got| got.call_id).collect();
    assert_eq!(calls, ids);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_used_with_another_body_is_refused_and_nothing_is_stored() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
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
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let message = json!({"target": "bob", "body": "1"});
    let first = gateway.http.post_with_key(&message, "k").await;
    let id = id_of(&first.body);
    gateway.http.finished(&id).await;
    gateway.stop().await;

    let gateway = setup.open().await;
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
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
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
    let setup = TestGateway::at(&peer).with("retention.idempotency = '1h'");
    let gateway = setup.open().await;
    let message = json!({"target": "bob", "body": "1"});
    let first = gateway.http.post_with_key(&message, "k").await;
    gateway.stop().await;

    let gateway = setup.open_later(Duration::from_secs(3_500)).await;
    let again = gateway.http.post_with_key(&message, "k").await;
    assert_eq!(id_of(&again.body), id_of(&first.body));
    gateway.stop().await;

    let gateway = setup.open_later(Duration::from_secs(3_700)).await;
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
