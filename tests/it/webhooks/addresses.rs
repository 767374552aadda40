//! What the gateway does not post to, tried from outside. Everything here is loopback.

use serde_json::json;

use super::receiver::Reply;
use super::*;

#[tokio::test]
async fn this_machine_is_not_posted_to_unless_the_configuration_allows_it() {
    let receiver = Receiver::start().await;
    let gateway = Running::start(&format!("[webhooks]\nsecret = \"{OWN_SECRET}\"\n")).await;
    let port = receiver.url("/").rsplit_once(':').unwrap().1.to_owned();
    for host in [
        "127.0.0.1",
        "2130706433",
        "127.1",
        "[::ffff:127.0.0.1]",
        "localhost",
    ] {
        let body = json!({"url": format!("http://{host}:{port}")});
        let (status, problem) = json_of(gateway.post("/webhooks").json(&body)).await;
        assert_eq!(status, 422, "{host}: {problem}");
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(
            detail.contains("loopback") && detail.contains("allowed_networks"),
            "{detail}"
        );
    }
    assert!(receiver.posts().is_empty());
}

#[tokio::test]
async fn a_network_that_is_no_longer_allowed_is_not_posted_to_any_more() {
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    let webhook = create(&gateway, json!({"url": receiver.url("/")})).await;
    finish(&gateway, &message("ok")).await;
    receiver.posted(2).await;
    // What is stored may be from another time: it is checked where it is used.
    let gateway = Running::start_in(gateway.kill().await, "[webhooks]\n").await;
    finish(&gateway, &message("ok")).await;
    let attempt = until("an attempt was refused", async || {
        let pending = deliveries(&gateway, &webhook, "?status=pending").await;
        let attempts = pending.last()?["attempts"].as_array()?.clone();
        attempts.first().cloned()
    })
    .await;
    assert!(
        attempt["error"].as_str().unwrap().contains("loopback"),
        "{attempt}"
    );
    assert_eq!(receiver.posts().len(), 2);
}

/// The first attempt to post the first event of this message that was attempted.
async fn first_attempt(gateway: &Running, webhook: &Value, id: &str) -> Option<Value> {
    let found = deliveries(gateway, webhook, "").await;
    let mut of_message = found.iter().filter(|one| one["messageId"] == *id);
    of_message.find_map(|one| one["attempts"].as_array()?.first().cloned())
}

#[tokio::test]
async fn networks_are_allowed_and_not_allowed_any_more_while_it_runs() {
    let receiver = Receiver::start().await;
    let (open, closed) = (configuration(SOON), format!("[webhooks]\n{SOON}\n"));
    let mut gateway = Running::start(&closed).await;
    let endpoint = json!({"url": receiver.url("/")});
    let (status, problem) = json_of(gateway.post("/webhooks").json(&endpoint)).await;
    assert_eq!(status, 422, "{problem}");

    // The secret is of those that take effect at the next start, and is told as such.
    gateway.reload(&open);
    let line = gateway.line("configuration reloaded").await;
    assert!(
        line.contains("\"settings\":\"webhooks.allowed_networks\""),
        "{line}"
    );
    let line = gateway.line("take effect at the next start").await;
    assert!(line.contains("\"settings\":\"webhooks.secret\""), "{line}");
    let webhook = create(&gateway, endpoint).await;
    finish(&gateway, &message("ok")).await;
    receiver.posted(2).await;

    // Not over a connection either that is open from before.
    gateway.reload(&closed);
    gateway.line("configuration reloaded").await;
    let id = finish(&gateway, &message("ok")).await;
    let refused = until("an attempt was refused", async || {
        first_attempt(&gateway, &webhook, &id).await
    })
    .await;
    assert!(
        refused["error"].as_str().unwrap().contains("loopback"),
        "{refused}"
    );
    assert_eq!(receiver.posts().len(), 2);
}

#[tokio::test]
async fn how_long_an_endpoint_may_take_changes_while_it_runs() {
    let receiver = Receiver::answering(|_| Reply::Held(200)).await;
    let mut gateway = Running::start(&configuration("timeout = \"300s\"")).await;
    // One event of each message, so that it has one attempt to look at.
    let at = |path| json!({"url": receiver.url(path), "types": ["sending"]});
    let patient = create(&gateway, at("/patient")).await;
    let first = finish(&gateway, &message("ok")).await;
    receiver.posted(1).await;

    gateway.reload(&configuration("timeout = \"20ms\""));
    let line = gateway.line("configuration reloaded").await;
    assert!(line.contains("\"settings\":\"webhooks.timeout\""), "{line}");
    let hasty = create(&gateway, at("/hasty")).await;
    let second = finish(&gateway, &message("ok")).await;
    let attempt = until("the second is cut off", async || {
        first_attempt(&gateway, &hasty, &second).await
    })
    .await;
    assert_eq!(attempt["error"], "no answer within 20ms", "{attempt}");

    // What was posted before is waited for as long as was said then.
    assert_eq!(first_attempt(&gateway, &patient, &first).await, None);
    receiver.release();
    let attempt = until("the first is answered", async || {
        first_attempt(&gateway, &patient, &first).await
    })
    .await;
    assert_eq!(attempt["status"], 200, "{attempt}");
}
