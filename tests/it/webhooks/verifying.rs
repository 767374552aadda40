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

/// What is put behind an example, so that it reads its arguments and says what it found.
const PYTHON_CALL: &str = "
import json, sys
given = json.load(sys.stdin)
print(\"taken\" if verify(given[\"secret\"], given[\"headers\"], given[\"body\"].encode()) else \"refused\")
";
const NODE_CALL: &str = "
const given = JSON.parse(require(\"node:fs\").readFileSync(0, \"utf8\"));
console.log(verify(given.secret, given.headers, Buffer.from(given.body)) ? \"taken\" : \"refused\");
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
    for (post, secret, is_taken) in [
        (&posts[0], old, true),
        (&posts[0], new, false),
        (&posts[1], old, true),
        (&posts[1], new, true),
        (&posts[1], OWN_SECRET, false),
        (&forged, old, false),
        (&late, old, false),
    ] {
        let expected = if is_taken { "taken" } else { "refused" };
        let in_rust = receiving::verify(secret, &post.headers, &post.body);
        assert_eq!(in_rust.is_some(), is_taken, "{post:?}");
        let python = example("python").to_owned() + PYTHON_CALL;
        assert_eq!(run("python3", "-c", &python, post, secret).await, expected);
        let node = example("javascript").to_owned() + NODE_CALL;
        assert_eq!(run("node", "-e", &node, post, secret).await, expected);
    }
}

/// The example in this language.
fn example(language: &str) -> &'static str {
    let opening = format!("```{language}\n");
    let (_, rest) = DOCUMENT.split_once(&opening).unwrap();
    let end = rest.find("```").unwrap();
    &rest[..end]
}

async fn run(program: &str, flag: &str, script: &str, post: &Posted, secret: &str) -> String {
    let headers: serde_json::Map<String, Value> = post
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let body = String::from_utf8(post.body.to_vec()).unwrap();
    let given = json!({"secret": secret, "headers": headers, "body": body}).to_string();
    let mut child = Command::new(program)
        .args([flag, script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(given.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.unwrap().unwrap();
    assert!(output.status.success(), "{program} failed");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
