//! What is not for the log is not in it, at any level.

use rustix::process::Signal;
use serde_json::json;
use sipost::sandbox;

use super::Running;
use super::account;
use super::json_of;
use super::message;
use super::registered;
use super::sip_server;
use super::token;

/// Words that stand for what must not be told, each where it would be.
const TOKEN: &str = "planted-token-7f3a";
const WRONG_TOKEN: &str = "planted-wrong-token-9c1d";
const BODY: &str = "planted-body-51be";
const WRONG_BODY: &str = "planted-wrong-body-e0a7";
const HEADER: &str = "planted-header-44d0";
const METADATA: &str = "planted-metadata-b86c";
const PASSWORD: &str = "planted-password-0d95";
const COOKIE: &str = "planted-cookie-a2f8";
const KEY: &str = "planted-key-66e1";
const QUERY: &str = "planted-query-c3b4";
const WEBHOOK: &str = "cGxhbnRlZC13ZWJob29rLXNlY3JldC0xMjM0";

#[tokio::test]
async fn bodies_credentials_and_tokens_are_never_printed() {
    let (server, _received) = sip_server(&[]).await;
    let tokens = token("backend", TOKEN, "");
    let liar = account("mallory", &server, "").replace("\"mallory\"", &format!("\"{PASSWORD}\""));
    let text = format!(
        "[http]\ntokens = [{tokens}]\n\
         [telemetry]\nlog_level = \"trace\"\n\
         [webhooks]\nsecret = \"whsec_{WEBHOOK}\"\n\
         [sip]\nupgrade_headers = [\"Cookie: {COOKIE}\"]\n{}{liar}",
        account("alice", &server, "")
    );
    let mut gateway = Running::start(&text).await;

    let post = |token: &str| gateway.post("/messages").bearer_auth(token);
    let mut new = message("ok");
    new["body"] = BODY.into();
    new["from"] = format!("sip:alice@{}", sandbox::DOMAIN).into();
    new["extraHeaders"] = json!([format!("X-Secret: {HEADER}")]);
    new["metadata"] = json!({ "a": METADATA });
    let sent = post(TOKEN).header("prefer", "wait=30");
    let (status, ended) = json_of(sent.header("idempotency-key", KEY).json(&new)).await;
    assert_eq!(
        (status, &ended["status"]),
        (200, &"succeeded".into()),
        "{ended}"
    );

    // What is refused is told of too, and not in the client's words.
    assert_eq!(json_of(post(WRONG_TOKEN).json(&new)).await.0, 401);
    let wrong = json!({ "target": "ok", "body": "", "ttl": WRONG_BODY });
    assert_eq!(json_of(post(TOKEN).json(&wrong)).await.0, 422);
    let wrong = json!({ "target": format!("sip:{WRONG_BODY}@@"), "body": [WRONG_BODY] });
    assert_eq!(json_of(post(TOKEN).json(&wrong)).await.0, 422);
    let nonsense = post(TOKEN).header("content-type", "application/json");
    assert_eq!(json_of(nonsense.body(WRONG_BODY)).await.0, 400);
    let query = gateway.get(&format!("/messages?status={QUERY}"));
    assert_eq!(json_of(query.bearer_auth(TOKEN)).await.0, 400);

    gateway.signal(Signal::HUP);
    gateway.line("configuration reloaded").await;
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, Some(0));

    let printed = gateway.output();
    // It did tell of all this.
    for told in [
        "succeeded",
        "refused",
        "answered",
        "backend",
        "trying again",
    ] {
        assert!(printed.contains(told), "{told} is not told of:\n{printed}");
    }
    for secret in [
        TOKEN,
        WRONG_TOKEN,
        BODY,
        WRONG_BODY,
        HEADER,
        METADATA,
        PASSWORD,
        COOKIE,
        KEY,
        QUERY,
        WEBHOOK,
    ] {
        let found = printed.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret} is printed");
    }
}

/// Providers hand out URLs with a token in the query.
#[tokio::test]
async fn the_query_of_a_server_s_url_is_shown_nowhere() {
    let (server, _received) = sip_server(&[]).await;
    let servers = format!(
        "[{{ url = \"wss://localhost:1/ws?token={QUERY}\", weight = 1 }}, \
         \"{server}?token={QUERY}\"]"
    );
    let text = format!(
        "[telemetry]\nlog_level = \"trace\"\n{}",
        account("alice", &server, "").replace(&format!("[\"{server}\"]"), &servers)
    );
    let mut gateway = Running::start(&text).await;
    let agents = gateway.agents(registered(&["alice-1"])).await;
    let shown = agents[0]["server"].as_str().unwrap();
    assert!(
        shown.starts_with("ws://") && shown.ends_with("?***"),
        "{shown}"
    );

    let config = tokio::process::Command::new(env!("CARGO_BIN_EXE_sipost"))
        .args(["config", "--config", "sipost.toml"])
        .env_clear()
        .current_dir(gateway.path(""))
        .output();
    let config = config.await.unwrap();
    assert_eq!(config.status.code(), Some(0));
    let config = String::from_utf8(config.stdout).unwrap();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, Some(0));

    for printed in [config, gateway.output()] {
        assert!(printed.contains("wss://localhost:1/ws?***"), "{printed}");
        let found = printed.lines().find(|line| line.contains(QUERY));
        assert_eq!(found, None, "{QUERY} is printed");
    }
}

#[tokio::test]
async fn targets_are_printed_as_hashes_where_that_is_asked_for() {
    let (server, _received) = sip_server(&[]).await;
    for (targets, is_plain) in [("plain", true), ("hashed", false)] {
        let text = format!(
            "[telemetry]\nlog_level = \"trace\"\ntargets = \"{targets}\"\n{}",
            account("alice", &server, "")
        );
        let mut gateway = Running::start(&text).await;
        gateway.agents(registered(&["alice-1"])).await;
        let sent = gateway.post("/messages").header("prefer", "wait=30");
        let (_, ended) = json_of(sent.json(&message("decline"))).await;
        assert_eq!(ended["status"], "failed", "{ended}");
        gateway.line("a message failed").await;
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.ended().await, Some(0));

        let printed = gateway.output();
        let id = ended["id"].as_str().unwrap();
        assert!(printed.contains(id), "the message is not told of");
        assert_eq!(printed.contains("sip:decline@"), is_plain, "{printed}");
    }
}

/// What collectors are sent carries a key; a proxy of the environment is not for this machine.
#[cfg(feature = "otlp")]
#[tokio::test]
async fn spans_for_this_machine_go_past_the_proxy_of_the_environment() {
    let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (collector, proxy) = (listen().await, listen().await);
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    let variables = ["HTTP_PROXY", "http_proxy", "ALL_PROXY"].map(|name| (name, &*proxy_url));
    let endpoint = collector.local_addr().unwrap();
    let text = format!("[telemetry]\notlp_endpoint = \"http://{endpoint}\"\n");
    let folder = tempfile::tempdir().unwrap();
    let gateway = Running::start_with(folder, &text, &variables).await;
    let posted = gateway.post("/messages").json(&super::message("ok"));
    assert_eq!(json_of(posted).await.0, 202);
    let told = tokio::time::timeout(super::PATIENCE, collector.accept()).await;
    assert!(told.is_ok(), "the collector was not told");
    let asked = tokio::time::timeout(std::time::Duration::ZERO, proxy.accept()).await;
    assert!(asked.is_err(), "the proxy was asked");
}
