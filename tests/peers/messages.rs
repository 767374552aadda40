//! What others get when we send, and what our client is told when they refuse.

use serde_json::Value;
use serde_json::json;

use crate::gateway::Gateway;
use crate::kamailio::Kamailio;
use crate::recipient::Recipient;
use crate::recipient::Sipp;
use crate::sender;

/// Shows that Kamailio and JsSIP do their part, so that a failure of the others here is ours.
#[tokio::test]
async fn jssip_reaches_jssip_through_kamailio_without_us() {
    let kamailio = Kamailio::start(&[]).await;
    let mut bob = Recipient::jssip(&kamailio, &["bob"]).await;

    let verdict = sender::jssip(&kamailio, "alice", "bob", "Grüße 🎉").await;

    assert_eq!(verdict["event"], "succeeded");
    let received = bob.received().await;
    assert_eq!(received.body, "Grüße 🎉");
    assert_eq!(received.from, "sip:alice@example.test");
}

#[tokio::test]
async fn a_message_with_unicode_reaches_jssip_through_kamailio() {
    let kamailio = Kamailio::start(&[]).await;
    let mut bob = Recipient::jssip(&kamailio, &["bob"]).await;
    let gateway = Gateway::start(&kamailio).await;
    let body = "Grüße aus Łódź, 你好, مرحبا 🎉\r\nsecond line\n\u{0}end";

    let message = gateway
        .send(&json!({ "target": "sip:bob@example.test", "body": body }))
        .await;

    assert_eq!(message["status"], "succeeded", "{message}");
    assert_eq!(message["attempt"], 1);
    assert_eq!(message["result"]["originator"], "remote");
    assert_eq!(message["result"]["response"]["statusCode"], 200);
    let received = bob.received().await;
    assert_eq!(received.body, body);
    assert_eq!(received.content_type, "text/plain");
    assert_eq!(received.from, "sip:alice@example.test");
    assert_eq!(received.user, "bob");
}

#[tokio::test]
async fn a_json_body_with_its_content_type_and_extra_headers_arrives_as_sent() {
    let kamailio = Kamailio::start(&[]).await;
    let mut bob = Recipient::jssip(&kamailio, &["bob"]).await;
    let gateway = Gateway::start(&kamailio).await;
    let body = r#"{"text":"naïve \"quotes\" and \\","list":[1,2.5,null]}"#;

    let message = gateway
        .send(&json!({
            "target": "bob",
            "body": body,
            "contentType": "application/json;charset=utf-8",
            "extraHeaders": ["X-Foo: foo", "X-Foo: second", "X-Bar: ä; b=\"c\""],
        }))
        .await;

    assert_eq!(message["status"], "succeeded", "{message}");
    let received = bob.received().await;
    assert_eq!(received.body, body);
    assert_eq!(received.content_type, "application/json;charset=utf-8");
    assert_eq!(received.headers["X-Foo"], ["foo", "second"]);
    assert_eq!(received.headers["X-Bar"], ["ä; b=\"c\""]);
}

/// RFC 3428 §4: a message with a time limit says so, and says when it was sent.
#[tokio::test]
async fn the_ttl_reaches_the_recipient_as_expires_with_a_date() {
    let kamailio = Kamailio::start(&[]).await;
    let mut bob = Recipient::jssip(&kamailio, &["bob"]).await;
    let gateway = Gateway::start(&kamailio).await;

    let message = gateway
        .send(&json!({ "target": "bob", "body": "Hello!", "ttl": 600 }))
        .await;

    assert_eq!(message["status"], "succeeded", "{message}");
    let received = bob.received().await;
    let expires: u32 = received.headers["Expires"][0].parse().unwrap();
    assert!((500..=600).contains(&expires), "{expires}");
    assert!(received.headers["Date"][0].ends_with(" GMT"));
}

#[tokio::test]
async fn a_user_who_does_not_exist_is_not_found() {
    let kamailio = Kamailio::start(&[]).await;
    let gateway = Gateway::start(&kamailio).await;

    let message = gateway.send(&text_to("nobody-at-all")).await;

    assert_failed(&message, 404, "Not Found");
}

#[tokio::test]
async fn a_user_without_a_registration_is_unavailable() {
    let kamailio = Kamailio::start(&[]).await;
    let gateway = Gateway::start(&kamailio).await;

    let message = gateway.send(&text_to("dave")).await;

    assert_failed(&message, 480, "Unavailable");
}

#[tokio::test]
async fn a_recipient_that_answers_486_is_busy() {
    let kamailio = Kamailio::start(&[]).await;
    let mut bob = Recipient::jssip_answering(&kamailio, "bob", 486).await;
    let gateway = Gateway::start(&kamailio).await;

    let message = gateway.send(&text_to("bob")).await;

    assert_failed(&message, 486, "Busy");
    assert_eq!(message["attempt"], 1);
    bob.received().await;
}

#[tokio::test]
async fn messages_to_one_target_arrive_in_the_order_they_were_accepted() {
    let kamailio = Kamailio::start(&[]).await;
    let mut bob = Recipient::jssip(&kamailio, &["bob"]).await;
    let gateway = Gateway::start_with_agents(&kamailio, 4).await;
    let bodies: Vec<String> = (0..100).map(|n| format!("message {n}")).collect();
    let messages: Vec<Value> = bodies
        .iter()
        .map(|body| json!({ "target": "bob", "body": body }))
        .collect();

    let ids = gateway.accept(&messages).await;

    for body in &bodies {
        assert_eq!(&bob.received().await.body, body);
    }
    for id in &ids {
        assert_eq!(gateway.follow(id).await, ["sending", "succeeded"]);
    }
}

