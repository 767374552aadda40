//! The examples of `docs/webhooks.md`, run against what is really posted.

use std::process::Stdio;

use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::*;
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
    let cases = [
        (&posts[0], old, true),
        (&posts[0], new, false),
        (&posts[1], old, true),
        (&posts[1], new, true),
        (&posts[1], OWN_SECRET, false),
        (&forged, old, false),
        (&late, old, false),
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

/// The example in this language.
fn example(language: &str) -> &'static str {
    let opening = format!("```{language}\n");
    let (_, rest) = DOCUMENT.split_once(&opening).unwrap();
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
