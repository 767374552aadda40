//! `waitingFor` of a message, which says why it is not sent yet.

use serde_json::Value;
use serde_json::json;

use super::Watched;
use super::in_an_hour;
use super::in_half_an_hour;
use crate::harness::Peer;
use crate::harness::TestGateway;

/// A gateway whose only account registers at a port that no program listens at.
pub(super) const NOBODY: &str =
    "[[account]]\nuri = 'sip:alice@example.com'\nservers = ['ws://127.0.0.1:1']\n";

async fn waiting_for(watched: &Watched, message: &Value) -> Value {
    let id = message["id"].as_str().unwrap();
    let shown = watched.get(&format!("/messages/{id}")).await;
    let member = shown.get("waitingFor").unwrap();
    member.clone()
}

#[tokio::test]
async fn a_message_says_that_it_waits_for_its_time_or_for_those_before_it() {
    let watched = Watched::open("").await;
    let later = json!({"target": "ok", "body": "Hello", "sendAt": in_an_hour()});
    let scheduled = watched.post(later).await;
    let silent = json!({"target": "silent", "body": "Hello"});
    let first = watched.post(silent.clone()).await;
    let second = watched.post(silent.clone()).await;
    let third = watched.post(silent).await;

    let told = waiting_for(&watched, &scheduled).await;
    assert_eq!(
        told,
        json!({"kind": "schedule", "until": scheduled["sendAt"]})
    );
    let told = waiting_for(&watched, &second).await;
    assert_eq!(told, json!({"kind": "lane", "before": 1}));
    let told = waiting_for(&watched, &third).await;
    assert_eq!(told, json!({"kind": "lane", "before": 2}));

    // The first is sent once an agent is registered; it is never answered.
    watched.send("ok").await;
    assert_eq!(waiting_for(&watched, &first).await, Value::Null);
    let ended = watched.send("ok").await;
    assert_eq!(waiting_for(&watched, &ended).await, Value::Null);
}

#[tokio::test]
async fn a_list_says_of_each_message_what_it_waits_for_as_the_message_itself_does() {
    let watched = Watched::open("").await;
    watched.send("ok").await;
    let later = json!({"target": "ok", "body": "Hello", "sendAt": in_an_hour()});
    watched.post(later).await;
    for _ in 0..3 {
        let silent = json!({"target": "silent", "body": "Hello"});
        watched.post(silent).await;
    }
    // Once a message to another target is answered, the first one to this target is in flight.
    watched.send("ok").await;

    let page = watched.get("/messages?limit=500").await;
    let rows = page["data"].as_array().unwrap();
    let told: Vec<_> = rows.iter().map(|row| row["waitingFor"].clone()).collect();
    let lane = |before| json!({"kind": "lane", "before": before});
    let until = rows[4]["sendAt"].clone();
    let schedule = json!({"kind": "schedule", "until": until});
    let null = Value::Null;
    let expected = [null.clone(), lane(2), lane(1), null.clone(), schedule, null];
    assert_eq!(told, expected);
    for row in rows {
        assert_eq!(waiting_for(&watched, row).await, row["waitingFor"]);
    }
}

#[tokio::test]
async fn a_message_says_that_no_agent_is_registered_and_of_which_account() {
    let watched = Watched::open(NOBODY).await;
    let any = json!({"target": "bob", "body": "Hello"});
    let any = watched.post(any).await;
    let of_alice = json!({
        "target": "carol",
        "body": "Hello",
        "from": "sip:alice@example.com",
    });
    let of_alice = watched.post(of_alice).await;

    let told = waiting_for(&watched, &any).await;
    assert_eq!(told, json!({"kind": "agent", "account": null}));
    let told = waiting_for(&watched, &of_alice).await;
    let account = "sip:alice@example.com";
    assert_eq!(told, json!({"kind": "agent", "account": account}));
    watched.stop().await;
}

#[tokio::test]
async fn a_message_says_until_when_its_account_has_sent_as_much_as_it_may() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with_account("rate = 0.0005");
    let gateway = setup.open().await;
    let first = json!({"target": "bob", "body": "Hello"});
    gateway.http.delivered(&first).await;
    let second = json!({"target": "carol", "body": "Hello", "from": "sip:alice@example.com"});
    let id = gateway.http.accepted(&second).await;

    let shown = gateway.http.get(&format!("/messages/{id}")).await.body;
    assert_eq!(
        (&shown["status"], &shown["attempt"]),
        (&json!("queued"), &json!(0))
    );
    let waiting = &shown["waitingFor"];
    assert_eq!(waiting["kind"], "rate");
    // Two thousand seconds after the first; text of one form, so it is ordered as times are.
    let until = waiting["until"].as_str().unwrap();
    assert!(until > in_half_an_hour().as_str(), "{until}");
    assert!(until < in_an_hour().as_str(), "{until}");
    assert_eq!(peer.got("carol").len(), 0);
    gateway.stop().await;
}
