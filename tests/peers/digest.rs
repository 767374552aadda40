//! Challenges as Kamailio writes them.

use serde_json::Value;
use serde_json::json;

use crate::gateway::Gateway;
use crate::kamailio::Kamailio;

/// Each message comes two seconds after the nonce that the one before it used has expired.
#[tokio::test]
async fn a_nonce_that_expired_costs_no_attempt() {
    let kamailio = Kamailio::start(&["ANSWER_MESSAGES", "NONCE_EXPIRE=1"]).await;
    let gateway = Gateway::start(&kamailio).await;

    for seconds in [0, 2, 2] {
        let message = gateway.send(&message_in(seconds)).await;
        assert_eq!(message["status"], "succeeded", "{message}");
        assert_eq!(message["attempt"], 1, "{message}");
    }
}

/// Whole crowds in flight with a nonce that expires under them: every one is challenged anew and
/// answers, and none costs an attempt.
#[tokio::test]
async fn a_nonce_that_expires_under_load_costs_no_attempt() {
    let kamailio = Kamailio::start(&["ANSWER_MESSAGES", "NONCE_EXPIRE=3", "QUIET"]).await;
    let gateway = Gateway::start_with_agents(&kamailio, 2).await;
    let crowd = |n: i64| {
        let mut message = message_in(n / 250 * 4);
        message["target"] = json!(format!("user-{n}"));
        message
    };
    let messages: Vec<Value> = (0..500).map(crowd).collect();

    for id in gateway.accept(&messages).await {
        let told = gateway.follow(&id).await;
        let message = gateway.get(&format!("/messages/{id}")).await;
        assert_eq!(told, ["sending", "succeeded"], "{message}");
    }
}

/// Kamailio signs nonces with a secret that a restart changes.
#[tokio::test]
async fn a_nonce_from_before_a_restart_costs_no_attempt() {
    let mut kamailio = Kamailio::start(&["ANSWER_MESSAGES"]).await;
    let gateway = Gateway::start(&kamailio).await;
    gateway.send(&message_in(0)).await;

    kamailio.restart().await;
    kamailio.logged("got REGISTER").await;

    let message = gateway.send(&message_in(0)).await;
    assert_eq!(message["status"], "succeeded", "{message}");
    assert_eq!(message["attempt"], 1, "{message}");
}

#[tokio::test]
async fn a_kamailio_that_asks_for_sha_256_is_answered() {
    let algorithm = r#"DIGEST_ALGORITHM="SHA-256""#;
    let kamailio = Kamailio::start(&["ANSWER_MESSAGES", algorithm]).await;
    let gateway = Gateway::start(&kamailio).await;

    let message = gateway.send(&message_in(0)).await;

    assert_eq!(message["status"], "succeeded", "{message}");
    assert_eq!(message["attempt"], 1, "{message}");
}

/// RFC 7616 §3.4: a nonce may be used again with a higher count, so that a challenge is the
/// exception and not half of the traffic.
#[tokio::test]
async fn a_nonce_is_used_for_more_than_one_message() {
    let mut kamailio = Kamailio::start(&["ANSWER_MESSAGES"]).await;
    let gateway = Gateway::start(&kamailio).await;

    for _ in 0..10 {
        gateway.send(&message_in(0)).await;
    }
    gateway
        .send(&json!({ "target": "last", "body": "the eleventh" }))
        .await;

    // The first message was challenged, nothing after it: twelve requests for eleven messages.
    for n in 0..11 {
        let line = kamailio.logged("got MESSAGE").await;
        assert!(
            !line.contains("sip:last@"),
            "request {n} was already the last"
        );
    }
    kamailio.logged("got MESSAGE sip:last@").await;
}

fn message_in(seconds: i64) -> Value {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let at = at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    json!({ "target": "bob", "body": "Hello!", "sendAt": at })
}
