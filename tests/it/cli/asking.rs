//! The commands that ask a gateway, against a real one: `send`, `get`, `list`, `cancel`, `agents`,
//! `received`, `webhooks`, `tail --since` and `listen`.

use std::process::Output;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use http::HeaderMap;
use serde_json::Value;
use serde_json::json;
use standardwebhooks::Webhook;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::sync::mpsc;

use super::Ended;
use super::run;
use super::sipost;
use crate::harness::Incoming;
use crate::harness::OpenGateway;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::soon;

fn url(gateway: &OpenGateway) -> String {
    format!("http://{}", gateway.http.address())
}

/// Runs a command against this gateway to its end.
pub(super) async fn ask(gateway: &OpenGateway, arguments: &[&str]) -> Ended {
    run(sipost(arguments).env("SIPOST_URL", url(gateway))).await
}

/// Runs one that must succeed; what it printed.
pub(super) async fn answered(gateway: &OpenGateway, arguments: &[&str]) -> String {
    let ended = ask(gateway, arguments).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

/// The lines that a command goes on to print.
fn lines(child: &mut Child) -> tokio::io::Lines<BufReader<tokio::process::ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

#[tokio::test]
async fn what_is_shown_of_messages_is_what_the_api_says() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Status(200), Reply::Status(486)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    peer.registered(1).await;
    let sent = ask(&gateway, &["send", "bob", "Hello"]).await;
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    assert!(sent.stdout.contains("succeeded"), "{}", sent.stdout);
    let refused = ask(&gateway, &["send", "bob", "Again", "--json"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let last: Value = serde_json::from_str(refused.stdout.lines().last().unwrap()).unwrap();
    let id = last["messageId"].as_str().unwrap();

    let listed = answered(&gateway, &["list"]).await;
    let rows: Vec<&str> = listed.lines().collect();
    assert_eq!(rows.len(), 3, "{listed}");
    for words in ["failed", "Busy: 486", "bob", id] {
        assert!(rows[1].contains(words), "no {words}: {}", rows[1]);
    }
    let failed = answered(&gateway, &["list", "--status", "succeeded", "--json"]).await;
    let only: Vec<Value> = failed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((only.len(), &only[0]["body"]), (1, &json!("Hello")));

    let shown = answered(&gateway, &["get", id]).await;
    for words in ["Again", "failed", "Busy: 486", "sending", "1 of 3"] {
        assert!(shown.contains(words), "no {words}: {shown}");
    }
    let shown = answered(&gateway, &["get", id, "--json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["id"], &shown["status"]),
        (&json!(id), &json!("failed"))
    );
    let unknown = ask(&gateway, &["get", "0193a1b2-0000-7000-8000-000000000000"]).await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(2), ""));
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_that_waits_is_handed_in_and_canceled() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let arguments = [
        "send",
        "bob",
        "Later",
        "--send-at",
        "1h",
        "--no-wait",
        "--json",
    ];
    let accepted = answered(&gateway, &arguments).await;
    let accepted: Value = serde_json::from_str(&accepted).unwrap();
    assert_eq!(accepted["status"], "scheduled");
    let id = accepted["id"].as_str().unwrap();

    let canceled = answered(&gateway, &["cancel", id]).await;
    assert_eq!(canceled, format!("canceled {id}\n"));
    let again = ask(&gateway, &["cancel", id]).await;
    assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""));
    assert!(again.stderr.starts_with("error: "), "{}", again.stderr);
    let line = answered(
        &gateway,
        &["send", "bob", "x", "--send-at", "1h", "--no-wait"],
    )
    .await;
    assert!(line.contains("accepted"), "{line}");
    gateway.stop().await;
}

