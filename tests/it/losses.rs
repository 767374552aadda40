//! A message that its server closes the connection for takes no others with it.

use serde_json::Value;
use serde_json::json;

use crate::harness::OpenGateway;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::soon;

const OTHERS: usize = 21;

async fn deferrals(gateway: &OpenGateway, id: &str) -> usize {
    let events = gateway.http.get(&format!("/messages/{id}/events")).await;
    let events = events.body["data"].as_array().unwrap().clone();
    let is_deferred = |event: &&Value| event["type"] == "deferred";
    events.iter().filter(is_deferred).count()
}

#[tokio::test]
async fn a_message_that_cuts_the_connection_is_sent_alone_and_the_others_arrive() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let mut others = Vec::new();
    for other in 0..OTHERS {
        let user = format!("other-{other}");
        peer.script(&user, [Reply::Held(200), Reply::Status(200)]);
        let message = json!({"target": user, "body": "x"});
        others.push(gateway.http.accepted(&message).await);
    }
    peer.until_all(OTHERS).await;
    peer.script("poison", [Reply::Cut]);
    let poison = json!({"target": "poison", "body": "x"});
    let poison = gateway.http.accepted(&poison).await;

    // A message in flight beside it from now on would fail.
    soon("it was in flight at two losses", async {
        while deferrals(&gateway, &poison).await < 2 {}
    })
    .await;
    let mut once = Vec::new();
    for number in 0..OTHERS {
        let user = format!("once-{number}");
        let message = json!({"target": user, "body": "x", "onUnknown": "fail"});
        once.push(gateway.http.accepted(&message).await);
    }

    let poisoned = gateway.http.finished(&poison).await;
    assert_eq!(poisoned["status"], "failed");
    assert_eq!(
        (&poisoned["attempt"], &poisoned["result"]["ambiguous"]),
        (&json!(3), &json!(true))
    );
    for id in once.iter().chain(&others) {
        let message = gateway.http.finished(id).await;
        assert_eq!(message["status"], "succeeded", "{message}");
    }
    assert_eq!(peer.got("poison").len(), 3);
    for number in 0..OTHERS {
        assert_eq!(peer.got(&format!("once-{number}")).len(), 1);
    }
    gateway.stop().await;
}
