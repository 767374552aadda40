//! The Kamailio of `config/kamailio`, as compose starts it, between the gateway and phones.

use serde_json::json;

use crate::gateway::Gateway;
use crate::kamailio::Kamailio;
use crate::linphone::Linphone;
use crate::sender;

#[tokio::test]
async fn replies_and_receipts_of_a_phone_get_through_what_we_ship() {
    let kamailio = Kamailio::shipped(&["alice", "dora"]).await;
    let mut dora = Linphone::start_over_tcp(&kamailio, "dora").await;
    let gateway = Gateway::start_with_agents(&kamailio, 3).await;
    gateway.all_registered().await;

    for asked in [json!([]), json!(["delivered", "displayed"])] {
        let text = json!({ "target": "dora", "body": "Lunch?", "receipts": asked });
        let events = gateway.send_until(&text, "delivered").await;
        let delivered = events.last().unwrap();
        assert_eq!(delivered["type"], "delivered", "{delivered}");
        let message = gateway.ended(delivered).await;
        assert_eq!(message["status"], "succeeded", "{message}");
        assert_eq!(dora.shown().await, "Lunch?");
    }

    dora.chat("sip:alice@example.test", "Yes, at noon.").await;
    let received = gateway.event("received").await;
    assert_eq!(received["body"], "Yes, at noon.", "{received}");
    assert_eq!(gateway.received().await, [received]);
}

#[tokio::test]
async fn what_we_ship_passes_long_messages_on_and_answers_513_beyond() {
    let kamailio = Kamailio::shipped(&["alice", "bob"]).await;
    let gateway = Gateway::start_with_agents(&kamailio, 3).await;
    gateway.all_registered().await;
    let long = "x".repeat(31_000);

    let verdict = sender::jssip(&kamailio, "bob", "alice", &long).await;
    assert_eq!(verdict["statusCode"], 202, "{verdict}");
    let received = gateway.event("received").await;
    assert_eq!(received["body"], long);

    let verdict = sender::jssip(&kamailio, "bob", "alice", &"x".repeat(33_000)).await;
    assert_eq!(verdict["statusCode"], 513, "{verdict}");
}
