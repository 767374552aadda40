//! A message, opened: its attempts, headers, receipts, and frames where the gateway keeps them.

use reqwest::Method;
use serde_json::json;

use super::super::{Watched, in_an_hour, soon};
use super::browser::Browser;
use super::{keep, missing, ready};

/// Answers the calls for frames in the place of the gateway, with this status and body.
fn frames(status: u16, body: &serde_json::Value) -> String {
    format!(
        "const real = window.fetch; window.fetch = (path, options) => String(path).endsWith('/sip') \
         ? Promise.resolve(new Response({}, {{ status: {status}, headers: {{ 'Content-Type': \
         'application/problem+json' }} }})) : real(path, options);",
        json!(body.to_string())
    )
}

/// The names of the tabs of the panel.
const TABS: &str =
    "[...document.querySelectorAll('#panel [role=tab]')].map((tab) => tab.textContent)";

#[tokio::test]
async fn a_message_has_its_attempts_headers_and_receipts() {
    let watched = Watched::open("").await;
    let busy = watched.send("busy").await;
    let asked = json!({
        "target": "reader",
        "body": "Hello",
        "extraHeaders": ["X-Order: 42"],
        "receipts": ["delivered", "displayed"],
    });
    let read = watched.post(asked).await;
    let no = json!({"title": "Not found", "status": 404});
    let mut browser = Browser::open_with(&watched.url, &frames(404, &no)).await;
    ready(&mut browser).await;

    let id = busy["id"].as_str().unwrap();
    browser
        .evaluate(&format!("location.hash = '#/messages/{id}'"))
        .await;
    browser
        .until_says("#panel-state", "486 Busy Here · Busy")
        .await;
    let timeline = browser.until_says("#timeline", "attempt 1 of 3").await;
    for word in ["accepted", "sending", "failed", "486 Busy Here", id] {
        assert!(timeline.contains(word), "{word}: {timeline}");
    }
    browser.choose("Headers").await;
    browser.until_says("#headers", "Request 1").await;
    let headers = browser
        .until_says("#headers", "Response 1: 486 Busy Here")
        .await;
    assert!(headers.contains("Call-ID"), "{headers}");
    // There is nothing to show of the frames.
    assert_eq!(
        browser.evaluate(TABS).await,
        json!(["Timeline", "Headers", "Receipts"])
    );
    keep(&mut browser, "panel-headers").await;

    let id = read["id"].as_str().unwrap();
    browser
        .evaluate(&format!("location.hash = '#/messages/{id}'"))
        .await;
    browser
        .until_says("#panel-title", "Message to reader")
        .await;
    browser.choose("Receipts").await;
    let receipts = browser
        .until_says("#receipts", "sip:reader@sandbox.invalid")
        .await;
    assert!(receipts.contains("delivered, displayed"), "{receipts}");
    // The second one comes later, while the panel is open.
    browser
        .until("document.querySelectorAll('#receipts tbody tr').length === 2")
        .await;
    browser.choose("Headers").await;
    browser.until_says("#headers", "X-Order").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(missing(&browser), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn a_message_that_waits_says_what_for_and_shows_when_that_is_over() {
    let watched = Watched::open("").await;
    let later = json!({"target": "ok", "body": "Hello", "sendAt": in_an_hour()});
    let later = watched.post(later).await;
    let id = later["id"].as_str().unwrap();
    let mut browser = Browser::open(&format!("{}/#/messages/{id}", watched.url)).await;
    browser
        .until_says("#panel-state", "waits for its time")
        .await;
    let cancel = watched.request(Method::DELETE, &format!("/messages/{id}"));
    assert_eq!(soon(cancel.send()).await.unwrap().status(), 200);
    browser.until_says("#panel-state", "Canceled").await;
    browser.until_says("#timeline", "Canceled").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn the_frames_of_a_message_have_a_tab_of_their_own_where_they_are_kept() {
    let watched = Watched::open("").await;
    let busy = watched.send("busy").await;
    let frame = |direction: &str, frame: &str| {
        json!({
            "time": "2026-12-24T17:30:00.003Z",
            "direction": direction,
            "agent": "alice-1",
            "local": "192.0.2.1:40000",
            "remote": "192.0.2.2:443",
            "frame": frame,
        })
    };
    let request = "MESSAGE sip:bob@example.com SIP/2.0\r\nCall-ID: 1\r\n\r\n<b>Hello</b>";
    let response = "SIP/2.0 486 Busy Here\r\nCall-ID: 1\r\n\r\n";
    let kept = json!({"data": [frame("sent", request), frame("received", response)]});
    let url = format!(
        "{}/#/messages/{}",
        watched.url,
        busy["id"].as_str().unwrap()
    );
    let mut browser = Browser::open_with(&url, &frames(200, &kept)).await;
    browser.choose("SIP").await;
    let shown = browser.until_says("#trace", "SIP/2.0 486 Busy Here").await;
    for word in [
        "192.0.2.1:40000 → 192.0.2.2:443",
        "192.0.2.1:40000 ← 192.0.2.2:443",
        "<b>Hello</b>",
        "alice-1",
    ] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    keep(&mut browser, "panel-frames").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;

    let mut browser = Browser::open_with(&url, &frames(200, &json!({"data": []}))).await;
    browser.choose("SIP").await;
    browser
        .until_says("#trace", "No frames of this message are kept")
        .await;
    browser.close().await;
    watched.stop().await;
}
