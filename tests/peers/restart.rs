//! A SIP server that dies under load and comes back.

use std::collections::HashSet;

use serde_json::Value;
use serde_json::json;

use crate::gateway::Gateway;
use crate::kamailio::Kamailio;
use crate::recipient::Recipient;

const USERS: [&str; 8] = [
    "bob-1", "bob-2", "bob-3", "bob-4", "bob-5", "bob-6", "bob-7", "bob-8",
];

/// How many messages make a load: more than Kamailio relays in the time it takes to kill it.
const MESSAGES: usize = 2000;

/// The connections of the gateway and of the recipients, the bindings, and the transactions all
/// go. What was in flight is sent again, so that a recipient may see a message twice, and none
/// never.
#[tokio::test]
async fn a_kamailio_that_restarts_under_load_loses_nothing() {
    let mut kamailio = Kamailio::start(&["FRESH_REGISTRAR", "QUIET"]).await;
    let mut recipient = Recipient::jssip(&kamailio, &USERS).await;
    let gateway = Gateway::start_with_agents(&kamailio, 2).await;
    let messages: Vec<Value> = (0..MESSAGES).map(message).collect();

    let mut ids = Vec::new();
    for batch in messages.chunks(1000) {
        ids.extend(gateway.accept(batch).await);
    }
    let mut arrived = HashSet::new();
    while arrived.len() < 50 {
        arrived.insert(recipient.received().await.body);
    }
    kamailio.restart().await;

    while arrived.len() < MESSAGES {
        arrived.insert(recipient.received().await.body);
    }
    let mut deferred = 0;
    for id in &ids {
        let events = gateway.follow(id).await;
        assert_one_end(&events);
        deferred += events.iter().filter(|&kind| kind == "deferred").count();
    }
    assert!(deferred > 0, "the restart came too late to disturb anyone");
}

fn message(number: usize) -> Value {
    json!({
        "target": USERS[number % USERS.len()],
        "body": format!("message {number}"),
        "attempts": 10,
        "onUnknown": "resend",
    })
}

fn assert_one_end(events: &[String]) {
    let ends = events
        .iter()
        .filter(|kind| ["succeeded", "failed"].contains(&kind.as_str()));
    assert_eq!(ends.count(), 1, "{events:?}");
    assert_eq!(events.last().unwrap(), "succeeded", "{events:?}");
}
