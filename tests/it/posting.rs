//! `POST /messages`, in its three forms.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::harness::House;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::id_of;
use crate::harness::types_of;

#[tokio::test]
async fn a_message_is_answered_202_and_arrives() {
    let peer = Peer::start().await;
    let house = House::at(&peer);
    let gateway = house.open().await;
    let message = json!({
        "target": "bob", "body": "Grüße, Bob!", "contentType": "text/plain;charset=utf-8",
        "extraHeaders": ["X-Foo: foo", "X-Bar: bar"], "metadata": {"order": "42"},
    });
    let answer = gateway.http.post(&message).await;

    assert_eq!(answer.status, 202, "{answer:?}");
    let id = id_of(&answer.body);
    assert_eq!(answer.header("Location"), Some(&*format!("/messages/{id}")));
    assert_eq!(answer.body["target"], "bob");
    assert_eq!(answer.body["result"], Value::Null);

    let finished = gateway.http.finished(&id).await;
    assert_eq!(finished["status"], "succeeded");
    assert_eq!(finished["attempt"], 1);
    assert_eq!(finished["result"]["response"]["statusCode"], 200);
    let got = peer.got("bob");
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].uri(), "sip:bob@example.com");
    assert_eq!(got[0].body, "Grüße, Bob!");
    assert_eq!(got[0].header("Content-Type"), "text/plain;charset=utf-8");
    assert_eq!(
        (got[0].header("X-Foo"), got[0].header("X-Bar")),
        ("foo", "bar")
    );
    assert_eq!(got[0].header("Contact"), "");
    gateway.stop().await;
}

#[tokio::test]
async fn the_events_of_a_message_say_what_went_over_the_wire() {
    let peer = Peer::start().await;
    let house = House::at(&peer);
    let gateway = house.open().await;
    let message = json!({"target": "bob", "body": "Hello", "metadata": {"order": "42"}});
    let id = id_of(&gateway.http.delivered(&message).await);

    let events = gateway.http.events_of(&id).await;
    assert_eq!(types_of(&events), ["sending", "succeeded"]);
    for event in &events {
        assert_eq!(event["messageId"], *id);
        assert_eq!(event["metadata"], json!({"order": "42"}));
        assert_eq!(
            (&event["agent"], &event["attempt"]),
            (&json!("alice-1"), &json!(1))
        );
    }
    let (request, got) = (&events[0]["request"], peer.got("bob").remove(0));
    assert_eq!(events[0]["originator"], "local");
    assert_eq!(
        (&request["method"], &request["uri"]),
        (&json!("MESSAGE"), &json!(got.uri()))
    );
    assert_eq!((&request["callId"]), got.call_id.as_str());
    assert_eq!(format!("{} MESSAGE", request["cseq"]), got.cseq);
    assert_eq!(events[1]["originator"], "remote");
    assert_eq!(events[1]["response"]["reasonPhrase"], "OK");
    gateway.stop().await;
}

