//! What comes in, through the whole gateway: from the wire to the log, and back to its sender.

use std::collections::HashSet;
use std::net::TcpListener;
use std::process::Stdio;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Command;

use crate::harness::Client;
use crate::harness::Incoming;
use crate::harness::Peer;
use crate::harness::PeerAnswer;
use crate::harness::Reply;
use crate::harness::Seed;
use crate::harness::TestGateway;
use crate::harness::soon;
use crate::operating::Running;
use crate::operating::json_of;
use crate::webhooks::receiver::Receiver;

/// How often the gateway is killed, and how many messages come in each time.
const ROUNDS: usize = 10;
const AT_ONCE: usize = 20;

/// The sender knows of a message what it was answered, and sends again what was not answered: it
/// may be in the store all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_while_messages_come_in_it_takes_each_once() {
    let seed = Seed::take("receiving::");
    let mut rng = SmallRng::seed_from_u64(seed.0);
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with_agents(2);
    let mut gateway = setup.launch().await;
    peer.bound(2).await;
    let mut sent: Vec<Incoming> = Vec::new();

    for round in 0..ROUNDS {
        let texts = (0..AT_ONCE).map(|n| Incoming::text(&format!("{round}-{n}"), "Hello!"));
        sent.extend(texts);
        for text in sent.iter().skip(round * AT_ONCE) {
            text.send(&peer);
        }
        let some = round * AT_ONCE + rng.random_range(0..AT_ONCE);
        until_taken(&peer, some).await;
        gateway.kill().await;
        gateway = setup.launch().await;
        peer.bound(2).await;
        let taken = taken(&peer);
        for text in sent.iter().filter(|text| !taken.contains(&text.call_id)) {
            text.send(&peer);
        }
        until_taken(&peer, sent.len()).await;
    }

    let mut stored = call_ids(&gateway.http).await;
    let mut all: Vec<_> = sent.into_iter().map(|text| text.call_id).collect();
    stored.sort_unstable();
    all.sort_unstable();
    assert_eq!(stored, all);
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_answered_anew_and_taken_once() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    peer.bound(1).await;
    let text = Incoming::text("lost", "Yes, at noon.");
    let mut stream = gateway.http.stream("/events?type=received").await;
    text.send(&peer);
    let event = stream.next().await.data;
    gateway.kill().await;

    let gateway = setup.launch().await;
    peer.bound(1).await;
    let answer = text.answered(&peer).await;

    assert_eq!(answer.status, 202);
    let page = gateway.http.get("/received").await.body;
    assert_eq!(page["data"], json!([event]));
    gateway.stop().await;
}

#[tokio::test]
async fn what_echo_sends_back_is_received_once_posted_to_a_webhook_and_can_be_answered() {
    let receiver = Receiver::start().await;
    let gateway =
        Running::start("[webhooks]\nallowed_networks = [\"127.0.0.0/8\"]\nschedule = [\"20ms\"]")
            .await;
    let webhook = json!({ "url": receiver.url("/hook"), "types": ["received"] });
    let (status, webhook) = json_of(gateway.post("/webhooks").json(&webhook)).await;
    assert_eq!(status, 201, "{webhook}");

    let question = finish(&gateway, json!({ "target": "echo", "body": "Lunch?" })).await;

    let posted = receiver.posted(1).await[0].clone();
    assert!(posted.is_signed_with(webhook["secret"].as_str().unwrap()));
    let received = posted.event();
    assert_eq!(received["type"], "received");
    assert_eq!(received["body"], "Lunch?");
    assert_eq!(received["from"]["uri"], "sip:echo@sandbox.invalid");
    assert_eq!(received["inReplyTo"], question["id"]);
    // Both agents of the sandbox's account get it.
    taken_in(&gateway, "repeated", 1).await;
    let (_, page) = json_of(gateway.get("/received")).await;
    assert_eq!(page["data"], json!([received]));

    let reply = json!({ "inReplyTo": received["messageId"], "body": "Yes, at noon." });
    let reply = finish(&gateway, reply).await;
    assert_eq!(reply["target"], "sip:echo@sandbox.invalid");
    let echoed = receiver.posted(2).await[1].event();
    assert_eq!(echoed["inReplyTo"], reply["id"]);
}

