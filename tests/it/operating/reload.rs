//! SIGHUP: the configuration is read again, whole or not at all.

use std::time::Duration;

use serde_json::Value;
use sipost::sandbox;

use super::PATIENCE;
use super::Running;
use super::account;
use super::json_of;
use super::message;
use super::registered;
use super::sip_server;
use super::token;

#[tokio::test]
async fn agents_that_stay_are_not_disturbed_and_the_others_come_and_go() {
    let server = sip_server(&[]).await.0;
    let (alice, bob) = (account("alice", &server, ""), account("bob", &server, ""));
    let mut gateway = Running::start(&format!("{alice}{bob}")).await;
    let before = gateway.agents(registered(&["alice-1", "bob-1"])).await;

    let carol = account("carol", &server, "connections = 2");
    gateway.reload(&format!("{alice}{carol}"));
    let line = gateway.line("configuration reloaded").await;
    assert!(
        line.contains("\"agents.started\":\"carol-1, carol-2\""),
        "{line}"
    );
    assert!(line.contains("\"agents.ended\":\"bob-1\""), "{line}");

    let after = gateway
        .agents(registered(&["alice-1", "carol-1", "carol-2"]))
        .await;
    assert_eq!(after[0], before[0], "alice was disturbed");

    let as_carol = format!("sip:carol@{}", sandbox::DOMAIN);
    let mut new = message("ok");
    new["from"] = as_carol.into();
    let sent = gateway.post("/messages").header("prefer", "wait=30");
    let (status, ended) = json_of(sent.json(&new)).await;
    assert_eq!(
        (status, &ended["status"]),
        (200, &"succeeded".into()),
        "{ended}"
    );
    new["from"] = format!("sip:bob@{}", sandbox::DOMAIN).into();
    let refused = gateway.post("/messages").json(&new);
    assert_eq!(json_of(refused).await.0, 422);
}

#[tokio::test]
async fn agents_are_listed_in_the_order_of_the_configuration_after_a_reload_too() {
    let server = sip_server(&[]).await.0;
    let alice = |settings| account("alice", &server, settings);
    let (bob, carol) = (account("bob", &server, ""), account("carol", &server, ""));
    let gateway = Running::start(&format!("{}{bob}", alice("connections = 2"))).await;
    gateway
        .agents(listed(&["alice-1", "alice-2", "bob-1"]))
        .await;

    let (more, less) = (alice("connections = 11"), alice(""));
    let elevens = (1..=11).map(|number| format!("alice-{number}"));
    let ids: Vec<String> = ["carol-1".to_owned()]
        .into_iter()
        .chain(elevens)
        .chain(["bob-1".to_owned()])
        .collect();
    gateway.reload(&format!("{carol}{more}{bob}"));
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    gateway.agents(listed(&ids)).await;
    gateway.reload(&format!("{bob}{less}{carol}"));
    gateway
        .agents(listed(&["bob-1", "alice-1", "carol-1"]))
        .await;
}

/// Whether these agents are listed, in this order.
fn listed(ids: &[&str]) -> impl Fn(&[Value]) -> bool {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    move |agents| {
        agents
            .iter()
            .map(|agent| agent["id"].as_str().unwrap())
            .eq(&ids)
    }
}

#[tokio::test]
async fn an_account_that_changed_has_its_agents_replaced() {
    let server = sip_server(&[]).await.0;
    let mut gateway = Running::start(&account("alice", &server, "")).await;
    gateway.agents(registered(&["alice-1"])).await;

    let changed = account("alice", &server, "extra_headers = [\"X-New: yes\"]");
    gateway.reload(&changed);
    let line = gateway.line("configuration reloaded").await;
    assert!(line.contains("\"agents.replaced\":\"alice-1\""), "{line}");
    gateway.agents(registered(&["alice-1"])).await;

    let sent = gateway.post("/messages").header("prefer", "wait=30");
    let (_, ended) = json_of(sent.json(&message("ok"))).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let events = format!("/messages/{}/events", ended["id"].as_str().unwrap());
    let (_, events) = json_of(gateway.get(&events)).await;
    let headers = &events["data"][0]["request"]["headers"];
    assert_eq!(headers["X-New"][0], "yes", "{events}");
}

