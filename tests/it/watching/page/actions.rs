//! What the page can change: a message that waits is canceled, webhooks are tested, disabled and
//! enabled, and what they missed is sent again.

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::Watched;
use super::super::in_an_hour;
use super::super::soon;
use super::browser::Browser;
use super::keep;
use super::missing;
use super::ready;

const LOCAL: &str = "webhooks.allowed_networks = ['127.0.0.0/8']";

/// Takes posts, tells of each, and answers with this status; its URL.
async fn receiver(status: StatusCode) -> (String, mpsc::UnboundedReceiver<Value>) {
    let (posts, posted) = mpsc::unbounded_channel();
    let hook = post(move |body: String| {
        // The test may have ended.
        let _ = posts.send(serde_json::from_str(&body).unwrap());
        async move { (status, "as asked") }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", hook);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, posted)
}

/// Creates a webhook for failures; its id.
async fn webhook(watched: &Watched, url: &str) -> String {
    let webhook = json!({"url": url, "types": ["failed"], "description": "billing"});
    let create = watched.request(Method::POST, "/webhooks").json(&webhook);
    let created: Value = soon(soon(create.send()).await.unwrap().json())
        .await
        .unwrap();
    created["id"].as_str().unwrap().to_owned()
}

async fn open(browser: &mut Browser, place: &str) {
    browser
        .evaluate(&format!("location.hash = '#/{place}'"))
        .await;
    browser.until("document.getElementById('panel').open").await;
}

#[tokio::test]
async fn a_message_that_waits_is_canceled_with_the_keyboard() {
    let watched = Watched::open("").await;
    let later = json!({"target": "ok", "body": "Hello", "sendAt": in_an_hour()});
    let later = watched.post(later).await;
    let id = later["id"].as_str().unwrap();
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    open(&mut browser, &format!("messages/{id}")).await;
    browser.until_says("#panel-state", "scheduled").await;
    keep(&mut browser, "panel-cancel").await;

    browser.tab_to("cancel").await;
    browser.press("Enter").await;
    browser.until_says("#panel-said", "is canceled").await;
    browser.until_says("#panel-state", "Canceled").await;
    // Nothing is left to cancel, and the focus is where the keyboard goes on.
    browser
        .until("document.getElementById('cancel') === null")
        .await;
    browser
        .until("document.activeElement.id === 'panel-said'")
        .await;
    assert_eq!(
        watched.get(&format!("/messages/{id}")).await["result"]["cause"],
        "Canceled"
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn a_message_that_has_ended_offers_no_cancel_and_a_late_one_says_why_not() {
    let watched = Watched::open("").await;
    let busy = watched.send("busy").await;
    let later = json!({"target": "ok", "body": "Hello", "sendAt": in_an_hour()});
    let later = watched.post(later).await;
    let id = later["id"].as_str().unwrap();
    // The page goes on seeing the message as it was: it is canceled meanwhile.
    let shown = serde_json::to_string(&later.to_string()).unwrap();
    let stale = format!(
        "const real = window.fetch; window.fetch = (path, options) => path === '/messages/{id}' && \
         !options.method ? Promise.resolve(new Response({shown}, {{ headers: {{ 'Content-Type': \
         'application/json' }} }})) : real(path, options);"
    );
    let mut browser = Browser::open_with(&watched.url, &stale).await;
    ready(&mut browser).await;
    let ended = busy["id"].as_str().unwrap();
    open(&mut browser, &format!("messages/{ended}")).await;
    browser.until_says("#panel-state", "486 Busy Here").await;
    let buttons = "document.querySelectorAll('#panel-actions button').length";
    assert_eq!(browser.evaluate(buttons).await, 0);

    open(&mut browser, &format!("messages/{id}")).await;
    browser.until_says("#panel-state", "scheduled").await;
    let cancel = watched.request(Method::DELETE, &format!("/messages/{id}"));
    assert_eq!(soon(cancel.send()).await.unwrap().status(), 200);
    browser.click("#cancel").await;
    let refused = browser.until_says("#panel-said", "refused: 409").await;
    assert!(refused.contains("canceled already"), "{refused}");
    keep(&mut browser, "panel-refused").await;
    // What was said of one message is not said of another.
    open(&mut browser, &format!("messages/{ended}")).await;
    browser.until_says("#panel-state", "486 Busy Here").await;
    assert_eq!(browser.text("#panel-said").await, "");
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn a_webhook_is_tested_disabled_and_enabled_in_the_list() {
    let watched = Watched::open(LOCAL).await;
    let (url, mut posted) = receiver(StatusCode::OK).await;
    let id = webhook(&watched, &url).await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    browser.choose("Webhooks").await;
    browser.until_says("#webhooks", "enabled").await;

    browser.click(&format!("#row-test-{id}")).await;
    let said = browser
        .until_says("#webhooks-said", "answered with 200")
        .await;
    assert!(said.contains("as asked"), "{said}");
    assert_eq!(soon(posted.recv()).await.unwrap()["type"], "test");

    browser.click(&format!("#row-enabled-{id}")).await;
    browser.until_says("#webhooks-said", "is disabled").await;
    browser.until_says("#webhooks", "disabled").await;
    browser.until_says("#webhooks", "Enable").await;
    assert_eq!(
        watched.get(&format!("/webhooks/{id}")).await["enabled"],
        false
    );
    for (width, size) in [(1280, "wide"), (390, "phone")] {
        browser.resize(width, 844).await;
        keep(&mut browser, &format!("webhooks-{size}")).await;
    }
    browser.click(&format!("#row-enabled-{id}")).await;
    browser.until_says("#webhooks-said", "is enabled").await;
    browser.until_says("#webhooks .badge", "enabled").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(missing(&browser), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn what_a_webhook_missed_is_sent_again_from_its_panel_and_one_event_alone() {
    let watched = Watched::open(LOCAL).await;
    let (url, mut posted) = receiver(StatusCode::OK).await;
    let missed = watched.send("busy").await;
    let id = webhook(&watched, &url).await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    open(&mut browser, &format!("webhooks/{id}")).await;
    browser
        .until_says("#deliveries", "Nothing was posted to it yet.")
        .await;

    browser.click("#recover").await;
    browser
        .until_says("#panel-said", "in the last hour is sent again")
        .await;
    let event = soon(posted.recv()).await.unwrap();
    assert_eq!(event["messageId"], missed["id"]);
    browser.until_says("#deliveries", "delivered").await;

    browser.click("#deliveries button").await;
    browser
        .until_says("#panel-said", event["id"].as_str().unwrap())
        .await;
    assert_eq!(soon(posted.recv()).await.unwrap()["id"], event["id"]);
    keep(&mut browser, "panel-webhook-actions").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn a_test_that_is_not_taken_says_what_came_back() {
    let watched = Watched::open(LOCAL).await;
    let (url, _posted) = receiver(StatusCode::INTERNAL_SERVER_ERROR).await;
    let failing = webhook(&watched, &url).await;
    let away = webhook(&watched, "http://127.0.0.1:1/hook").await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    for (id, words) in [(failing, "answered with 500"), (away, "not answered: ")] {
        open(&mut browser, &format!("webhooks/{id}")).await;
        browser.click(&format!("#panel-test-{id}")).await;
        browser.until_says("#panel-said .bad", words).await;
    }
    keep(&mut browser, "panel-test-failed").await;
    browser.close().await;
    watched.stop().await;
}
