//! The examples of `docs/webhooks.md`, run against what is really posted.

use std::process::Stdio;

use serde_json::Value;
use serde_json::json;
use sipost::config::Config;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;
use tokio::process::Command;

use super::*;
use crate::receiving::free_port;
use crate::receiving::is_refused_without_a_secret;
use receiver::Posted;

const DOCUMENT: &str = include_str!("../../../docs/webhooks.md");
const RUST: &str = include_str!("receiving.rs");

/// What is put behind an example, so that it reads what was posted, and says of each what it found.
const PYTHON_CALL: &str = "
import json, sys
for given in json.load(sys.stdin):
    taken = verify(given[\"secret\"], given[\"headers\"], given[\"body\"].encode())
    print(\"taken\" if taken else \"refused\")
";
const NODE_CALL: &str = "
for (const given of JSON.parse(require(\"node:fs\").readFileSync(0, \"utf8\"))) {
  const taken = verify(given.secret, given.headers, Buffer.from(given.body));
  console.log(taken ? \"taken\" : \"refused\");
}
";

/// The rest of the document behind these words, up to a backtick.
fn command(begin: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(begin).unwrap();
    rest.split('`').next().unwrap()
}

#[test]
fn the_secret_that_the_document_makes_is_taken() {
    let script = format!("echo {}", command("`echo "));
    let made = std::process::Command::new("sh")
        .args(["-c", &script])
        .output();
    let made = String::from_utf8(made.unwrap().stdout).unwrap();
    let config = format!("webhooks.secret = '{}'", made.trim());
    Config::from_toml(&config).unwrap();
}

#[test]
fn the_document_names_the_crates_that_its_rust_needs() {
    let named: Vec<_> = command("`cargo add ").split(' ').collect();
    let crates = RUST.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
    let mut crates: Vec<_> = crates
        .filter_map(|path| path.split_once("::"))
        .map(|(first, _)| first)
        .filter(|first| first.starts_with(char::is_lowercase) && *first != "std")
        .collect();
    crates.sort_unstable();
    crates.dedup();
    assert_eq!(crates, named);
}

#[tokio::test]
async fn the_examples_of_the_document_take_what_is_posted_and_nothing_else() {
    assert_eq!(example("rust"), RUST);
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    let body = json!({"url": receiver.url("/"), "types": ["succeeded"]});
    let webhook = create(&gateway, body).await;
    let old = webhook["secret"].as_str().unwrap();
    let mut message = message("ok");
    message["metadata"] = json!({"Grüße": "aus Köln"});
    finish(&gateway, &message).await;
    receiver.posted(1).await;
    let path = format!("{}/rotate-secret", path_of(&webhook));
    let (_, rotated) = json_of(gateway.post(&path)).await;
    let new = rotated["secret"].as_str().unwrap();
    finish(&gateway, &message).await;
    let posts = receiver.posted(2).await;

    let mut forged = posts[0].clone();
    forged.body = String::from_utf8(forged.body.to_vec())
        .unwrap()
        .replace("succeeded", "failed")
        .into();
    let mut late = posts[0].clone();
    let long_ago = "1600000000".parse().unwrap();
    late.headers.insert("webhook-timestamp", long_ago);
    let mut bare = posts[0].clone();
    bare.headers.clear();
    let mut unsigned = posts[0].clone();
    unsigned.headers.remove("webhook-signature");
    let cases = [
        (&posts[0], old, true),
        (&posts[0], new, false),
        (&posts[1], old, true),
        (&posts[1], new, true),
        (&posts[1], OWN_SECRET, false),
        (&forged, old, false),
        (&late, old, false),
        (&bare, old, false),
        (&unsigned, old, false),
    ];
    let given = cases.map(|(post, secret, _)| as_json(post, secret));
    let python = example("python").to_owned() + PYTHON_CALL;
    let python = run("python3", "-c", &python, &given).await;
    let node = example("javascript").to_owned() + NODE_CALL;
    let node = run("node", "-e", &node, &given).await;
    assert_eq!((python.len(), node.len()), (cases.len(), cases.len()));
    for (at, (post, secret, is_taken)) in cases.into_iter().enumerate() {
        let in_rust = receiving::verify(secret, &post.headers, &post.body);
        assert_eq!(in_rust.is_some(), is_taken, "{post:?}");
        let expected = if is_taken { "taken" } else { "refused" };
        assert_eq!((&*python[at], &*node[at]), (expected, expected), "{post:?}");
    }
}

/// The programs of the document, run as they stand: each prints every event once, also when it is
/// posted again, and takes nothing that is not signed.
#[tokio::test]
async fn the_receivers_of_the_document_run_as_they_stand() {
    let gateway = Running::start(&configuration(SOON)).await;
    for (language, program, flag) in [("python", "python3", "-c"), ("javascript", "node", "-e")] {
        let text = receiver_in(language);
        let verify = example(language);
        let verify = match language {
            "python" => &verify[verify.find("def verify").unwrap()..],
            _ => &verify[verify.find("/** Whether").unwrap()..],
        };
        assert!(text.contains(verify), "{program} verifies in another way");
        is_refused_without_a_secret(program, flag, text).await;
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}/");
        let webhook = create(&gateway, json!({"url": url})).await;
        let mut child = Command::new(program)
            .args([flag, text])
            .env("PORT", port.to_string())
            .env("SECRET", webhook["secret"].as_str().unwrap())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = async || {
            let line = tokio::time::timeout(PATIENCE, said.next_line()).await;
            line.unwrap().unwrap().unwrap()
        };
        assert_eq!(line().await, format!("taking events at {url}"));
        let unsigned = reqwest::Client::new().post(&url).body("{}");
        let unsigned = unsigned.header("webhook-id", "1-1");
        let unsigned = unsigned.header("webhook-timestamp", "1600000000");
        let unsigned = unsigned.header("webhook-signature", "v1,x");
        assert_eq!(unsigned.send().await.unwrap().status(), 403);
        let bare = reqwest::Client::new().post(&url).body("{}");
        assert_eq!(bare.send().await.unwrap().status(), 403);
        for _ in 0..2 {
            assert_eq!(line().await, "refused: not signed with SECRET");
        }

        let test = format!("{}/test", path_of(&webhook));
        let (status, _) = json_of(gateway.post(&test)).await;
        assert_eq!((status, line().await.trim()), (200, "test"));
        let id = finish(&gateway, &message("busy")).await;
        assert_eq!(line().await.trim(), format!("sending {id}"));
        assert_eq!(line().await, format!("failed {id} Busy"));
        // Both are posted again, and then comes what is new.
        for delivery in until("both delivered", async || {
            let known = deliveries(&gateway, &webhook, "?status=delivered").await;
            (known.len() == 2).then_some(known)
        })
        .await
        {
            let path = format!("{}/deliveries", path_of(&webhook));
            let path = format!("{path}/{}/retry", delivery["id"].as_str().unwrap());
            let (status, again) = json_of(gateway.post(&path)).await;
            assert_eq!(status, 202, "{again}");
        }
        until("both delivered again", async || {
            let known = deliveries(&gateway, &webhook, "?status=delivered").await;
            let has_two = |one: &Value| one["attempts"].as_array().unwrap().len() == 2;
            known.iter().all(has_two).then_some(())
        })
        .await;
        let id = finish(&gateway, &message("ok")).await;
        assert_eq!(line().await.trim(), format!("sending {id}"));
        assert_eq!(line().await.trim(), format!("succeeded {id}"));
        let (status, _) = change(&gateway, &webhook, json!({"enabled": false})).await;
        assert_eq!(status, 200);
    }
}

/// The program in this language that takes what is posted.
fn receiver_in(language: &str) -> &'static str {
    let (_, programs) = DOCUMENT.split_once("## Receivers to run").unwrap();
    block(programs, language)
}

/// The example in this language.
fn example(language: &str) -> &'static str {
    block(DOCUMENT, language)
}

/// The first block of this text in this language.
fn block(text: &'static str, language: &str) -> &'static str {
    let opening = format!("```{language}\n");
    let (_, rest) = text.split_once(&opening).unwrap();
    let end = rest.find("```").unwrap();
    &rest[..end]
}

/// What an example is to judge.
fn as_json(post: &Posted, secret: &str) -> Value {
    let headers: serde_json::Map<String, Value> = post
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let body = String::from_utf8(post.body.to_vec()).unwrap();
    json!({"secret": secret, "headers": headers, "body": body})
}

/// What a script says, line by line.
async fn run(program: &str, flag: &str, script: &str, given: &[Value]) -> Vec<String> {
    let given = serde_json::to_vec(given).unwrap();
    let mut child = Command::new(program)
        .args([flag, script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&given).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.unwrap().unwrap();
    assert!(output.status.success(), "{program} failed");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}