#[tokio::test]
async fn how_many_agents_there_are_and_what_they_send_changes_without_disturbing_them() {
    let server = sip_server(&[]).await.0;
    let two = account("alice", &server, "connections = 2");
    let mut gateway = Running::start(&two).await;
    let before = gateway.agents(registered(&["alice-1", "alice-2"])).await;

    gateway.reload(&account("alice", &server, "connections = 1\nrate = 7"));
    let line = gateway.line("configuration reloaded").await;
    assert!(line.contains("\"agents.ended\":\"alice-2\""), "{line}");
    let after = gateway.agents(registered(&["alice-1"])).await;
    assert_eq!(after[0], before[0], "alice-1 was disturbed");
}

#[tokio::test]
async fn a_configuration_with_mistakes_changes_nothing_and_every_mistake_is_told() {
    let server = sip_server(&[]).await.0;
    let alice = account("alice", &server, "");
    let mut gateway = Running::start(&alice).await;
    let before = gateway.agents(registered(&["alice-1"])).await;

    gateway.reload(&format!(
        "[delivery]\nttl = \"soon\"\n{}{}",
        account("bob", &server, ""),
        account("carol", &server, "connections = 0")
    ));
    let first = gateway.line("mistake in the configuration").await;
    let second = gateway.line("mistake in the configuration").await;
    for place in ["delivery.ttl", "account[1].connections"] {
        assert!(first.contains(place) || second.contains(place), "{place}");
    }
    gateway.line("failed to reload the configuration").await;
    let after = gateway.agents(registered(&["alice-1"])).await;
    assert_eq!(after, before);

    // And it goes on listening to the signal.
    gateway.reload(&format!("[delivery]\nttl = \"2h\"\n{alice}"));
    let line = gateway.line("configuration reloaded").await;
    assert!(line.contains("\"settings\":\"delivery.ttl\""), "{line}");
    let (_, accepted) = json_of(gateway.post("/messages").json(&message("ok"))).await;
    assert_eq!(accepted["ttl"], 7200);
}

#[tokio::test]
async fn tokens_come_and_go_and_the_streams_of_those_that_went_are_ended() {
    let (stays, goes) = (token("stays", "s", ""), token("goes", "g", ""));
    let mut gateway = Running::start(&format!("[http]\ntokens = [{stays}, {goes}]\n")).await;
    let follow = async |secret: &str| {
        let request = gateway.get("/events").bearer_auth(secret);
        let request = request.header("accept", "text/event-stream");
        let mut stream = request.send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream.chunk().await.unwrap();
        stream
    };
    let (mut kept, mut ended) = (follow("s").await, follow("g").await);

    let comes = token("comes", "c", "");
    gateway.reload(&format!("[http]\ntokens = [{stays}, {comes}]\n"));
    let line = gateway.line("configuration reloaded").await;
    assert!(line.contains("\"tokens.added\":\"comes\""), "{line}");
    assert!(line.contains("\"tokens.removed\":\"goes\""), "{line}");

    let to_its_end = async { while ended.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, to_its_end).await.unwrap();
    let goes_on = tokio::time::timeout(Duration::from_millis(50), kept.chunk()).await;
    assert!(
        !matches!(goes_on, Ok(Ok(None))),
        "the other stream was ended too"
    );
    for (secret, status) in [("s", 200), ("g", 401), ("c", 200)] {
        let answer = gateway.get("/messages").bearer_auth(secret).send().await;
        assert_eq!(answer.unwrap().status(), status, "{secret}");
    }
}

#[tokio::test]
async fn what_cannot_change_while_it_runs_is_named() {
    let mut gateway = Running::start("").await;
    gateway.reload("[delivery]\nmax_queued = 5\nttl = \"2h\"\n[store]\nurl = \"sqlite://x.db\"\n");
    gateway.line("configuration reloaded").await;
    let line = gateway.line("take effect at the next start").await;
    assert!(line.contains("delivery.max_queued, store.url"), "{line}");
    assert!(!line.contains("delivery.ttl"), "{line}");
}

#[tokio::test]
async fn the_last_token_is_not_taken_from_a_gateway_that_others_reach() {
    let open = "listen = \"0.0.0.0:0\"";
    let with_token = format!("[http]\n{open}\ntokens = [{}]\n", token("t", "t", ""));
    let mut gateway = Running::start(&with_token).await;
    let port = gateway.url.rsplit(':').next().unwrap().to_owned();
    gateway.url = format!("http://127.0.0.1:{port}");

    gateway.reload("[http]\nlisten = \"127.0.0.1:0\"\n");
    let line = gateway.line("failed to reload the configuration").await;
    assert!(line.contains("http.tokens: none is left"), "{line}");
    let asked = gateway.get("/messages").send().await.unwrap();
    assert_eq!(asked.status(), 401);
}
