//! What the page says when something is not there: the gateway, or an agent.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::Watched;
use super::super::waiting::NOBODY;
use super::browser::Browser;
use super::{keep, ready, send};

/// What each figure says.
const FIGURES: &str = "[...document.querySelectorAll('#figures dd b, #chart-top, #agents-count')].map((figure) => \
     figure.textContent)";

#[tokio::test]
async fn every_figure_says_that_it_is_not_connected_while_it_is_not() {
    let watched = Watched::open("").await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    let figures = browser.evaluate(FIGURES).await;
    assert_eq!(figures.as_array().unwrap().len(), 10);
    assert!(!figures.to_string().contains("connected"), "{figures}");
    watched.stop().await;

    let all = format!("{FIGURES}.every((text) => text === 'not connected')");
    browser.until(&all).await;
    assert_eq!(browser.text("#link-text").await, "not connected");
    // Whether the message was taken is unknown, so nothing says that it was lost.
    let trail = send(&mut browser, "ok", "no answer").await;
    assert!(
        trail.contains("not known") && !trail.contains("lost"),
        "{trail}"
    );
    keep(&mut browser, "page-not-connected").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
}

/// As after a restore.
#[tokio::test]
async fn a_page_that_stayed_open_shows_another_log_and_nothing_of_the_one_before() {
    let watched = Watched::open_to_replace().await;
    for _ in 0..3 {
        watched.send("ok").await;
    }
    let mut browser = Browser::open(&watched.url).await;
    let rows = "document.querySelectorAll('#events tr').length";
    browser.until(&format!("{rows} === 6")).await;

    let watched = watched.replaced().await;
    watched.send("busy").await;
    browser.until(&format!("{rows} === 2")).await;
    let log = watched.get("/events?type=sending,failed,agentUp").await;
    let events = log["data"].as_array().unwrap().iter();
    let ids: BTreeSet<_> = events.map(|event| event["id"].to_string()).collect();
    let shown = "[...document.querySelectorAll('#events tr, #changes li')]\
                 .map((row) => JSON.stringify(row.dataset.id)).sort().join()";
    let ids: Vec<_> = ids.into_iter().collect();
    browser
        .until(&format!("{shown} === {}", json!(ids.join(","))))
        .await;
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn after_two_seconds_the_page_says_what_a_message_waits_for_and_why() {
    let watched = Watched::open(NOBODY).await;
    let mut browser = Browser::open(&watched.url).await;
    browser.until_says("#link-text", "live").await;
    send(&mut browser, "bob", "queued").await;
    let trail = browser.until_says("#trail", "again at").await;
    let agents = watched.get("/agents").await;
    let error = agents["data"][0]["lastError"].as_str().unwrap();
    assert!(trail.contains("waits for a registered agent"), "{trail}");
    assert!(trail.contains(error), "{trail}");
    keep(&mut browser, "page-waits").await;

    // So do the list and the message itself.
    browser.choose("Messages").await;
    browser.until_says("#messages", error).await;
    browser.click("#messages a").await;
    browser.until_says("#panel-state", error).await;
    browser.until_says("#timeline", error).await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}
