//! Secrets: rotated with two signatures, stored encrypted, and never told twice.

use std::fs;

use serde_json::json;

use super::*;

/// Two keys of 32 bytes.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OTHER_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_one_before() {
    let receiver = Receiver::start().await;
    let gateway = Running::start(&configuration("")).await;
    let body = json!({"url": receiver.url("/"), "types": ["succeeded"]});
    let webhook = create(&gateway, body).await;
    let path = format!("{}/rotate-secret", path_of(&webhook));
    let (status, rotated) = json_of(gateway.post(&path)).await;
    assert_eq!(status, 200, "{rotated}");
    assert!(rotated["previousSecretUntil"].is_string());
    let secret = |webhook: &Value| webhook["secret"].as_str().unwrap().to_owned();
    let (old, new) = (secret(&webhook), secret(&rotated));
    assert_ne!(old, new);
    finish(&gateway, &message("ok")).await;
    let post = receiver.posted(1).await.remove(0);
    assert_eq!(post.header("webhook-signature").split(' ').count(), 2);
    assert!(post.is_signed_with(&old) && post.is_signed_with(&new));
    assert!(!post.is_signed_with(OWN_SECRET));
    // Rotated once more, the first is none of the two any more.
    json_of(gateway.post(&path)).await;
    finish(&gateway, &message("ok")).await;
    let post = receiver.posted(2).await.remove(1);
    assert!(post.is_signed_with(&new) && !post.is_signed_with(&old));
    assert_eq!(show(&gateway, &webhook).await["secret"], Value::Null);
}

#[tokio::test]
async fn with_a_key_secrets_lie_encrypted_and_without_it_nothing_starts() {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    let receiver = Receiver::start().await;
    let text = configuration(&format!("encryption_key = \"{KEY}\""));
    let gateway = Running::start(&text).await;
    let webhook = create(&gateway, json!({"url": receiver.url("/")})).await;
    let secret = webhook["secret"].as_str().unwrap().to_owned();
    let printed = gateway.output();
    let folder = gateway.kill().await;
    let base64 = secret.strip_prefix("whsec_").unwrap();
    let bytes = BASE64_STANDARD.decode(base64).unwrap();
    for file in fs::read_dir(folder.path()).unwrap() {
        let text = fs::read(file.unwrap().path()).unwrap();
        assert!(!text.windows(bytes.len()).any(|some| some == bytes));
    }
    assert!(!printed.contains(base64) && !printed.contains(KEY));

    for (more, words) in [
        (String::new(), "webhooks.encryption_key is not set"),
        (
            format!("encryption_key = \"{OTHER_KEY}\""),
            "webhooks.encryption_key does not open its secret",
        ),
    ] {
        let text = format!("[http]\nlisten = \"127.0.0.1:0\"\n{}", configuration(&more));
        fs::write(folder.path().join("sipost.toml"), text).unwrap();
        let refused = tokio::process::Command::new(env!("CARGO_BIN_EXE_sipost"))
            .args(["serve", "--config", "sipost.toml"])
            .env_clear()
            .current_dir(folder.path())
            .output();
        let refused = tokio::time::timeout(PATIENCE, refused)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(refused.status.code(), Some(78));
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(told.contains(words), "{told}");
    }

    let gateway = Running::start_in(folder, &text).await;
    finish(&gateway, &message("ok")).await;
    let post = receiver.posted(1).await.remove(0);
    assert!(post.is_signed_with(&secret));
}

