//! What the page says when something is not there: the gateway, or an agent.

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
