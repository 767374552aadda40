//! What the gateway does not post to, tried from outside. Everything here is loopback.

use serde_json::json;

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
