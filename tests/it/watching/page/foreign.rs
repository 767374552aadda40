//! Pages of other origins, in a real browser: they change nothing, and read nothing.

use axum::Router;
use axum::response::Html;
use serde_json::json;
use tokio::net::TcpListener;

use super::super::Watched;
use super::browser::Browser;

/// Everything that a page may try without being asked, and what it could read.
const ATTACK: &str = r#"
(async (base, agent, sip) => {
  const message = '{"target": "ok", "body": "from a page"}';
  const post = (path, body, more) =>
    fetch(base + path, { method: 'POST', mode: 'no-cors', body, ...more });
  const form = document.createElement('form');
  const frame = document.createElement('iframe');
  frame.name = 'frame';
  Object.assign(form, { action: base + '/messages', method: 'post', target: 'frame', enctype: 'text/plain' });
  const field = document.createElement('input');
  Object.assign(field, { name: '{"target": "ok", "metadata": {"a": "', value: '"}, "body": ""}' });
  form.append(field);
  document.body.append(frame, form);
  const loaded = new Promise((done) => { frame.onload = done; });
  form.submit();
  await Promise.allSettled([
    post('/messages', new Blob([message])),
    post('/messages', message),
    post('/webhooks', new Blob(['{"url": "https://evil.example/"}'])),
    post(`/agents/${agent}/drain`),
    post(`/agents/${agent}/reregister`, new Blob([])),
    fetch(base + '/messages', {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: message,
    }),
    loaded,
  ]);
  navigator.sendBeacon(base + '/messages', new Blob([message]));
  const read = await fetch(base + '/messages').then((answer) => answer.text(), () => 'nothing');
  const socket = await new Promise((done) => {
    const socket = new WebSocket(sip, 'sip');
    socket.onopen = () => done('open');
    socket.onerror = () => done('refused');
  });
  return [read, socket];
})
"#;

/// A page of another origin; its port.
async fn page() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().fallback(async || Html("<!doctype html><title>Evil</title><body>"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_and_reads_nothing() {
    let watched = Watched::open("").await;
    let agent = watched.get("/agents").await["data"][0].clone();
    let (id, sip) = (&agent["id"], &agent["server"]);
    let attack = format!("{ATTACK}({}, {id}, {sip})", json!(watched.url));
    let port = page().await;
    // Of another site, and of the same site at another port.
    for host in ["localhost", "127.0.0.1"] {
        let mut browser = Browser::open(&format!("http://{host}:{port}/")).await;
        let tried = browser.evaluate(&attack).await;
        assert_eq!(tried, json!(["nothing", "refused"]), "{host}");
        browser.close().await;
        assert_eq!(watched.get("/messages").await["data"], json!([]));
        assert_eq!(watched.get("/webhooks").await["data"], json!([]));
        for agent in watched.get("/agents").await["data"].as_array().unwrap() {
            assert_ne!(agent["state"], "draining");
        }
    }
    watched.stop().await;
}

#[tokio::test]
async fn a_page_of_a_listed_origin_sends_and_reads() {
    let port = page().await;
    let origin = format!("http://localhost:{port}");
    let watched = Watched::open(&format!("http.cors_origins = ['{origin}']")).await;
    let mut browser = Browser::open(&origin).await;
    let send = format!(
        "fetch({}, {{ method: 'POST', headers: {{ 'content-type': 'application/json', \
         'cache-control': 'no-cache' }}, body: '{{\"target\": \"ok\", \"body\": \"\"}}' }})\
         .then((answer) => answer.status)",
        json!(format!("{}/messages", watched.url))
    );
    assert_eq!(browser.evaluate(&send).await, 202);
    browser.close().await;
    assert_ne!(watched.get("/messages").await["data"], json!([]));
    watched.stop().await;
}

#[tokio::test]
async fn a_name_that_was_pointed_here_reads_nothing() {
    let watched = Watched::open("").await;
    watched.send("ok").await;
    let port = watched.url.rsplit(':').next().unwrap();
    for path in ["/", "/messages", "/events"] {
        let url = format!("http://rebound.example:{port}{path}");
        let mut browser = Browser::open(&url).await;
        let shown = browser.evaluate("[location.href, document.body.innerText]");
        let shown = shown.await;
        assert_eq!(shown[0], url);
        let text = shown[1].as_str().unwrap();
        assert!(text.contains("/problems/misdirected"), "{text}");
        browser.close().await;
    }
    watched.stop().await;
}
