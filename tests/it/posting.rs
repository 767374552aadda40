//! `POST /messages`, in its three forms.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::id_of;
use crate::harness::types_of;

#[tokio::test]
async fn a_message_is_answered_202_and_arrives() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
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
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
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
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
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
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
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
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    peer.registered(1).await;
    let request = gateway.http.request(Method::POST, "/messages");
    let request = request.json(&json!({"target": "bob", "body": "Hello"}));
    let answer = gateway.http.send(request.header("Prefer", "wait=0")).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("Preference-Applied"), Some("wait=0"));

    peer.wait_for("bob", 1).await;
    peer.release("bob");
    let finished = gateway.http.finished(&id_of(&answer.body)).await;
    assert_eq!(finished["status"], "succeeded");
    gateway.stop().await;
}

/// RFC 7240 §2: a preference that is not understood is ignored, and the answer says so.
#[tokio::test]
async fn a_preference_that_is_not_understood_is_ignored_and_not_said_to_be_applied() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    for preference in ["wait=abc", "wait", "wait=-1", "return=minimal"] {
        let request = gateway.http.request(Method::POST, "/messages");
        let request = request.json(&json!({"target": "bob", "body": "Hello"}));
        let answer = gateway
            .http
            .send(request.header("Prefer", preference))
            .await;
        assert_eq!(
            (answer.status, answer.header("Preference-Applied")),
            (202, None),
            "{preference}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_refused_stores_nothing() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
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
async fn only_objects_are_objects() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let client = &gateway.http;
    let webhook = client.request(Method::POST, "/webhooks");
    let webhook = client
        .send(webhook.json(&json!({"url": "https://app.example/"})))
        .await;
    let webhook = format!("/webhooks/{}", id_of(&webhook.body));

    for (method, path, body, pointer) in [
        (Method::POST, "/messages", json!(["ok", "hi"]), ""),
        (Method::POST, "/messages", json!("hi"), ""),
        (Method::POST, "/messages/batch", json!([]), ""),
        (
            Method::POST,
            "/messages/batch",
            json!({"messages": [{"target": "ok", "body": "hi"}, ["ok", "hi"]]}),
            "/messages/1",
        ),
        (
            Method::POST,
            "/messages/batch",
            json!({"messages": {"target": "ok", "body": "hi"}}),
            "/messages",
        ),
        (
            Method::POST,
            "/webhooks",
            json!(["https://app.example/"]),
            "",
        ),
        (Method::PATCH, &webhook, json!([]), ""),
        (
            Method::POST,
            &format!("{webhook}/recover"),
            json!(["2026-01-01T00:00:00Z"]),
            "",
        ),
    ] {
        let answer = client.send(client.request(method, path).json(&body)).await;
        assert_eq!(answer.status, 422, "{path} {body}: {answer:?}");
        assert_eq!(
            answer.body["errors"][0]["pointer"], pointer,
            "{path} {body}"
        );
        let detail = answer.body["errors"][0]["detail"].as_str().unwrap();
        assert!(!detail.contains("struct"), "{detail}");
        if path == "/messages" && body.is_array() {
            assert!(detail.contains("/messages/batch"), "{detail}");
        }
    }
    let list = client.get("/messages").await;
    assert_eq!(list.body["data"], json!([]));
    gateway.stop().await;
}

#[tokio::test]
async fn more_mistakes_than_a_hundred_are_counted_as_more() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let client = &gateway.http;
    let types = vec!["x"; 100_000];
    let body = json!({"url": "https://app.example/", "types": types});
    let answer = client
        .send(client.request(Method::POST, "/webhooks").json(&body))
        .await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 100);
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("more than 100 "), "{detail}");

    let name = "n".repeat(100_000);
    let headers = json!({name: vec![""; 10_000]});
    let message = json!({"target": "ok", "body": "x", "extraHeaders": headers});
    let answer = client.post(&message).await;
    assert_eq!(answer.status, 422);
    let pointer = answer.body["errors"][0]["pointer"].as_str().unwrap();
    assert_eq!(pointer, format!("/extraHeaders/{}…/0", "n".repeat(64)));
    gateway.stop().await;
}

#[tokio::test]
async fn a_sender_that_is_no_account_does_not_hide_a_target_that_is_none() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let message = json!({"target": "im:bob", "body": "x", "from": "sip:eve@example.com"});
    let answer = gateway.http.post(&message).await;
    let errors = answer.body["errors"].as_array().unwrap().iter();
    let pointers: Vec<_> = errors.map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/from", "/target"]);
    gateway.stop().await;
}

#[tokio::test]
async fn control_characters_are_refused_in_addresses_and_names() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let client = &gateway.http;
    for control in ["\0", "\n", "\u{1b}", "\u{7f}", "\u{9b}"] {
        let odd = format!("a{control}b");
        for (path, body, pointer) in [
            (
                "/messages",
                json!({"target": odd, "body": ""}),
                "/target".to_owned(),
            ),
            (
                "/messages",
                json!({"target": "a", "body": "", "from": odd}),
                "/from".to_owned(),
            ),
            (
                "/messages",
                json!({"target": "a", "body": "", "webhook": format!("https://a.example/{odd}")}),
                "/webhook".to_owned(),
            ),
            (
                "/messages",
                json!({"target": "a", "body": "", "metadata": {&odd: "x"}}),
                format!("/metadata/{odd}"),
            ),
            (
                "/messages/batch",
                json!({"messages": [{"target": odd, "body": ""}]}),
                "/messages/0/target".to_owned(),
            ),
            (
                "/webhooks",
                json!({"url": format!("https://a.example/{odd}")}),
                "/url".to_owned(),
            ),
            (
                "/webhooks",
                json!({"url": "https://a.example/", "description": odd}),
                "/description".to_owned(),
            ),
            (
                "/webhooks",
                json!({"url": "https://a.example/", "from": [odd]}),
                "/from/0".to_owned(),
            ),
        ] {
            let request = client.request(Method::POST, path).json(&body);
            let answer = client.send(request).await;
            assert_eq!(answer.status, 422, "{body}");
            assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{body}");
        }
        let encoded: String = odd.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for name in ["target", "from", "status", "cursor", "limit"] {
            let path = format!("/messages?{name}={encoded}");
            let answer = client.get(&path).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "invalid-query"),
                "{path}"
            );
        }
    }
    for path in [
        "/messages/a%00b",
        "/agents/a%00b",
        "/webhooks/%00",
        "/messages/%C2%9B/events",
    ] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_plus_in_the_query_is_a_plus() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let message = json!({"target": "+1 555 123-45", "body": "x"});
    let id = id_of(&gateway.http.delivered(&message).await);
    for target in [
        "+155512345",
        "%2B1%20555%20123-45",
        "sip:+155512345@example.com",
    ] {
        let list = gateway
            .http
            .get(&format!("/messages?target={target}"))
            .await;
        assert_eq!(list.body["data"][0]["id"], *id, "{target}: {list:?}");
        let events = gateway.http.get(&format!("/events?target={target}")).await;
        assert_eq!(events.body["data"][0]["messageId"], *id, "{target}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn messages_are_listed_newest_first_in_pages_and_by_what_they_are() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(486)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
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
