//! What was to be posted when the power failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use serde_json::json;

use super::*;
use receiver::Reply;

/// Messages in each round, and how often the gateway is killed.
const MESSAGES: usize = 25;
const KILLS: usize = 3;

#[tokio::test]
async fn nothing_is_lost_and_nothing_overtakes_over_kill_9() {
    // Every other post fails, so that there is always something pending.
    let taken: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let note = taken.clone();
    let mut count = 0;
    let receiver = Receiver::answering(move |post| {
        count += 1;
        if count % 2 == 0 {
            return Reply::Status(503, "not now");
        }
        let event = post.event();
        let word = |name: &str| event[name].as_str().unwrap().to_owned();
        note.lock().unwrap().push((word("messageId"), word("id")));
        Reply::Status(200, "")
    })
    .await;
    let more = format!(
        "concurrency = 4\nschedule = [{}]",
        ["\"10ms\""; 50].join(",")
    );
    let text = configuration(&more);
    let mut gateway = Running::start(&text).await;
    let webhook = create(&gateway, json!({"url": receiver.url("/standing")})).await;
    let own = receiver.url("/own");
    let mut messages = Vec::new();
    for round in 0..=KILLS {
        for number in 0..MESSAGES {
            let mut message = message("ok");
            if number % 5 == 0 {
                message["webhook"] = own.as_str().into();
            }
            let (status, accepted) = json_of(gateway.post("/messages").json(&message)).await;
            assert_eq!(status, 202);
            messages.push(accepted["id"].as_str().unwrap().to_owned());
        }
        if round < KILLS {
            let folder = gateway.kill().await;
            gateway = Running::start_in(folder, &text).await;
        }
    }
    // What the log has in the end is what must have been posted.
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for id in &messages {
        let events = until("the message has ended", async || {
            let (_, page) = json_of(gateway.get(&format!("/messages/{id}/events"))).await;
            let events = page["data"].as_array().unwrap().clone();
            let last = events.last()?["type"].clone();
            (last == "succeeded" || last == "failed").then_some(events)
        })
        .await;
        let ids = events
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned());
        expected.insert(id.clone(), ids.collect());
    }
    until("everything is delivered", async || {
        let pending = deliveries(&gateway, &webhook, "?status=pending").await;
        pending.is_empty().then_some(())
    })
    .await;
    let own_ids = |posts: &[receiver::Posted]| {
        let own = posts.iter().filter(|post| post.uri == "/own");
        let ids: std::collections::BTreeSet<_> = own
            .map(|post| post.header("webhook-id").to_owned())
            .collect();
        ids.len()
    };
    let with_own = messages.iter().step_by(5);
    let own_events: usize = with_own.map(|id| expected[id].len()).sum();
    receiver
        .wait_for("all posts of their own", |posts| {
            own_ids(posts) == own_events
        })
        .await;

    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (message, event) in taken.lock().unwrap().iter() {
        let events = seen.entry(message.clone()).or_default();
        // A post that was answered when the gateway was killed is posted again; that is no other.
        if !events.contains(event) {
            events.push(event.clone());
        }
    }
    for (message, events) in &expected {
        let mut seen = seen.remove(message).unwrap_or_default();
        // The two queues of a message that names its own are not in step with each other.
        if messages.iter().position(|id| id == message).unwrap() % 5 == 0 {
            seen.sort_unstable();
        }
        assert_eq!(&seen, events, "{message}");
    }
}