/// The program of docs/receiving.md, which verifies as docs/webhooks.md does.
#[tokio::test]
async fn the_program_of_the_document_answers_everybody_once() {
    let program = python_of(include_str!("../../docs/receiving.md"));
    let verify = python_of(include_str!("../../docs/webhooks.md"));
    let verify = &verify[verify.find("def verify").unwrap()..];
    assert!(program.contains(verify), "they verify in different ways");
    let gateway = Running::start("[webhooks]\nallowed_networks = [\"127.0.0.0/8\"]").await;
    let port = free_port().to_string();
    let url = format!("http://127.0.0.1:{port}/");
    let webhook = json!({ "url": url, "types": ["received"] });
    let (status, webhook) = json_of(gateway.post("/webhooks").json(&webhook)).await;
    assert_eq!(status, 201, "{webhook}");
    is_refused_without_a_secret("python3", "-c", program).await;
    let mut python = Command::new("python3")
        .args(["-c", program])
        .env("SIPOST", gateway.url())
        .env("PORT", port)
        .env("SECRET", webhook["secret"].as_str().unwrap())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 is needed");
    let mut said = BufReader::new(python.stdout.take().unwrap()).lines();
    let line = soon("the program listens", said.next_line()).await.unwrap();
    assert!(line.unwrap().starts_with("taking events"));

    finish(&gateway, json!({ "target": "echo", "body": "Grüße" })).await;

    // echo sends back the text, the program answers that, and echo sends the answer back. Both
    // agents get either: two that are new, and two that are not.
    taken_in(&gateway, "repeated", 2).await;
    let (_, page) = json_of(gateway.get("/received")).await;
    let bodies = page["data"].as_array().unwrap().iter();
    let bodies: Vec<_> = bodies.map(|one| one["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["You wrote: Grüße", "Grüße"]);
}

#[tokio::test]
async fn a_message_that_needs_a_consumer_is_taken_while_a_stream_would_show_it() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer).with("receive.require_consumer = true");
    let gateway = setup.open().await;
    peer.bound(1).await;
    // This one is of no use to what comes in.
    let _failures = gateway.http.stream("/events?type=failed").await;

    let answer = Incoming::text("alone", "Anybody?").answered(&peer).await;
    assert_eq!(answer.status, 480);
    assert!(answer.header("Retry-After").is_some(), "{answer:?}");

    let mut stream = gateway.http.stream("/events?type=received").await;
    let answer = Incoming::text("heard", "Anybody?").answered(&peer).await;
    assert_eq!(answer.status, 202);
    let event = stream.next().await.data;
    assert_eq!(event["request"]["callId"], "heard");

    drop(stream);
    let left = async {
        for n in 0.. {
            let text = Incoming::text(&format!("left-{n}"), "Anybody?");
            if text.answered(&peer).await.status == 480 {
                return;
            }
        }
    };
    soon("the reader has left", left).await;
    gateway.stop().await;
}

