//! The lists of the page: events from the last ones back, messages by id and by target, what came
//! in, and webhooks.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use super::super::{Watched, soon};
use super::browser::Browser;
use super::{keep, missing, ready};

/// The ids of the events in the list, from the top down.
const IDS: &str = "[...document.querySelectorAll('#events tr')].map((row) => row.dataset.id)";

/// The ids of the agents' events in their list, from the top down.
const CHANGES: &str = "[...document.querySelectorAll('#changes li')].map((row) => row.dataset.id)";

/// The ids of a page of the log, the newest first.
async fn newest(watched: &Watched, query: &str) -> Vec<Value> {
    let page = watched.get(&format!("/events?before=latest&{query}")).await;
    let events = page["data"].as_array().unwrap().iter();
    events.map(|event| event["id"].clone()).collect()
}

#[tokio::test]
async fn the_list_begins_with_the_last_fifty_events_and_goes_back_to_the_first() {
    let watched = Watched::open("").await;
    for _ in 0..35 {
        watched.send("ok").await;
    }
    let mut browser = Browser::open(&watched.url).await;
    browser.until(&format!("{IDS}.length === 50")).await;
    browser.click("#events-older").await;
    browser.until(&format!("{IDS}.length === 70")).await;
    browser
        .until("document.getElementById('events-older').hidden")
        .await;
    // What happens now comes on top, and once.
    watched.send("ok").await;
    browser.until(&format!("{IDS}.length === 72")).await;

    let ids = newest(&watched, "limit=500").await;
    assert_eq!(browser.evaluate(IDS).await, json!(ids));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn agents_that_come_and_go_are_shown_with_the_reason_and_not_among_the_messages() {
    let watched = Watched::open("").await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    browser.until_says("#changes", "sipost-1").await;
    watched.change_agent("drain").await;
    browser
        .until_says("#changes li:first-child", "agentDown")
        .await;
    let page = watched.get("/events?type=agentDown").await;
    let down = &page["data"][0];
    let first = browser.text("#changes li:first-child").await;
    for member in ["agent", "account", "reason"] {
        let word = down[member].as_str().unwrap();
        assert!(first.contains(word), "{word}: {first}");
    }
    watched.change_agent("resume").await;
    browser
        .until_says("#changes li:first-child", "agentUp")
        .await;
    keep(&mut browser, "page-changes").await;
    let count = "document.querySelectorAll('#changes li').length";
    assert_eq!(browser.evaluate(count).await, 4);
    assert_eq!(browser.evaluate(IDS).await, json!([]));

    // They are in the log, so a page that is opened later shows them, too.
    browser.close().await;
    let mut browser = Browser::open(&watched.url).await;
    browser.until(&format!("{count} === 4")).await;
    let ids = newest(&watched, "type=agentUp,agentDown").await;
    assert_eq!(browser.evaluate(CHANGES).await, json!(ids));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

/// The page follows the log from its last message on, which is before all of these.
#[tokio::test]
async fn the_newest_change_of_an_agent_is_on_top_and_each_is_there_once() {
    let watched = Watched::open("").await;
    watched.send("ok").await;
    let are_up = async { while watched.get("/events?type=agentUp").await["data"][1].is_null() {} };
    soon(are_up).await;
    for call in ["drain", "resume"].repeat(4) {
        watched.change_agent(call).await;
    }
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    watched.change_agent("drain").await;
    let ids = newest(&watched, "type=agentUp,agentDown").await;

    // Events come in their order: once the last is there, so are those before it.
    let has_last = format!("{CHANGES}.includes({})", ids[0]);
    browser.until(&has_last).await;
    assert_eq!(browser.evaluate(CHANGES).await, json!(ids[..7]));
    browser.click("#changes-older").await;
    let all = format!("{CHANGES}.length >= {}", ids.len());
    browser.until(&all).await;
    assert_eq!(browser.evaluate(CHANGES).await, json!(ids));
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn a_message_is_found_by_its_id_and_messages_by_their_target() {
    let watched = Watched::open("").await;
    let busy = watched.send("busy").await;
    watched.send("ok").await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;

    let id = busy["id"].as_str().unwrap();
    browser.write("#find-text", id).await;
    browser.click("#find button").await;
    browser.until_says("#panel-title", "Message to busy").await;
    browser.click("#panel-close").await;
    browser
        .until("!document.getElementById('panel').open")
        .await;

    browser.write("#find-text", "ok").await;
    browser.click("#find button").await;
    let rows = "document.querySelectorAll('#messages tr').length === 1";
    browser.until(rows).await;
    let found = browser.until_says("#messages", "200 OK").await;
    assert!(!found.contains("busy"), "{found}");
    browser.until_says("#found", "Messages to ok").await;

    browser.write("#find-text", "carol").await;
    browser.click("#find button").await;
    browser
        .until_says("#messages-none", "No message to carol is kept.")
        .await;
    // No target at all shows everything again.
    browser.write("#find-text", "").await;
    browser.click("#find button").await;
    browser
        .until("document.querySelectorAll('#messages tr').length === 2")
        .await;
    let choose = "const status = document.getElementById('status'); status.value = 'failed'; \
                  status.dispatchEvent(new Event('change'))";
    browser.evaluate(choose).await;
    browser.until(rows).await;
    browser
        .until_says("#messages", "486 Busy Here · Busy")
        .await;
    // An id that nothing has is told of as such.
    browser
        .write("#find-text", "01930000-0000-7000-8000-000000000001")
        .await;
    browser.click("#find button").await;
    browser.until_says("#panel-state", "404").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn what_came_in_is_shown_and_answered() {
    let watched = Watched::open("").await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    browser.choose("Received").await;
    browser
        .until_says("#received-list-none", "Nothing has come in.")
        .await;
    watched.send("echo").await;
    browser
        .until_says("#received-list", "echo@sandbox.invalid")
        .await;
    browser.click("#received-list a").await;
    browser
        .until_says("#panel-title", "From sip:echo@sandbox.invalid")
        .await;
    browser.until_says("#said", "Hello").await;

    browser
        .write("#said textarea", "And a good day to you")
        .await;
    browser.click("#said button").await;
    browser.until_says("#said .trail", "200 OK").await;
    let came = watched.get("/received").await;
    let first = came["data"].as_array().unwrap().last().unwrap().clone();
    let sent = watched.get("/messages?target=echo").await;
    let reply = &sent["data"][0];
    assert_eq!(reply["inReplyTo"], first["messageId"]);
    assert_eq!(reply["body"], "And a good day to you");
    keep(&mut browser, "panel-received").await;
    // The message leads to what it answered, and back.
    browser.click("#said a").await;
    browser.until_says("#panel-title", "Message to").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn webhooks_are_shown_with_how_they_do_and_what_was_posted() {
    let watched = Watched::open("webhooks.allowed_networks = ['127.0.0.0/8']").await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    browser.choose("Webhooks").await;
    browser
        .until_says("#webhooks-none", "There is no webhook.")
        .await;
    let webhook = json!({
        // A port that no program listens at.
        "url": "http://127.0.0.1:1/hook",
        "description": "billing",
        "types": ["failed"],
    });
    let create = watched.request(Method::POST, "/webhooks").json(&webhook);
    assert_eq!(soon(create.send()).await.unwrap().status(), 201);
    browser.until_says("#webhooks", "enabled").await;
    let busy = watched.send("busy").await;
    let shown = browser.until_says("#webhooks", "failing").await;
    for word in ["http://127.0.0.1:1/hook", "billing", "failed"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    browser.click("#webhooks a").await;
    browser
        .until_says("#panel-title", "http://127.0.0.1:1/hook")
        .await;
    let deliveries = browser.until_says("#deliveries", "next at").await;
    assert!(deliveries.contains("pending"), "{deliveries}");
    keep(&mut browser, "panel-webhook").await;
    // And from there to the message.
    browser.click("#deliveries a").await;
    browser
        .until_says("#panel-body", busy["id"].as_str().unwrap())
        .await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(missing(&browser), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}
