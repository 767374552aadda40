//! What others send to the gateway, and what they are told.

use serde_json::Value;
use serde_json::json;

use crate::gateway::Gateway;
use crate::kamailio::Kamailio;
use crate::recipient::Recipient;
use crate::sender;

#[tokio::test]
async fn a_message_of_jssip_is_received_and_answered_202() {
    let kamailio = Kamailio::start(&[]).await;
    let gateway = registered(&kamailio, 1).await;

    let verdict = sender::jssip(&kamailio, "bob", "alice", "Grüße 🎉\r\nzweite Zeile").await;

    assert_eq!(verdict["statusCode"], 202, "{verdict}");
    let received = gateway.event("received").await;
    assert_eq!(received["body"], "Grüße 🎉\r\nzweite Zeile", "{received}");
    assert_eq!(received["contentType"], "text/plain");
    assert_eq!(received["from"]["uri"], "sip:bob@example.test");
    assert_eq!(received["to"], "sip:alice@example.test");
    assert_eq!(received["account"], "sip:alice@example.test");
    assert_eq!(gateway.received().await, [received]);
}

#[tokio::test]
async fn a_message_of_sip_js_is_received_and_answered_202() {
    let kamailio = Kamailio::start(&[]).await;
    let gateway = registered(&kamailio, 1).await;

    let verdict = sender::sipjs(&kamailio, "carol", "alice", "Grüße 🎉").await;

    assert_eq!(verdict["statusCode"], 202, "{verdict}");
    let received = gateway.event("received").await;
    assert_eq!(received["body"], "Grüße 🎉", "{received}");
    assert_eq!(received["from"]["uri"], "sip:carol@example.test");
}

/// PJSIP's own words for what became of an instant message, after a challenge.
#[tokio::test]
async fn a_message_of_pjsua2_is_received_and_its_callback_says_202() {
    let kamailio = Kamailio::start(&[]).await;
    let gateway = registered(&kamailio, 1).await;

    let status = sender::pjsua2(&kamailio, "erik", "alice", "Grüße 🎉").await;

    let told = json!({ "event": "status", "code": 202, "reason": "Accepted", "body": "Grüße 🎉" });
    assert_eq!(status, told);
    let received = gateway.event("received").await;
    assert_eq!(received["body"], "Grüße 🎉", "{received}");
    assert_eq!(received["from"]["uri"], "sip:erik@example.test");
}

/// Each agent of an account is a binding, and Kamailio sends what comes to all of them at once.
#[tokio::test]
async fn a_message_that_kamailio_forks_to_three_agents_is_one_event_and_three_2xx() {
    let mut kamailio = Kamailio::start(&[]).await;
    let gateway = registered(&kamailio, 3).await;

    let verdict = sender::jssip(&kamailio, "bob", "alice", "Hello!").await;

    assert_eq!(verdict["statusCode"], 202, "{verdict}");
    for _ in 0..3 {
        kamailio.logged("answer 202 Accepted to MESSAGE").await;
    }
    assert_eq!(gateway.received().await.len(), 1);
    assert_eq!(taken_in(&gateway, "stored").await, 1);
    assert_eq!(taken_in(&gateway, "repeated").await, 2);
}

/// Phones send nothing more to a peer that refuses these.
#[tokio::test]
async fn a_notice_that_somebody_types_is_answered_200_and_reported_to_nobody() {
    let kamailio = Kamailio::start(&[]).await;
    let gateway = registered(&kamailio, 1).await;
    let notice = "<?xml version='1.0'?><isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'>\
                  <state>active</state></isComposing>";

    let content_type = "application/im-iscomposing+xml";
    let verdict = sender::jssip_of_type(&kamailio, "bob", "alice", content_type, notice).await;
    sender::jssip(&kamailio, "bob", "alice", "What was typed").await;

    assert_eq!(verdict["statusCode"], 200, "{verdict}");
    let received = gateway.received().await;
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0]["body"], "What was typed");
}

#[tokio::test]
async fn a_receipt_of_jssip_is_reported_displayed() {
    let kamailio = Kamailio::start(&[]).await;
    let _bob = Recipient::jssip(&kamailio, &["bob"]).await;
    let gateway = registered(&kamailio, 3).await;
    let message = gateway
        .send(&json!({ "target": "bob", "body": "Hello!" }))
        .await;
    let id = message["id"].as_str().unwrap();
    let receipt = format!(
        "<?xml version='1.0'?><imdn xmlns='urn:ietf:params:xml:ns:imdn'>\
         <message-id>{id}</message-id><display-notification><status><displayed/></status>\
         </display-notification></imdn>"
    );

    let verdict =
        sender::jssip_of_type(&kamailio, "bob", "alice", "message/imdn+xml", &receipt).await;

    assert_eq!(verdict["statusCode"], 200, "{verdict}");
    let displayed = gateway.event("displayed").await;
    assert_eq!(displayed["messageId"], message["id"]);
    assert_eq!(displayed["recipient"], "sip:bob@example.test");
    let message = gateway.get(&format!("/messages/{id}")).await;
    assert_eq!(
        message["receipts"]["displayed"], displayed["time"],
        "{message}"
    );
    assert_eq!(gateway.received().await, Vec::<Value>::new());
}

/// A gateway whose agents have all registered: before that, nothing finds them.
async fn registered(kamailio: &Kamailio, agents: u32) -> Gateway {
    let gateway = Gateway::start_with_agents(kamailio, agents).await;
    gateway.all_registered().await;
    gateway
}

async fn taken_in(gateway: &Gateway, outcome: &str) -> u64 {
    let series = format!("sipost_received_total{{outcome=\"{outcome}\"}}");
    gateway.metric(&series).await
}
