//! What is answered about webhooks. They lead to a port of this machine that no program listens at.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::answers::Seen;
use crate::running::RunningGateway;

const URL: &str = "http://127.0.0.1:1/hook";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// As many as may be.
const MOST: usize = 1_000;

pub(crate) async fn answer_everything(gateway: &RunningGateway, seen: &mut Seen) {
    let webhook = one_that_is_taken_in(gateway, seen).await;
    ones_that_are_not(gateway, seen, &webhook).await;
    deliveries(gateway, seen, &webhook).await;
    missing(gateway, seen).await;
    let answer = gateway.call(Method::DELETE, &webhook, &[], "").await;
    seen.note("deleteWebhook", 204, &answer);
    too_many(gateway, seen).await;
}

/// Its path.
async fn one_that_is_taken_in(gateway: &RunningGateway, seen: &mut Seen) -> String {
    let most = json!({
        "url": URL,
        "types": ["sending", "failed"],
        "from": ["sip:sipost@sandbox.invalid"],
        "description": "all that there is",
        "enabled": true,
    });
    let answer = gateway.post("/webhooks", &[], &most).await;
    seen.note("createWebhook", 201, &answer);
    let created: Value = answer.json();
    let webhook = format!("/webhooks/{}", created["id"].as_str().unwrap());
    seen.note("listWebhooks", 200, &gateway.get("/webhooks").await);
    let answer = gateway.get("/webhooks?cursor=x").await;
    seen.note("listWebhooks", 400, &answer);
    seen.note("getWebhook", 200, &gateway.get(&webhook).await);
    let change = json!({"enabled": false, "description": null}).to_string();
    let answer = gateway.call(Method::PATCH, &webhook, &JSON, change).await;
    seen.note("changeWebhook", 200, &answer);
    let enable = json!({"enabled": true}).to_string();
    let answer = gateway.call(Method::PATCH, &webhook, &JSON, enable).await;
    seen.note("changeWebhook", 200, &answer);
    let answer = gateway
        .post(&format!("{webhook}/test"), &[], &json!({}))
        .await;
    seen.note("testWebhook", 200, &answer);
    let rotate = format!("{webhook}/rotate-secret");
    let answer = gateway.post(&rotate, &[], &json!({})).await;
    seen.note("rotateWebhookSecret", 200, &answer);
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let answer = gateway
        .post(&format!("{webhook}/recover"), &[], &since)
        .await;
    seen.note("recoverWebhook", 202, &answer);
    webhook
}

async fn ones_that_are_not(gateway: &RunningGateway, seen: &mut Seen, webhook: &str) {
    let recover = format!("{webhook}/recover");
    for (id, method, path) in [
        ("createWebhook", Method::POST, "/webhooks"),
        ("changeWebhook", Method::PATCH, webhook),
        ("recoverWebhook", Method::POST, &recover),
    ] {
        let large = format!("{{\"url\": \"{}\"}}", "x".repeat(1 << 21));
        for (status, headers, body) in [
            (400, JSON, "{".to_owned()),
            (413, JSON, large),
            (415, [("content-type", "text/plain")], "{}".to_owned()),
            (422, JSON, "{\"nonsense\": 1}".to_owned()),
        ] {
            let answer = gateway.call(method.clone(), path, &headers, body).await;
            seen.note(id, status, &answer);
        }
    }
    let asked = format!("{webhook}?x=1");
    seen.note("listWebhooks", 400, &gateway.get("/webhooks?x=1").await);
    seen.note("getWebhook", 400, &gateway.get(&asked).await);
    let answer = gateway.call(Method::DELETE, &asked, &[], "").await;
    seen.note("deleteWebhook", 400, &answer);
    for (id, what) in [
        ("testWebhook", "test"),
        ("rotateWebhookSecret", "rotate-secret"),
        ("retryDelivery", "deliveries/1-1/retry"),
    ] {
        let path = format!("{webhook}/{what}?x=1");
        seen.note(id, 400, &gateway.post(&path, &[], &json!({})).await);
    }
    let path = format!("{webhook}/deliveries?status=lost");
    seen.note("listDeliveries", 400, &gateway.get(&path).await);
}

async fn deliveries(gateway: &RunningGateway, seen: &mut Seen, webhook: &str) {
    let message = json!({"target": "busy", "body": ""});
    let wait = [("prefer", "wait=30")];
    gateway.post("/messages", &wait, &message).await;
    let path = format!("{webhook}/deliveries?limit=1");
    // The event is planned a moment after it happened.
    let page = loop {
        let answer = gateway.get(&path).await;
        seen.note("listDeliveries", 200, &answer);
        let page = answer.json();
        if page["data"][0].is_object() {
            break page;
        }
    };
    let id = page["data"][0]["id"].as_str().unwrap();
    let retry = format!("{webhook}/deliveries/{id}/retry");
    let answer = gateway.post(&retry, &[], &json!({})).await;
    seen.note("retryDelivery", 202, &answer);
    let retry = format!("{webhook}/deliveries/x/retry");
    let answer = gateway.post(&retry, &[], &json!({})).await;
    seen.note("retryDelivery", 404, &answer);
}

async fn missing(gateway: &RunningGateway, seen: &mut Seen) {
    let nobody = "/webhooks/01930000-0000-7000-8000-000000000001";
    seen.note("getWebhook", 404, &gateway.get(nobody).await);
    let answer = gateway.get(&format!("{nobody}/deliveries")).await;
    seen.note("listDeliveries", 404, &answer);
    let answer = gateway.call(Method::DELETE, nobody, &[], "").await;
    seen.note("deleteWebhook", 404, &answer);
    let answer = gateway.call(Method::PATCH, nobody, &JSON, "{}").await;
    seen.note("changeWebhook", 404, &answer);
    for (id, what) in [
        ("testWebhook", "test"),
        ("rotateWebhookSecret", "rotate-secret"),
        ("recoverWebhook", "recover"),
    ] {
        let path = format!("{nobody}/{what}");
        let since = json!({"since": "2020-01-01T00:00:00Z"});
        let answer = gateway.post(&path, &[], &since).await;
        seen.note(id, 404, &answer);
    }
}

async fn too_many(gateway: &RunningGateway, seen: &mut Seen) {
    let body = json!({"url": URL, "enabled": false});
    for _ in 0..MOST {
        let answer = gateway.post("/webhooks", &[], &body).await;
        assert_eq!(answer.status, 201);
    }
    let answer = gateway.post("/webhooks", &[], &body).await;
    seen.note("createWebhook", 409, &answer);
}