/// A client chooses where events of its messages are posted to. They must not be signed with the
/// secret that a receiver of another client trusts.
#[tokio::test]
async fn the_secret_of_a_token_signs_what_its_messages_have_posted() {
    use super::super::operating::token;

    const FIRST: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const SECOND: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let file = |secrets: Option<&str>| {
        let own = secrets.map(|secrets| format!(", webhook_secret = \"{secrets}\""));
        let own = token("own & #1", "o", &own.unwrap_or_default());
        let tokens = format!("[http]\ntokens = [{own}, {}]\n", token("plain", "p", ""));
        tokens + &configuration(SOON)
    };
    let receiver = Receiver::start().await;
    let mut gateway = Running::start(&file(Some(FIRST))).await;
    let send = async |gateway: &Running, secret: &str| {
        let url = receiver.url("/hook?a=b");
        let body = json!({"target": "ok", "body": "", "webhook": url});
        let request = gateway.post("/messages").bearer_auth(secret);
        let (status, ended) = json_of(request.header("prefer", "wait=30").json(&body)).await;
        assert_eq!((status, &ended["webhook"]), (200, &json!(url)), "{ended}");
        let id = ended["id"].as_str().unwrap().to_owned();
        let posts = receiver
            .wait_for("two events", |posts| {
                let of_it = posts.iter().filter(|post| post.event()["messageId"] == *id);
                of_it.count() >= 2
            })
            .await;
        let of_it = posts
            .into_iter()
            .filter(|post| post.event()["messageId"] == *id);
        of_it.collect::<Vec<_>>()
    };
    for post in send(&gateway, "o").await {
        assert_eq!(post.uri, "/hook?a=b");
        assert!(post.is_signed_with(FIRST) && !post.is_signed_with(OWN_SECRET));
    }
    for post in send(&gateway, "p").await {
        assert!(post.is_signed_with(OWN_SECRET) && !post.is_signed_with(FIRST));
    }
    // While receivers change over both sign.
    gateway.reload(&file(Some(&format!("{SECOND} {FIRST}"))));
    gateway.line("configuration reloaded").await;
    for post in send(&gateway, "o").await {
        assert!(post.is_signed_with(FIRST) && post.is_signed_with(SECOND));
    }
    gateway.reload(&file(Some(SECOND)));
    gateway.line("configuration reloaded").await;
    receiver.answer(|_| super::receiver::Reply::Status(500, "later"));
    let posts = send(&gateway, "o").await;
    assert!(
        posts
            .iter()
            .all(|post| post.is_signed_with(SECOND) && !post.is_signed_with(FIRST))
    );
    // What waits when the secret is taken away is signed with no other.
    gateway.reload(&file(None));
    gateway.line("configuration reloaded").await;
    receiver.answer(|_| super::receiver::Reply::Status(200, "thanks"));
    let before = receiver.posts().len();
    let posts = send(&gateway, "o").await;
    assert!(posts.iter().all(|post| post.is_signed_with(OWN_SECRET)));
    let others = receiver.posts().split_off(before);
    let id = posts[0].event()["messageId"].clone();
    for post in others.iter().filter(|post| post.event()["messageId"] != id) {
        assert!(post.is_signed_with(SECOND), "{post:?}");
    }
}

#[tokio::test]
async fn posts_without_a_secret_fail_in_the_log_and_go_out_when_there_is_one() {
    let schedule = format!("schedule = [{}]", ["\"100ms\""; 20].join(", "));
    let receiver = Receiver::answering(|_| super::receiver::Reply::Status(500, "")).await;
    let gateway = Running::start(&configuration(&schedule)).await;
    let own = json!({"target": "ok", "body": "", "webhook": receiver.url("/hook")});
    finish(&gateway, &own).await;
    receiver.posted(1).await;

    let folder = gateway.kill().await;
    let without = format!("[webhooks]\nallowed_networks = [\"127.0.0.0/8\"]\n{schedule}\n");
    let gateway = Running::start_in(folder, &without).await;
    until("the log says why nothing is posted", async || {
        let said = gateway.output();
        let mut fails = said.lines().filter(|line| line.contains("webhook fails"));
        fails
            .any(|line| line.contains("webhooks.secret is not set any more"))
            .then_some(())
    })
    .await;

    let folder = gateway.kill().await;
    let before = receiver.posts().len();
    receiver.answer(|_| super::receiver::Reply::Status(200, ""));
    let _gateway = Running::start_in(folder, &configuration(&schedule)).await;
    for post in &receiver.posted(before + 2).await[before..] {
        assert!(post.is_signed_with(OWN_SECRET), "{post:?}");
    }
}

#[tokio::test]
async fn a_secret_that_is_gone_is_told_of_although_its_receiver_failed_before() {
    use super::super::operating::token;

    let schedule = format!("schedule = [{}]", ["\"100ms\""; 20].join(", "));
    let file = |more: &str| {
        let own = token("own", "o", more);
        format!("[http]\ntokens = [{own}]\n{}", configuration(&schedule))
    };
    let receiver = Receiver::answering(|_| super::receiver::Reply::Status(500, "")).await;
    let secret = format!(", webhook_secret = \"{OWN_SECRET}\"");
    let mut gateway = Running::start(&file(&secret)).await;
    let body = json!({"target": "ok", "body": "", "webhook": receiver.url("/hook")});
    let request = gateway.post("/messages").bearer_auth("o");
    assert_eq!(json_of(request.json(&body)).await.0, 202);
    gateway.line("webhook fails").await;
    gateway.reload(&file(""));
    gateway.line("configuration reloaded").await;
    let line = gateway.line("has no webhook_secret any more").await;
    assert!(line.contains("webhook fails"), "{line}");
}
