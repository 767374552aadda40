//! A gateway with tokens: the page asks for one, once, and goes on with what it is for.

use super::super::Watched;
use super::browser::Browser;
use super::{keep, send};

/// SHA-256 of `demonstration`, and of `alice`.
const WHOLE: &str = "69f02b772af161fdf75d857d4b21021cc02939f84ce92981a050e31ea9093429";
const OF_ALICE: &str = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";

async fn gateway() -> Watched {
    let tokens = format!(
        "http.tokens = [\n{{ name = 'whole', sha256 = '{WHOLE}' }},\n\
         {{ name = 'alice', sha256 = '{OF_ALICE}', from = ['sip:alice@example.com'] }},\n]\n\
         [[account]]\nuri = 'sip:alice@example.com'\nservers = ['ws://127.0.0.1:1']\n"
    );
    Watched::open(&tokens).await
}

async fn give(browser: &mut Browser, token: &str) {
    browser.write("#token", token).await;
    browser.click("#token-form button").await;
}

const ASKS: &str = "!document.getElementById('token-form').hidden";

#[tokio::test]
async fn a_token_is_asked_for_once_and_used_for_everything() {
    let watched = gateway().await;
    let mut browser = Browser::open(&watched.url).await;
    browser.until(ASKS).await;
    browser.until_says("#link-text", "waits for a token").await;
    browser
        .until_says("#token-form", "This gateway asks for a token")
        .await;
    keep(&mut browser, "page-token").await;
    give(&mut browser, "guessed").await;
    browser
        .until_says("#token-wrong", "does not know this token")
        .await;
    assert_eq!(browser.text("#link-text").await, "waits for a token");

    give(&mut browser, "demonstration").await;
    browser.until_says("#link-text", "live").await;
    browser.until_says("#figures", "/s").await;
    browser
        .until("document.getElementById('token-form').hidden")
        .await;
    send(&mut browser, "bob", "queued").await;
    // Links open what they are about with the token, too.
    browser.click("#trail a").await;
    browser.until_says("#panel-title", "Message to bob").await;
    browser.click("#panel-close").await;
    browser.choose("Webhooks").await;
    browser
        .until_says("#webhooks-none", "There is no webhook.")
        .await;

    browser.click("#token-forget").await;
    browser.until(ASKS).await;
    let kept = "JSON.stringify([sessionStorage.length, localStorage.length])";
    assert_eq!(browser.evaluate(kept).await, "[0,0]");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn a_token_for_one_account_is_told_what_it_is_not_for() {
    let watched = gateway().await;
    let mut browser = Browser::open(&watched.url).await;
    browser.until(ASKS).await;
    give(&mut browser, "alice").await;
    browser.until_says("#link-text", "live").await;
    browser.until_says("#figures", "not for this token").await;
    browser
        .until_says("#agents-count", "0 of 1 registered")
        .await;
    browser.choose("Webhooks").await;
    browser.until_says("#webhooks-none", "refused: 403").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}