#[tokio::test]
async fn an_event_stream_in_the_same_response_ends_with_the_message() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(503), Reply::Status(486)]);
    let house = House::at(&peer);
    let gateway = house.open().await;
    let request = gateway.http.request(Method::POST, "/messages");
    let request = request.json(&json!({"target": "bob", "body": "Hello"}));
    let stream = gateway.http.stream_of(request).await;
    let location = stream.header("Location").unwrap().to_owned();

    let events = stream.rest().await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["sending", "deferred", "sending", "failed"]);
    for event in &events {
        assert_eq!(
            (&event.data["id"], &event.data["type"]),
            (&json!(event.id), &json!(event.name))
        );
        assert_eq!(
            format!("/messages/{}", event.data["messageId"].as_str().unwrap()),
            location
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn who_prefers_to_wait_gets_the_finished_message_also_when_sip_failed() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(486)]);
    let house = House::at(&peer);
    let gateway = house.open().await;
    for (target, status) in [("carol", "succeeded"), ("bob", "failed")] {
        let request = gateway.http.request(Method::POST, "/messages");
        let request = request.json(&json!({"target": target, "body": "Hello"}));
        let answer = gateway.http.send(request.header("Prefer", "wait=30")).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (200, &json!(status))
        );
        assert_eq!(answer.body["result"]["type"], status);
        assert_eq!(answer.header("Preference-Applied"), Some("wait=30"));
        let shown = gateway.http.get(answer.header("Location").unwrap()).await;
        // Only who looks at a message is told what it waits for.
        let mut shown = shown.body;
        shown.as_object_mut().unwrap().remove("waitingFor");
        assert_eq!(shown, answer.body);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn who_has_waited_long_enough_gets_202_and_the_message_goes_on() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let house = House::at(&peer);
    let gateway = house.open().await;
    peer.registered(1).await;
    let request = gateway.http.request(Method::POST, "/messages");
    let request = request.json(&json!({"target": "bob", "body": "Hello"}));
    let answer = gateway.http.send(request.header("Prefer", "wait=0")).await;
    assert_eq!(answer.status, 202);

    peer.wait_for("bob", 1).await;
    peer.release("bob");
    let finished = gateway.http.finished(&id_of(&answer.body)).await;
    assert_eq!(finished["status"], "succeeded");
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_refused_stores_nothing() {
    let peer = Peer::start().await;
    let house = House::at(&peer);
    let gateway = house.open().await;
    for (message, pointer) in [
        (json!({"body": "x"}), "/target"),
        (json!({"target": "bob"}), "/body"),
        (json!({"target": "im:bob", "body": "x"}), "/target"),
        (json!({"target": "bob", "body": "x", "tll": 3}), "/tll"),
        (
            json!({"target": "bob", "body": "x", "from": "sip:eve@example.com"}),
            "/from",
        ),
        (
            json!({"target": "bob", "body": "x", "extraHeaders": ["Via: me"]}),
            "/extraHeaders/0",
        ),
        (
            json!({"target": "bob", "body": "x", "attempts": 0}),
            "/attempts",
        ),
    ] {
        let answer = gateway.http.post(&message).await;
        assert_eq!(answer.status, 422, "{message}: {answer:?}");
        assert_eq!(
            answer.header("Content-Type"),
            Some("application/problem+json")
        );
        assert_eq!(
            answer.body["errors"][0]["pointer"], pointer,
            "{message}: {answer:?}"
        );
    }
    let list = gateway.http.get("/messages").await;
    assert_eq!(list.body["data"], json!([]));
    assert_eq!(peer.all().len(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn messages_are_listed_newest_first_in_pages_and_by_what_they_are() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(486)]);
    let house = House::at(&peer);
    let gateway = house.open().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let target = if number % 2 == 0 { "bob" } else { "carol" };
        let message = json!({"target": target, "body": number.to_string()});
        ids.push(id_of(&gateway.http.delivered(&message).await));
    }
    ids.reverse();

    let (mut listed, mut path) = (Vec::new(), "/messages?limit=2".to_owned());
    loop {
        let page = gateway.http.get(&path).await.body;
        listed.extend(page["data"].as_array().unwrap().iter().map(id_of));
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("/messages?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(listed, ids);
    for (query, expected) in [
        ("status=failed", vec![0, 2, 4]),
        ("status=succeeded", vec![1, 3]),
        ("target=carol", vec![1, 3]),
        ("target=sip:bob@example.com&status=failed", vec![0, 2, 4]),
        ("status=queued", vec![]),
    ] {
        let page = gateway.http.get(&format!("/messages?{query}")).await.body;
        let found: Vec<_> = page["data"].as_array().unwrap().iter().map(id_of).collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|at: usize| ids[at].clone())
            .collect();
        assert_eq!(found, expected, "{query}");
    }
    gateway.stop().await;
}
