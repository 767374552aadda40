//! axe-core, which finds what keeps people from using a page: nothing serious on ours, wide and
//! narrow, light and dark, with everything opened that can be.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Watched, in_an_hour, soon};
use super::browser::Browser;
use super::{TRY, keep, ready};

/// `scripts/test` installs it.
const AXE: &str = "tests/it/watching/page/node_modules/axe-core/axe.min.js";

/// What axe has against the page as it stands: the rule, and the elements.
const RUN: &str = "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => \
                   violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')\
                   .map(({ id, nodes }) => [id, ...nodes.map((node) => node.html.slice(0, 200))]))";

async fn check(browser: &mut Browser, place: &str) {
    let known = browser.evaluate("typeof axe").await;
    if known == "undefined" {
        let axe = fs::read_to_string(AXE).expect("axe-core: scripts/test --install");
        browser.evaluate(&format!("{axe}; 0")).await;
    }
    // Colours are looked at when they have come to rest.
    let settled = "document.getAnimations().every(({ playState }) => playState === 'finished')";
    browser.until(settled).await;
    let found = browser.evaluate(RUN).await;
    assert_eq!(found, json!([]), "{place}: {found:#}");
}

async fn check_in_every_form(browser: &mut Browser, place: &str) {
    check_in(browser, place, &["light", "dark"]).await;
}

async fn check_in(browser: &mut Browser, place: &str, schemes: &[&str]) {
    for (width, size) in [(1280, "wide"), (390, "phone")] {
        browser.resize(width, 844).await;
        for scheme in schemes {
            browser.prefer(scheme).await;
            check(browser, &format!("{place}, {size}, {scheme}")).await;
            keep(browser, &format!("axe-{place}-{size}-{scheme}")).await;
        }
        let spill = "document.documentElement.scrollWidth - innerWidth";
        assert_eq!(browser.evaluate(spill).await, 0, "{place}, {size}");
    }
}

async fn open(watched: &Watched) -> (Browser, Value, Value) {
    let busy = watched.send("busy").await;
    watched.send("echo").await;
    let later = json!({"target": "ok", "body": "Hello", "sendAt": in_an_hour()});
    let later = watched.post(later).await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    (browser, busy, later)
}

#[tokio::test]
async fn axe_finds_nothing_serious_in_the_lists() {
    let watched = Watched::open("").await;
    let (mut browser, _, _) = open(&watched).await;
    browser.until_says("#events", "received").await;
    check_in_every_form(&mut browser, "events").await;
    for (name, selector, shown) in [
        ("Messages", "#messages", "486"),
        ("Received", "#received-list", "echo"),
        ("Webhooks", "#webhooks-none", "There is no webhook."),
    ] {
        browser.choose(name).await;
        browser.until_says(selector, shown).await;
        check_in_every_form(&mut browser, &name.to_lowercase()).await;
    }
    // On a phone a row is a card: each cell says what it is, and the heads are out of sight.
    browser.choose("Messages").await;
    let label = "getComputedStyle(document.querySelector('#messages td'), '::before').content";
    assert_eq!(browser.evaluate(label).await, "\"Time\"");
    let head = "document.querySelector('#pane-messages thead').getBoundingClientRect().width";
    assert!(browser.evaluate(head).await.as_f64().unwrap() <= 1.0);
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn axe_finds_nothing_serious_in_what_is_opened() {
    let watched = Watched::open("").await;
    let (mut browser, busy, later) = open(&watched).await;
    for (place, message) in [("failed", &busy), ("waiting", &later)] {
        let id = message["id"].as_str().unwrap();
        browser
            .evaluate(&format!("location.hash = '#/messages/{id}'"))
            .await;
        browser.until_says("#timeline", id).await;
        check_in_every_form(&mut browser, place).await;
    }
    browser.choose("Headers").await;
    check_in_every_form(&mut browser, "headers").await;
    let came = watched.get("/received").await;
    let id = came["data"][0]["messageId"].as_str().unwrap();
    browser
        .evaluate(&format!("location.hash = '#/received/{id}'"))
        .await;
    browser.until_says("#said", id).await;
    check_in_every_form(&mut browser, "reply").await;
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn axe_finds_nothing_serious_in_webhooks_and_what_can_be_done_to_them() {
    let watched = Watched::open("webhooks.allowed_networks = ['127.0.0.0/8']").await;
    let webhook = json!({"url": "http://127.0.0.1:1/hook", "description": "billing"});
    let create = watched.request(Method::POST, "/webhooks").json(&webhook);
    let created: Value = soon(soon(create.send()).await.unwrap().json())
        .await
        .unwrap();
    let id = created["id"].as_str().unwrap();
    watched.send("busy").await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    browser.choose("Webhooks").await;
    browser.click(&format!("#row-test-{id}")).await;
    browser.until_says("#webhooks-said", "not answered").await;
    browser.until_says("#webhooks", "failing").await;
    check_in_every_form(&mut browser, "webhooks-one").await;
    browser
        .evaluate(&format!("location.hash = '#/webhooks/{id}'"))
        .await;
    browser.until_says("#deliveries", "pending").await;
    browser.click(&format!("#panel-test-{id}")).await;
    browser.until_says("#panel-said", "not answered").await;
    check_in_every_form(&mut browser, "webhook").await;
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn axe_finds_nothing_serious_in_the_contract() {
    let watched = Watched::open("").await;
    let mut browser = Browser::open(&format!("{}/docs", watched.url)).await;
    browser
        .until("document.querySelectorAll('.opblock').length > 25")
        .await;
    // Swagger UI is light whatever its reader prefers.
    check_in(&mut browser, "docs", &["light"]).await;
    // With calls opened, one of them tried, and another with all that it can be given.
    browser.evaluate(&format!("{TRY}('listAgents')")).await;
    browser
        .click("[id$='-sendMessage'] .opblock-summary-control")
        .await;
    browser.click("[id$='-sendMessage'] .try-out__btn").await;
    browser
        .until("document.querySelector('.body-param textarea') !== null")
        .await;
    check_in(&mut browser, "docs-opened", &["light"]).await;
    browser.close().await;
    watched.stop().await;
}
