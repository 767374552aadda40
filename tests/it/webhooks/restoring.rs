//! A copy that is made and put back while clients post, read, and are posted to.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use serde_json::json;
use tokio::process::Command;

use super::OWN_SECRET;
use super::receiver::Receiver;
use super::receiver::Reply;
use crate::harness::Client;
use crate::harness::Peer;
use crate::harness::TestGateway;
use crate::harness::soon;

/// What a command on this store said, and its exit code.
async fn sipost(store: &Path, command: &str, file: &Path) -> (Option<i32>, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_sipost"))
        .args([command.as_ref(), file.as_os_str()])
        .env_clear()
        .env(
            "SIPOST__STORE__URL",
            format!("sqlite://{}", store.display()),
        )
        .current_dir(store.parent().unwrap())
        .output();
    let ended = soon("the end of the command", ended).await.unwrap();
    let text = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(text).unwrap())
}

/// Posts messages until it is told to end; how many were taken in.
async fn post(http: Client, user: u32, mut end: tokio::sync::watch::Receiver<bool>) -> Vec<String> {
    let mut ids = Vec::new();
    while !*end.borrow_and_update() {
        let message = json!({"target": format!("user{user}"), "body": "x"});
        let request = http.request(reqwest::Method::POST, "/messages");
        let Ok(answer) = http.try_send(request.json(&message)).await else {
            break;
        };
        assert_eq!(answer.status, 202);
        ids.push(answer.body["id"].as_str().unwrap().to_owned());
    }
    ids
}

/// What an event says, apart from what it is called.
fn content(event: &Value) -> String {
    let mut event = event.clone();
    event.as_object_mut().unwrap().remove("id");
    event.to_string()
}

/// The ids that each reader was told, and of what.
#[derive(Default)]
struct Told(BTreeMap<String, String>);

impl Told {
    fn take(&mut self, event: &Value) {
        let id = event["id"].as_str().unwrap().to_owned();
        let before = self.0.insert(id.clone(), content(event));
        assert!(
            before.is_none_or(|before| before == content(event)),
            "{id} is given to two events"
        );
    }
}

#[tokio::test]
async fn a_reader_and_a_receiver_that_ignore_repeated_ids_miss_nothing_after_a_restore() {
    let mut count = 0;
    let receiver = Receiver::answering(move |_| {
        count += 1;
        let status = if count % 3 == 0 { 503 } else { 200 };
        Reply::Status(status, "")
    })
    .await;
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer)
        .with("webhooks.allowed_networks = ['127.0.0.0/8']")
        .with(
            "webhooks.schedule = ['10ms', '10ms', '10ms', '10ms', '10ms', '10ms', '10ms', '10ms']",
        )
        .with(&format!("webhooks.secret = '{OWN_SECRET}'"));
    let store = setup.store();
    let file = store.with_file_name("copy.db");
    let gateway = setup.launch().await;
    let webhook = json!({"url": receiver.url("/hook")});
    let request = gateway.http.request(reqwest::Method::POST, "/webhooks");
    let created = gateway.http.send(request.json(&webhook)).await;
    assert_eq!(created.status, 201);

    let (end, ending) = tokio::sync::watch::channel(false);
    let mut clients = tokio::task::JoinSet::new();
    for user in 0..4 {
        clients.spawn(post(gateway.http.clone(), user, ending.clone()));
    }
    let mut told = Told::default();
    let mut stream = gateway.http.stream("/events?lastEventId=earliest").await;
    let mut last = String::new();
    for place in 0..400 {
        if place == 100 {
            let (code, text) = sipost(&store, "backup", &file).await;
            assert_eq!(code, Some(0), "{text}");
            let (code, text) = sipost(&store, "backup", &file).await;
            assert_eq!(code, Some(1), "{text}");
            let (code, text) = sipost(&store, "restore", &file).await;
            assert_eq!(code, Some(1), "{text}");
            assert!(text.contains("another sipost has it open"), "{text}");
        }
        let event = stream.next().await;
        told.take(&event.data);
        last = event.id;
    }
    gateway.kill().await;
    clients.join_all().await;
    drop(end);

    let (code, text) = sipost(&store, "restore", &file).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("what was there is"), "{text}");
    let gateway = setup.launch().await;
    let mut stream = gateway.http.stream_after("/events", &last).await;
    let gap = stream.next().await;
    assert_eq!(gap.name, "gap");
    assert_eq!(gap.data["requested"], last.as_str());

    let mut ids = Vec::new();
    for user in 0..20 {
        let message = json!({"target": format!("user{}", user % 4), "body": "y"});
        ids.push(gateway.http.accepted(&message).await);
    }
    let mut after: Vec<Value> = Vec::new();
    let mut ended = BTreeSet::new();
    let mut opened = BTreeSet::new();
    while !ids.iter().all(|id| ended.contains(id)) || opened != ended {
        let event = stream.next().await.data;
        told.take(&event);
        let message = event["messageId"].as_str().unwrap().to_owned();
        let kind = event["type"].as_str().unwrap();
        if kind == "succeeded" || kind == "failed" {
            assert!(ended.insert(message), "two ends: {event}");
        } else {
            opened.insert(message);
        }
        after.push(event);
    }

    // What the log has, it has told under one id, and everything that its receiver may have missed.
    let expected: BTreeSet<_> = after.iter().map(content).collect();
    receiver
        .wait_for("every event", |posts| {
            let mut unique = Told::default();
            for post in posts {
                let event = post.event();
                assert_eq!(event["id"], post.header("webhook-id"));
                unique.take(&event);
            }
            let seen: BTreeSet<_> = unique.0.into_values().collect();
            expected.is_subset(&seen)
        })
        .await;
    gateway.stop().await;
}
