//! The page at `/` in a real browser: Debian's Chromium, without a window.

mod actions;
mod away;
mod axe;
mod browser;
mod foreign;
mod lists;
mod panel;
mod token;

use std::fs;
use std::path::Path;

use super::Watched;
use browser::Browser;

/// Fills in the box, sends, and waits for the end: what the trail says then.
const SEND: &str = r#"
(async (target, last) => {
  document.getElementById("target").value = target;
  document.querySelector('#send button').click();
  for (;;) {
    const badges = [...document.querySelectorAll('#trail .badge')];
    const steps = badges.map((badge) => badge.textContent);
    if (steps.at(-1) === last) return document.getElementById("trail").innerText;
    await new Promise((done) => setTimeout(done, 20));
  }
})
"#;

/// Opens a call of the contract, tries it, and says what the page shows of it then.
const TRY: &str = r#"
(async (id) => {
  const found = async (selector) => {
    for (;;) {
      const element = document.querySelector(selector);
      if (element) return element;
      await new Promise((done) => setTimeout(done, 20));
    }
  };
  const call = `[id$="-${id}"]`;
  (await found(`${call} .opblock-summary-control`)).click();
  (await found(`${call} .try-out__btn`)).click();
  (await found(`${call} .execute`)).click();
  await found(`${call} .live-responses-table .response-col_description`);
  return document.querySelector(call).innerText;
})
"#;

#[tokio::test]
async fn the_contract_is_a_page_on_which_calls_can_be_tried() {
    let watched = Watched::open("").await;
    let mut browser = Browser::open(&format!("{}/docs", watched.url)).await;
    let tried = browser.evaluate(&format!("{TRY}('listAgents')")).await;
    let tried = tried.as_str().unwrap();
    assert!(
        tried.contains("curl") && tried.contains("registered"),
        "{tried}"
    );
    let calls = "document.querySelectorAll('.opblock').length";
    assert!(browser.evaluate(calls).await.as_u64().unwrap() > 25);
    let back = "document.querySelector('nav a').getAttribute('href')";
    assert_eq!(browser.evaluate(back).await, "/");
    keep(&mut browser, "docs").await;
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(browser.missing(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

/// Sends to this target, and waits until the last step is this one: what the trail says then.
async fn send(browser: &mut Browser, target: &str, last: &str) -> String {
    let trail = browser
        .evaluate(&format!("{SEND}('{target}', '{last}')"))
        .await;
    trail.as_str().unwrap().to_owned()
}

/// Waits until the page is connected, its figures and both agents of the sandbox are there.
async fn ready(browser: &mut Browser) {
    let registered = "document.querySelectorAll('#agents .badge.good').length === 2";
    browser.until(registered).await;
    browser.until_says("#link-text", "live").await;
    browser.until_says("#figures", "/s").await;
}

/// Keeps a picture for people to look at.
async fn keep(browser: &mut Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).unwrap();
    let image = browser.screenshot().await;
    fs::write(folder.join(format!("{name}.png")), image).unwrap();
}

/// What the page asked for that is not there. A gateway that keeps no frames has no such call.
fn missing(browser: &Browser) -> Vec<String> {
    let mut missing = browser.missing();
    missing.retain(|url| !url.ends_with("/sip\""));
    missing
}

#[tokio::test]
async fn the_page_shows_what_goes_on_and_sends_a_message_in_light_and_dark() {
    let watched = Watched::open("").await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;

    let trail = send(&mut browser, "ok", "succeeded").await;
    assert!(
        trail.contains("accepted") && trail.contains("200 OK"),
        "{trail}"
    );
    // A failure has its status and its cause, and a refusal says what was wrong.
    let trail = send(&mut browser, "busy", "failed").await;
    assert!(trail.contains("486 Busy Here · Busy"), "{trail}");
    let trail = send(&mut browser, "offline", "failed").await;
    assert!(
        trail.contains("480") && trail.contains("Unavailable"),
        "{trail}"
    );
    let trail = send(&mut browser, "sip:", "refused").await;
    assert!(trail.contains("422: /target"), "{trail}");

    // What comes in is shown with its sender and its first line, and a receipt with its sender.
    for (user, shown) in [
        ("echo", "echo@sandbox.invalid: Hello!"),
        ("reader", "displayed"),
    ] {
        send(&mut browser, user, "succeeded").await;
        browser.until_says("#events", shown).await;
    }
    browser
        .until("document.querySelector('#events a[href^=\"#/received/\"]') !== null")
        .await;
    send(&mut browser, "slow", "succeeded").await;

    for (width, size) in [(1280, "wide"), (390, "phone")] {
        browser.resize(width, 844).await;
        for scheme in ["light", "dark"] {
            browser.prefer(scheme).await;
            keep(&mut browser, &format!("page-{size}-{scheme}")).await;
        }
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(missing(&browser), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn a_message_that_is_followed_does_not_hold_up_the_next_one() {
    let watched = Watched::open("").await;
    let mut browser = Browser::open(&watched.url).await;
    ready(&mut browser).await;
    // The peer never answers: after two seconds the page says what it waits for.
    let trail = send(&mut browser, "silent", "sending").await;
    assert!(trail.contains("to sip:silent@sandbox.invalid"), "{trail}");
    browser
        .until_says("#trail", "waits for the answer to its request")
        .await;
    let trail = send(&mut browser, "ok", "succeeded").await;
    assert!(!trail.contains("silent"), "{trail}");
    browser.close().await;
    // Messages in flight to a peer that never answers are not waited for.
    drop(watched);
}