#[tokio::test]
async fn who_waits_is_told_why_and_agents_says_it_too() {
    let peer = Peer::start().await;
    peer.answer_registers(403);
    // The agent stays in `backoff`, whenever it is asked about.
    let setup = TestGateway::at(&peer)
        .with("sip.recovery_min = '10m'")
        .with("sip.recovery_max = '10m'");
    let gateway = setup.open().await;
    let mut child = sipost(&["send", "bob", "Hello"]);
    let mut child = child.env("SIPOST_URL", url(&gateway)).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let why = soon("the reason", async {
        loop {
            let line = told.next_line().await.unwrap().unwrap();
            if line.contains("403") {
                return line;
            }
        }
    })
    .await;
    let words =
        "waiting for agent: no agent is registered; alice-1: backoff, the registrar said 403";
    assert!(why.contains(words), "{why}");
    child.kill().await.unwrap();

    let agents = ask(&gateway, &["agents"]).await;
    assert_eq!(agents.code, Some(1), "{}", agents.stderr);
    let row = agents.stdout.lines().nth(1).unwrap();
    assert!(row.starts_with("alice-1 ") && row.contains("403"), "{row}");
    let waiting = answered(&gateway, &["list", "--status", "queued"]).await;
    assert!(
        waiting.contains("waiting for a registered agent"),
        "{waiting}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_says_the_id_first_and_then_what_it_waits_for() {
    let peer = Peer::start().await;
    peer.answer_registers(403);
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let request = gateway
        .http
        .request(reqwest::Method::POST, "/messages")
        .header("Accept", "text/event-stream")
        .json(&json!({"target": "bob", "body": "x"}));
    let mut response = request.send().await.unwrap();
    let location = response.headers()["Location"].to_str().unwrap().to_owned();
    let id = location.rsplit('/').next().unwrap().to_owned();
    let mut text = String::new();
    let reads = async {
        while !text.contains(": waiting for agent: ") {
            let bytes = response.chunk().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    };
    soon("the reason", reads).await;
    let first = format!("retry: 3000\n\n: accepted {id}\n\n");
    assert!(text.starts_with(&first), "{text}");
    drop(response);
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_registered_is_a_success() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    peer.registered(1).await;
    soon("the agent is registered", async {
        while ask(&gateway, &["agents"]).await.code != Some(0) {}
    })
    .await;
    let json = answered(&gateway, &["agents", "--json"]).await;
    let agent: Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(agent["state"], "registered");
    gateway.stop().await;
}

#[tokio::test]
async fn what_came_in_is_listed_with_its_id() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    peer.registered(1).await;
    Incoming::text("c1", "Yes, at noon.").answered(&peer).await;
    let listed = answered(&gateway, &["received"]).await;
    let json = answered(&gateway, &["received", "--json"]).await;
    let received: Value = serde_json::from_str(json.trim()).unwrap();
    let id = received["messageId"].as_str().unwrap();
    for words in ["“Yes, at noon.”", id] {
        assert!(listed.contains(words), "no {words}: {listed}");
    }
    let shown = answered(&gateway, &["get", id]).await;
    let sender = received["from"]["uri"].as_str().unwrap();
    for words in ["received", "“Yes, at noon.”", id, sender, "+00:00"] {
        assert!(shown.contains(words), "no {words}: {shown}");
    }
    let shown = answered(&gateway, &["get", id, "--json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, received);
    gateway.stop().await;
}

#[tokio::test]
async fn a_list_of_nothing_is_a_mistake_as_it_is_for_the_api() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = "0193a1b2-0000-7000-8000-000000000000";
    for (arguments, path) in [
        (&["list"][..], "/messages"),
        (&["received"], "/received"),
        (&["webhooks", "deliveries", id], "/webhooks"),
    ] {
        let arguments = [arguments, &["--limit", "0"]].concat();
        let ended = ask(&gateway, &arguments).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stdout);
        let told = "a number from 1 on";
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
        let asked = format!("{}{path}?limit=0", url(&gateway));
        assert_eq!(reqwest::get(asked).await.unwrap().status(), 400, "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_time_that_is_over_is_told_and_the_message_is_sent_at_once() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    peer.registered(1).await;
    let at = "2020-01-01T00:00:00Z";
    let sent = ask(&gateway, &["send", "bob", "Late", "--send-at", at]).await;
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    assert_eq!(
        sent.stderr,
        "2020-01-01 00:00:00+00:00 is in the past: the message is sent at once\n"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_is_no_text_is_told_to_be_so_with_its_bytes() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let arguments = [
        "send",
        "bob",
        "AP8A",
        "--body-encoding",
        "base64",
        "--send-at",
        "1h",
        "--no-wait",
        "--json",
    ];
    let accepted = answered(&gateway, &arguments).await;
    let accepted: Value = serde_json::from_str(&accepted).unwrap();
    let id = accepted["id"].as_str().unwrap();
    let shown = answered(&gateway, &["get", id]).await;
    let words = "3 bytes that are no text; --json has them in base64";
    assert!(shown.contains(words), "{shown}");
    gateway.stop().await;
}

#[tokio::test]
async fn webhooks_are_added_listed_and_removed() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with("webhooks.allowed_networks = ['127.0.0.0/8']");
    let gateway = setup.open().await;
    let hook = "http://127.0.0.1:9/hook";
    let arguments = [
        "webhooks",
        "add",
        hook,
        "--type",
        "failed",
        "--description",
        "on call",
    ];
    let added = answered(&gateway, &arguments).await;
    assert!(added.contains("whsec_"), "{added}");
    let json = answered(&gateway, &["webhooks", "--json"]).await;
    let webhook: Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(
        (&webhook["url"], &webhook["types"]),
        (&json!(hook), &json!(["failed"]))
    );
    let listed = answered(&gateway, &["webhooks"]).await;
    let id = webhook["id"].as_str().unwrap();
    for words in ["enabled", hook, id, "failed", "on call"] {
        assert!(listed.contains(words), "no {words}: {listed}");
    }
    answered(&gateway, &["webhooks", "remove", id]).await;
    assert_eq!(answered(&gateway, &["webhooks", "--json"]).await, "");
    gateway.stop().await;
}

#[tokio::test]
async fn tail_begins_where_it_is_asked_to_and_names_each_message() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    // An hour ago three messages were sent, and another one now.
    let gateway = setup.open().await;
    let mut old = Vec::new();
    for _ in 0..3 {
        old.push(
            gateway
                .http
                .delivered(&json!({"target": "bob", "body": "x"}))
                .await,
        );
    }
    gateway.stop().await;
    let gateway = setup.open_later(std::time::Duration::from_secs(3600)).await;
    let new = gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x"}))
        .await;

    let follows = async |since: &str| {
        let mut child = sipost(&["tail", "--since", since, "--type", "succeeded"])
            .env("SIPOST_URL", url(&gateway))
            .spawn()
            .unwrap();
        let mut lines = lines(&mut child);
        let line = loop {
            let line = soon("a line", lines.next_line()).await;
            let line = line.unwrap().unwrap();
            if !line.starts_with("──") {
                break line;
            }
        };
        child.kill().await.unwrap();
        line
    };
    let first = follows("earliest").await;
    assert!(first.contains(old[0]["id"].as_str().unwrap()), "{first}");
    // The clock of the command is not that of the gateway: the new message is an hour ahead of it.
    let recent = follows("0s").await;
    assert!(recent.contains(new["id"].as_str().unwrap()), "{recent}");
    let all = follows("2h").await;
    assert!(all.contains(old[0]["id"].as_str().unwrap()), "{all}");

    for (arguments, words) in [
        (["tail", "--since", "1-9999999999999999"], "--since"),
        (["tail", "--since", "yesterday"], "earliest"),
        (
            [
                "tail",
                "--message-id",
                "0193a1b2-0000-7000-8000-000000000000",
            ],
            "error: ",
        ),
    ] {
        let ended = ask(&gateway, &arguments).await;
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(
            ended.stderr.contains(words),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn listen_posts_events_signed_as_a_webhook_would_be() {
    let (posts, mut posted) = mpsc::unbounded_channel::<(HeaderMap, Bytes)>();
    let hook = post(move |headers: HeaderMap, body: Bytes| {
        posts.send((headers, body)).unwrap();
        async { http::StatusCode::NO_CONTENT }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", hook);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    peer.registered(1).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let mut command = sipost(&["listen", "--forward-to", &to, "--secret", secret]);
    let mut child = command.env("SIPOST_URL", url(&gateway)).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let begins = soon("it follows", told.next_line()).await.unwrap().unwrap();
    assert!(begins.contains("following"), "{begins}");

    let sent = gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x"}))
        .await;
    let verifier = Webhook::new(secret).unwrap();
    for kind in ["sending", "succeeded"] {
        let (headers, body) = soon("a post", posted.recv()).await.unwrap();
        verifier.verify(&body, &headers).unwrap();
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&event["type"], &event["messageId"]),
            (&json!(kind), &sent["id"])
        );
        assert_eq!(headers["webhook-id"], event["id"].as_str().unwrap());
    }
    let answered = soon("the answer", told.next_line()).await.unwrap().unwrap();
    assert!(answered.contains("204 No Content"), "{answered}");
    child.kill().await.unwrap();
    gateway.stop().await;
}

/// In a terminal of this width, as `script` makes one.
async fn in_terminal(columns: u16, command: &str) -> String {
    let shell = format!("stty cols {columns} rows 50; {command}");
    let output: Output = tokio::process::Command::new("script")
        .args(["-qec", &shell, "/dev/null"])
        .env("TERM", "dumb")
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    shown
}

#[tokio::test]
async fn lines_fit_the_terminal_and_a_pipe_gets_all_of_them() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    peer.registered(1).await;
    let target = format!("sip:{}@example.com", "bob".repeat(30));
    let sent = gateway
        .http
        .delivered(&json!({"target": target, "body": "x"}))
        .await;
    let id = sent["id"].as_str().unwrap();
    let program = env!("CARGO_BIN_EXE_sipost");
    for columns in [60, 100, 130] {
        for command in ["list", "agents"] {
            let line = format!("{program} {command} --url {}", url(&gateway));
            let shown = in_terminal(columns, &line).await;
            for line in shown.lines() {
                let width = line.trim_end().chars().count();
                assert!(width <= columns.into(), "{columns}: {line}");
            }
            assert!(command != "list" || shown.contains(id), "{shown}");
        }
    }
    let piped = answered(&gateway, &["list"]).await;
    assert!(piped.contains(&target) && !piped.contains('…'), "{piped}");
    assert_eq!(piped.lines().count(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_words_of_the_gateway() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let id = "0193a1b2-0000-7000-8000-000000000000";
    for arguments in [
        &["trace", id][..],
        &["get", id],
        &["tail", "--message-id", id],
    ] {
        let ended = ask(&gateway, arguments).await;
        let told = "error: Not found: no message has this id\n";
        assert_eq!(
            (ended.code, &*ended.stderr),
            (Some(2), told),
            "{arguments:?}"
        );
        let below = format!("{}/nope", url(&gateway));
        let ended = run(sipost(arguments).env("SIPOST_URL", &below)).await;
        let told = "error: Not found: there is nothing at this path; /docs lists the paths (the URL \
                    of the gateway has the path /nope)\n";
        assert_eq!(
            (ended.code, &*ended.stderr),
            (Some(2), told),
            "{arguments:?}"
        );
    }
    let none = ask(&gateway, &["received"]).await;
    assert_eq!((none.code, &*none.stdout), (Some(0), ""));
    assert_eq!(none.stderr, "no message has come in\n");
    for (arguments, told) in [
        (&["list"][..], "no message is listed\n"),
        (&["webhooks"], "there is no webhook\n"),
    ] {
        let none = ask(&gateway, arguments).await;
        assert_eq!((none.code, &*none.stderr), (Some(0), told));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn health_asks_where_it_is_told_to_or_says_where_it_looked() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let here = url(&gateway);
    for (path, found) in [("/readyz", "ready"), ("/livez", "alive")] {
        let mut arguments = vec!["health", "--url", &here];
        arguments.extend((found == "alive").then_some("--live"));
        let ended = run(&mut sipost(&arguments)).await;
        let told = format!("{found}: {here}{path} answers 200 OK\n");
        assert_eq!(
            (ended.code, ended.stdout),
            (Some(0), told),
            "{}",
            ended.stderr
        );
    }
    gateway.stop().await;

    let ended = run(&mut sipost(&["health", "--url", &here])).await;
    let told = format!(
        "error: nothing answers at {here}/readyz: Connection refused; does a gateway run there?\n"
    );
    assert_eq!((ended.code, ended.stderr), (Some(1), told));
    let listen = here.trim_start_matches("http://");
    let ended = run(sipost(&["health"]).env("SIPOST__HTTP__LISTEN", listen)).await;
    let told = format!(
        "error: nothing answers at {here}/readyz: Connection refused; is `sipost serve` running? \
         (the address is `http.listen` of the configuration; --url asks elsewhere)\n"
    );
    assert_eq!((ended.code, ended.stderr), (Some(1), told));
}

/// One that was canceled has no attempt, so none of its events has a target.
#[tokio::test]
async fn the_target_of_what_was_never_sent_is_shown_all_the_same() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.open().await;
    let arguments = ["send", "bob", "x", "--send-at", "1h", "--no-wait", "--json"];
    let accepted = answered(&gateway, &arguments).await;
    let accepted: Value = serde_json::from_str(&accepted).unwrap();
    let id = accepted["id"].as_str().unwrap();
    answered(&gateway, &["cancel", id]).await;
    let shown = answered(&gateway, &["get", id]).await;
    let last = shown.lines().last().unwrap();
    assert!(last.contains("Canceled") && last.contains(" bob"), "{last}");
    gateway.stop().await;
}
