//! The page at `/` in a real browser: Debian's Chromium, without a window.

mod browser;
mod foreign;

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

/// Waits until this is true.
const UNTIL: &str = r#"
(async (is) => {
  while (!is()) await new Promise((done) => setTimeout(done, 20));
  return true;
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
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("docs.png"), browser.screenshot().await).unwrap();
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}

#[tokio::test]
async fn the_page_shows_what_goes_on_and_sends_a_message_in_light_and_dark() {
    let watched = Watched::open("").await;
    let mut browser = Browser::open(&watched.url).await;
    let registered = "document.querySelectorAll('#agents .badge.good').length === 2";
    browser
        .evaluate(&format!("{UNTIL}(() => {registered})"))
        .await;

    let trail = browser
        .evaluate(&format!("{SEND}('ok', 'succeeded')"))
        .await;
    let trail = trail.as_str().unwrap().to_owned();
    assert!(
        trail.contains("accepted") && trail.contains("200 OK"),
        "{trail}"
    );
    let trail = browser.evaluate(&format!("{SEND}('busy', 'failed')")).await;
    let trail = trail.as_str().unwrap().to_owned();
    assert!(trail.contains("486 Busy Here"), "{trail}");
    let trail = browser
        .evaluate(&format!("{SEND}('sip:', 'refused')"))
        .await;
    assert!(trail.as_str().unwrap().contains("/target"), "{trail}");

    // What comes in is shown with its sender and its first line, and a receipt with its sender.
    for (user, shown) in [
        ("echo", "echo@sandbox.invalid: Hello!"),
        ("reader", "displayed"),
    ] {
        browser
            .evaluate(&format!("{SEND}('{user}', 'succeeded')"))
            .await;
        let text = "document.getElementById('events').innerText";
        browser
            .evaluate(&format!("{UNTIL}(() => {text}.includes('{shown}'))"))
            .await;
    }
    let link = "document.querySelector('#events a[href^=\"/received/\"]') !== null";
    assert_eq!(browser.evaluate(link).await, true);

    // Everybody's events came over the stream of the log: two of each message.
    let events = "document.querySelectorAll('#events .badge').length >= 4";
    browser.evaluate(&format!("{UNTIL}(() => {events})")).await;
    let sent = "document.querySelector('#agents').innerText.includes('registered')";
    assert_eq!(browser.evaluate(sent).await, true);
    let live = "document.getElementById('link').className";
    assert_eq!(browser.evaluate(live).await, "link live");
    let figures = "document.getElementById('accepted').textContent !== '–'";
    browser.evaluate(&format!("{UNTIL}(() => {figures})")).await;

    browser
        .evaluate(&format!("{SEND}('slow', 'succeeded')"))
        .await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).unwrap();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        let image = browser.screenshot().await;
        fs::write(folder.join(format!("{scheme}.png")), image).unwrap();
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.close().await;
    watched.stop().await;
}