#[tokio::test]
async fn every_agent_of_an_account_registers_with_kamailio() {
    let kamailio = Kamailio::start(&[]).await;
    let mut bob = Recipient::jssip(&kamailio, &["bob"]).await;
    let gateway = Gateway::start_with_agents(&kamailio, 4).await;

    // A message that went through shows that one agent has registered; the others have their own
    // connections and may take a moment more.
    gateway.send(&text_to("bob")).await;
    bob.received().await;

    assert_eq!(gateway.all_registered().await, 4);
}

#[tokio::test]
async fn a_message_reaches_sip_js_through_kamailio() {
    let kamailio = Kamailio::start(&[]).await;
    let mut carol = Recipient::sipjs(&kamailio, "carol").await;
    let gateway = Gateway::start(&kamailio).await;

    let message = gateway
        .send(&json!({ "target": "carol", "body": "Grüße 🎉", "extraHeaders": ["X-Foo: foo"] }))
        .await;

    assert_eq!(message["status"], "succeeded", "{message}");
    let received = carol.received().await;
    assert_eq!(received.body, "Grüße 🎉");
    assert_eq!(received.headers["X-Foo"], ["foo"]);
}

#[tokio::test]
async fn a_message_reaches_sipp_over_udp_and_its_202_reaches_the_client() {
    let kamailio = Kamailio::start(&[]).await;
    let sipp = Sipp::start(&kamailio, "dora").await;
    let gateway = Gateway::start(&kamailio).await;

    let message = gateway
        .send(&json!({ "target": "dora", "body": "Grüße 🎉" }))
        .await;

    assert_eq!(message["status"], "succeeded", "{message}");
    assert_eq!(message["result"]["response"]["statusCode"], 202);
    let wire = sipp.messages().await;
    assert!(wire.contains("\nMESSAGE sip:dora@127.0.0.1:"), "{wire}");
    assert!(wire.contains("Grüße 🎉"), "{wire}");
    assert!(
        !wire.contains("\nContact:"),
        "RFC 3428 §4 allows none: {wire}"
    );
}

#[tokio::test]
async fn a_gateway_that_stops_takes_its_registration_back() {
    let kamailio = Kamailio::start(&[]).await;
    let mut gateway = Gateway::start(&kamailio).await;
    gateway.send(&text_to("dave")).await;

    gateway.stop().await;

    let verdict = sender::jssip(&kamailio, "bob", "alice", "Hello!").await;
    assert_eq!(verdict["statusCode"], 480, "{verdict}");
}

fn text_to(target: &str) -> Value {
    json!({ "target": target, "body": "Hello!" })
}

fn assert_failed(message: &Value, code: u16, cause: &str) {
    assert_eq!(message["status"], "failed", "{message}");
    let result = &message["result"];
    assert_eq!(result["originator"], "remote", "{message}");
    assert_eq!(result["cause"], cause, "{message}");
    assert_eq!(result["response"]["statusCode"], code, "{message}");
}

/// A message that is too large for Kamailio as it comes would close the connection, and end
/// whatever else is in flight there.
#[tokio::test]
async fn what_fits_by_default_fits_into_a_kamailio_as_it_comes() {
    let kamailio = Kamailio::start(&["SMALL_BUFFER"]).await;
    let mut bob = Recipient::jssip(&kamailio, &["bob"]).await;
    let gateway = Gateway::start(&kamailio).await;

    let refused = gateway.post(&of_size(17_000)).await;
    assert_eq!(refused["status"], 413, "{refused}");

    let (_, left) = refused["detail"]
        .as_str()
        .unwrap()
        .split_once("leave ")
        .unwrap();
    let left: usize = left.split(' ').next().unwrap().parse().unwrap();
    assert!(left > 14_000, "{left}");
    let message = gateway.send(&of_size(left)).await;
    assert_eq!(
        (&message["status"], &message["attempt"]),
        (&json!("succeeded"), &json!(1)),
        "{message}"
    );
    assert_eq!(bob.received().await.body.len(), left);
}

#[tokio::test]
async fn a_kamailio_as_we_ship_it_takes_more_where_more_may_be_sent_and_answers_513_beyond() {
    let kamailio = Kamailio::start(&[]).await;
    let mut bob = Recipient::jssip(&kamailio, &["bob"]).await;
    let gateway = Gateway::start_with_size(&kamailio, "60KiB").await;

    let message = gateway.send(&of_size(17_000)).await;
    assert_eq!(message["status"], "succeeded", "{message}");
    assert_eq!(bob.received().await.body.len(), 17_000);

    let message = gateway.send(&of_size(40_000)).await;
    assert_eq!(message["status"], "failed", "{message}");
    assert_eq!(
        message["result"]["response"]["statusCode"], 513,
        "{message}"
    );
    assert_eq!(message["attempt"], 1);
}

fn of_size(len: usize) -> Value {
    json!({ "target": "bob", "body": "x".repeat(len) })
}
