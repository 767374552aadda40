//! The calls: what they answer, and what they refuse.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sipost::message::EventKind;
use sipost::message::EventKinds;

use super::*;
use receiver::Reply;

#[tokio::test]
async fn a_webhook_is_created_shown_changed_and_deleted() {
    let gateway = Running::start(&configuration("")).await;
    let request = gateway.post("/webhooks");
    let body = json!({"url": "https://APP.example/hook", "description": "all of it"});
    let response = request.json(&body).send().await.unwrap();
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let created: Value = response.json().await.unwrap();
    assert_eq!(location, path_of(&created));
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(created["url"], "https://app.example/hook");
    let of_messages = EventKinds::of_messages().iter().map(EventKind::as_str);
    assert_eq!(created["types"], json!(of_messages.collect::<Vec<_>>()));
    assert_eq!(created["enabled"], true);

    let shown = show(&gateway, &created).await;
    assert_eq!(shown["secret"], Value::Null);
    let mut expected = created.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(shown, expected);
    let (_, list) = json_of(gateway.get("/webhooks")).await;
    assert_eq!(list, json!({"data": [shown], "nextCursor": null}));

    let (status, changed) = change(
        &gateway,
        &created,
        json!({"types": ["failed"], "enabled": false, "description": null}),
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(changed["types"], json!(["failed"]));
    assert_eq!(changed["description"], Value::Null);
    assert_eq!(changed["url"], "https://app.example/hook");
    assert_eq!(changed["disabled"]["reason"], "request");
    let (_, same) = change(&gateway, &created, json!({})).await;
    assert_eq!(same["disabled"], changed["disabled"]);
    let (_, every) = change(&gateway, &created, json!({"types": null})).await;
    assert_eq!(every["types"], created["types"]);

    let delete = || gateway.request(Method::DELETE, &location).send();
    let response = delete().await.unwrap();
    assert_eq!(response.status(), 204);
    assert_eq!(response.bytes().await.unwrap().len(), 0);
    assert_eq!(delete().await.unwrap().status(), 404);
    let (status, problem) = json_of(gateway.get(&location)).await;
    assert_eq!(
        (status, &problem["type"]),
        (404, &json!("/problems/not-found"))
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    let gateway = Running::start(&configuration("")).await;
    let url = "https://app.example/";
    for (body, pointer) in [
        (json!({}), "/url"),
        (json!({"url": 1}), "/url"),
        (json!({"url": "ftp://app.example/"}), "/url"),
        (json!({"url": "https://user@app.example/"}), "/url"),
        (json!({"url": "http://10.0.0.1/"}), "/url"),
        (json!({"url": "http://0x0a000001/"}), "/url"),
        (json!({"url": "http://[::ffff:169.254.169.254]/"}), "/url"),
        (json!({"url": url, "types": ["failed", "sent"]}), "/types/1"),
        (json!({"url": url, "types": "failed"}), "/types"),
        (
            json!({"url": url, "from": ["sip:nobody@example.com"]}),
            "/from/0",
        ),
        (
            json!({"url": url, "description": "x".repeat(513)}),
            "/description",
        ),
        (json!({"url": url, "enabled": "yes"}), "/enabled"),
        (json!({"url": url, "type": ["failed"]}), "/type"),
        (json!({"url": url, "secret": "whsec_a"}), "/secret"),
        (json!([]), ""),
    ] {
        let (status, problem) = json_of(gateway.post("/webhooks").json(&body)).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
    let (_, list) = json_of(gateway.get("/webhooks")).await;
    assert_eq!(list["data"], json!([]));

    let webhook = create(&gateway, json!({"url": url})).await;
    for (body, pointer) in [
        (json!({"url": null}), "/url"),
        (json!({"url": "http://192.168.0.1/"}), "/url"),
        (json!({"enabled": null}), "/enabled"),
        (json!({"id": "x"}), "/id"),
    ] {
        let (status, problem) = change(&gateway, &webhook, body.clone()).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
    let recover = format!("{}/recover", path_of(&webhook));
    for (body, pointer) in [
        (json!({}), "/since"),
        (json!({"since": "yesterday"}), "/since"),
        (json!({"since": "2999-01-01T00:00:00Z"}), "/since"),
        (
            json!({"since": "2020-01-02T00:00:00Z", "until": "2020-01-01T00:00:00Z"}),
            "/since",
        ),
        (
            json!({"since": "2020-01-02T00:00:00Z", "until": 7}),
            "/until",
        ),
    ] {
        let (status, problem) = json_of(gateway.post(&recover).json(&body)).await;
        assert_eq!(status, 422, "{body}: {problem}");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
    let path = path_of(&webhook);
    for (path, status) in [
        (format!("{path}/deliveries?status=lost"), 400),
        (format!("{path}/deliveries?cursor=x"), 400),
        (format!("{path}/deliveries?limit=0"), 400),
        (format!("{path}/deliveries?state=failed"), 400),
        ("/webhooks/x".to_owned(), 404),
        (
            "/webhooks/01930000-0000-7000-8000-000000000001".to_owned(),
            404,
        ),
    ] {
        let (found, problem) = json_of(gateway.get(&path)).await;
        assert_eq!(found, status, "{path}: {problem}");
    }
    for id in ["x", "1-0000000000000001", "1-%ff"] {
        let path = format!("{path}/deliveries/{id}/retry");
        let (status, problem) = json_of(gateway.post(&path)).await;
        assert_eq!(status, 404, "{id}: {problem}");
    }
    // A message that names its own is held to the same.
    let mut own = message("ok");
    own["webhook"] = "http://169.254.169.254/latest".into();
    let (status, problem) = json_of(gateway.post("/messages").json(&own)).await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (422, &json!("/webhook"))
    );
    let batch = json!({"messages": [message("ok"), own]});
    let (status, problem) = json_of(gateway.post("/messages/batch").json(&batch)).await;
    assert_eq!(status, 422);
    assert_eq!(problem["errors"][0]["pointer"], "/messages/1/webhook");
}

#[tokio::test]
async fn a_test_posts_now_and_tells_what_came_back() {
    let receiver = Receiver::answering(|_| Reply::Status(418, "short and stout")).await;
    let gateway = Running::start(&configuration("")).await;
    let body = json!({"url": receiver.url("/"), "enabled": false});
    let webhook = create(&gateway, body).await;
    let path = format!("{}/test", path_of(&webhook));
    let (status, told) = json_of(gateway.post(&path)).await;
    assert_eq!((status, &told["status"]), (200, &json!(418)));
    assert_eq!(told["answer"], "short and stout");
    assert!(
        told["durationMs"].is_u64() && told["at"].is_string(),
        "{told}"
    );
    let post = receiver.posted(1).await.remove(0);
    assert_eq!(post.event(), told["event"]);
    assert_eq!(told["event"]["type"], "test");
    assert_eq!(
        post.header("webhook-id"),
        told["event"]["id"].as_str().unwrap()
    );
    assert!(post.is_signed_with(webhook["secret"].as_str().unwrap()));
    assert!(deliveries(&gateway, &webhook, "").await.is_empty());
    // No program listens there: that is told, too.
    let nobody = json!({"url": "http://127.0.0.1:1/"});
    change(&gateway, &webhook, nobody).await;
    let (status, told) = json_of(gateway.post(&path)).await;
    assert_eq!((status, &told["status"]), (200, &Value::Null));
    assert!(
        told["error"].as_str().unwrap().contains("refused"),
        "{told}"
    );
}

#[tokio::test]
async fn webhooks_come_in_pages() {
    let gateway = Running::start(&configuration("")).await;
    let mut created = Vec::new();
    for _ in 0..5 {
        let webhook = create(&gateway, json!({"url": "https://app.example/"})).await;
        created.push(webhook["id"].clone());
    }
    let (mut ids, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let (status, page) = json_of(gateway.get(&format!("/webhooks{query}"))).await;
        assert_eq!(status, 200, "{page}");
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 2, "{page}");
        ids.extend(data.iter().map(|one| one["id"].clone()));
        match page["nextCursor"].as_str() {
            Some(next) => query = format!("?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(ids, created);
}

#[tokio::test]
async fn deliveries_come_in_pages() {
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    let webhook = create(&gateway, json!({"url": receiver.url("/")})).await;
    for _ in 0..3 {
        finish(&gateway, &message("ok")).await;
    }
    receiver.posted(6).await;
    let (mut ids, mut query) = (Vec::new(), "?limit=4".to_owned());
    loop {
        let path = format!("{}/deliveries{query}", path_of(&webhook));
        let (status, page) = json_of(gateway.get(&path)).await;
        assert_eq!(status, 200, "{page}");
        let data = page["data"].as_array().unwrap();
        ids.extend(
            data.iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => query = format!("?limit=4&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(ids.len(), 6);
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
}