/// docs/receiving.md has these in a table.
#[tokio::test]
async fn what_is_not_taken_is_answered_with_its_reason() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer)
        .with("receive.accepts = ['text/*']")
        .with("receive.max_body = '1KiB'")
        .with("receive.rate_from = 0.1");
    let gateway = setup.open().await;
    peer.bound(1).await;
    let typing = "application/im-iscomposing+xml";

    let answer = Incoming::of_type("json", "application/json", "{}")
        .answered(&peer)
        .await;
    assert_eq!(
        (answer.status, answer.header("Accept")),
        (415, Some("text/*, message/cpim, message/imdn+xml"))
    );
    let answer = Incoming::of_type("typing", typing, "<isComposing/>")
        .answered(&peer)
        .await;
    assert_eq!(answer.status, 200);
    let answer = Incoming::text("large", &"x".repeat(1025))
        .answered(&peer)
        .await;
    assert_eq!(answer.status, 413);
    let coded = Incoming::text("coded", "x").with("Content-Encoding", "br");
    let answer = coded.answered(&peer).await;
    assert_eq!(answer.status, 415);
    assert_eq!(
        answer.header("Accept-Encoding"),
        Some("identity, deflate, gzip")
    );
    // Ten seconds' worth of the rate of one sender is one message.
    let answer = Incoming::text("first", "Hello!").answered(&peer).await;
    assert_eq!(answer.status, 202);
    let answer = Incoming::text("second", "Hello!").answered(&peer).await;
    assert_eq!(answer.status, 500);
    assert!(answer.header("Retry-After").is_some(), "{answer:?}");

    assert_eq!(call_ids(&gateway.http).await, ["first"]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_account_that_receives_nothing_says_so() {
    let peer = Peer::start().await;
    let gateway = TestGateway::at(&peer)
        .with_account("receive = false")
        .open()
        .await;
    peer.bound(1).await;

    let answer = Incoming::text("in-vain", "Hello!").answered(&peer).await;

    assert_eq!(
        (answer.status, answer.header("Allow")),
        (405, Some("OPTIONS"))
    );
    gateway.stop().await;
}

/// The Call-IDs of what was answered 202; nothing may be answered otherwise.
fn taken(peer: &Peer) -> HashSet<String> {
    let answers = peer.answers().into_iter();
    let call_id = |answer: PeerAnswer| {
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.call_id
    };
    answers.map(call_id).collect()
}

async fn until_taken(peer: &Peer, count: usize) {
    let what = format!("{count} messages are taken");
    peer.until_answers(&what, |answers| {
        let call_ids: HashSet<_> = answers.iter().map(|answer| &answer.call_id).collect();
        call_ids.len() >= count
    })
    .await;
}

/// The Call-IDs of everything in the store.
async fn call_ids(http: &Client) -> Vec<String> {
    let page = http.get("/received?limit=500").await.body;
    assert_eq!(page["nextCursor"], Value::Null);
    let received = page["data"].as_array().unwrap().iter();
    let call_id = |one: &Value| one["request"]["callId"].as_str().unwrap().to_owned();
    received.map(call_id).collect()
}

/// A program that is started with no secret, or a mistyped one, says so in a sentence and ends.
pub(crate) async fn is_refused_without_a_secret(program: &str, flag: &str, text: &str) {
    for secret in [
        None,
        Some(""),
        Some("whsec_"),
        Some("whsec_ab?d"),
        Some("whsec_…"),
    ] {
        let mut command = Command::new(program);
        command.args([flag, text]).env_remove("SECRET");
        let ended = command
            .envs(secret.map(|secret| ("SECRET", secret)))
            .output();
        let ended = soon("the program ends", ended).await.unwrap();
        let told = "SECRET must be the secret of the webhook, whole: whsec_…\n";
        assert_eq!(String::from_utf8_lossy(&ended.stderr), told, "{secret:?}");
        assert_eq!(ended.status.code(), Some(1), "{secret:?}");
    }
}

/// The Python of a document.
fn python_of(document: &'static str) -> &'static str {
    let (_, rest) = document.split_once("```python\n").unwrap();
    rest.split("```").next().unwrap()
}

/// A port that nothing uses. Another program may take it, and then the one of the test ends.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Sends a message and waits for its end.
async fn finish(gateway: &Running, message: Value) -> Value {
    let request = gateway.post("/messages").header("prefer", "wait=30");
    let (status, ended) = json_of(request.json(&message)).await;
    assert_eq!(
        (status, &ended["status"]),
        (200, &json!("succeeded")),
        "{ended}"
    );
    ended
}

/// Waits until so much that came in had this outcome.
async fn taken_in(gateway: &Running, outcome: &str, count: usize) {
    let line = format!("sipost_received_total{{outcome=\"{outcome}\"}} {count}");
    let counted = async {
        loop {
            let response = gateway.get("/metrics").send().await.unwrap();
            let text = response.text().await.unwrap();
            if text.lines().any(|one| one == line) {
                return;
            }
        }
    };
    soon(&line, counted).await;
}

/// Bob's phone reports that it has a message, and then the connection is lost with the request
/// still open: it has arrived, and is not sent again.
#[tokio::test]
async fn a_receipt_settles_a_message_whose_answer_never_came() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    peer.bound(1).await;
    let id = gateway
        .http
        .accepted(&json!({ "target": "bob", "body": "Hello" }))
        .await;
    peer.wait_for("bob", 1).await;
    let receipt = format!(
        "<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\"><message-id>{id}</message-id>\
         <delivery-notification><status><delivered/></status></delivery-notification></imdn>"
    );
    let receipt = Incoming::of_type("receipt", "message/imdn+xml", &receipt);
    assert_eq!(receipt.answered(&peer).await.status, 200);
    peer.cut();

    let message = gateway.http.finished(&id).await;
    assert_eq!(message["status"], "succeeded", "{message}");
    assert_eq!(message["result"]["response"], Value::Null);
    let events = gateway.http.events_of(&id).await;
    let delivered = events.iter().find(|event| event["type"] == "delivered");
    assert_eq!(message["result"]["receipt"], delivered.unwrap()["id"]);
    assert_eq!(message["receipts"]["delivered"], delivered.unwrap()["time"]);
    assert_eq!(peer.got("bob").len(), 1);
    gateway.stop().await;
}
