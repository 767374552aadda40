//! `sipost webhooks` and its subcommands, against a gateway and a receiver.

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::asking::answered;
use super::asking::ask;
use crate::harness::OpenGateway;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::soon;

/// A receiver: where it is, and the events that were posted to it. It answers `/ok` with 200 and
/// `/busy` with 503.
struct Receiver {
    base: String,
    posted: mpsc::UnboundedReceiver<Value>,
}

impl Receiver {
    async fn start() -> Self {
        let (posts, posted) = mpsc::unbounded_channel();
        let take = |status: StatusCode, answer: &'static str| {
            let posts = posts.clone();
            post(move |body: String| {
                // The test may have seen enough.
                let _ = posts.send(serde_json::from_str(&body).unwrap());
                async move { (status, answer) }
            })
        };
        let router = Router::new()
            .route("/ok", take(StatusCode::OK, "taken"))
            .route("/busy", take(StatusCode::SERVICE_UNAVAILABLE, "no room"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, posted }
    }

    async fn event(&mut self) -> Value {
        soon("a post", self.posted.recv()).await.unwrap()
    }
}

/// Adds a webhook for failures; its id.
async fn added(gateway: &OpenGateway, url: &str) -> String {
    let arguments = ["webhooks", "add", url, "--type", "failed", "--json"];
    let webhook: Value = serde_json::from_str(&answered(gateway, &arguments).await).unwrap();
    webhook["id"].as_str().unwrap().to_owned()
}

/// Looks at the deliveries until this is shown.
async fn deliveries(gateway: &OpenGateway, id: &str, more: &[&str], words: &str) -> String {
    let arguments = [&["webhooks", "deliveries", id], more].concat();
    let shown = async {
        loop {
            let shown = answered(gateway, &arguments).await;
            if shown.contains(words) {
                return shown;
            }
        }
    };
    soon(words, shown).await
}

fn gateway_of(peer: &Peer) -> TestGateway {
    peer.script("bob", [Reply::Status(486), Reply::Status(486)]);
    TestGateway::at(peer).with("webhooks.allowed_networks = ['127.0.0.0/8']")
}

#[tokio::test]
async fn a_test_says_what_came_back_and_ends_with_1_when_it_was_not_taken() {
    let peer = Peer::start().await;
    let setup = gateway_of(&peer);
    let gateway = setup.open().await;
    let mut receiver = Receiver::start().await;
    let taken = added(&gateway, &format!("{}/ok", receiver.base)).await;
    let busy = added(&gateway, &format!("{}/busy", receiver.base)).await;
    let away = added(&gateway, "http://127.0.0.1:1/").await;

    let said = answered(&gateway, &["webhooks", "test", &taken]).await;
    assert!(
        said.starts_with("200 in ") && said.ends_with("taken\n"),
        "{said}"
    );
    assert_eq!(receiver.event().await["type"], "test");
    for (id, words) in [
        (busy, ["503 in ", "no room"]),
        (away, ["no answer", ": Connection refused\n"]),
    ] {
        let said = ask(&gateway, &["webhooks", "test", &id]).await;
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        for word in words {
            assert!(said.stdout.contains(word), "{word}: {}", said.stdout);
        }
    }
    let nothing = "0193a1b2-0000-7000-8000-000000000000";
    let unknown = ask(&gateway, &["webhooks", "test", nothing]).await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(2), ""));
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_missed_is_sent_again_and_so_is_one_event_alone() {
    let peer = Peer::start().await;
    let setup = gateway_of(&peer);
    let gateway = setup.open().await;
    peer.registered(1).await;
    let mut receiver = Receiver::start().await;
    let id = added(&gateway, &format!("{}/ok", receiver.base)).await;

    let disabled = answered(&gateway, &["webhooks", "disable", &id]).await;
    assert_eq!(disabled, format!("disabled {id}\n"));
    assert!(answered(&gateway, &["webhooks"]).await.contains("disabled"));
    let failed = ask(&gateway, &["send", "bob", "Hello", "--json"]).await;
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    let event: Value = serde_json::from_str(failed.stdout.lines().last().unwrap()).unwrap();
    // In this order, too.
    let said = answered(&gateway, &["webhooks", "recover", &id, "--since", "1h"]).await;
    let words = format!("nothing is posted before `sipost webhooks enable {id}`");
    assert!(said.contains(&words), "{said}");
    let enabled = answered(&gateway, &["webhooks", "enable", &id]).await;
    assert_eq!(enabled, format!("enabled {id}\n"));

    let said = answered(&gateway, &["webhooks", "recover", &id, "--since", "1h"]).await;
    assert!(said.contains("is sent again"), "{said}");
    assert!(!said.contains("nothing is posted"), "{said}");
    assert_eq!(receiver.event().await["id"], event["id"]);
    let shown = deliveries(&gateway, &id, &["--status", "delivered"], "200 in ").await;
    let event_id = event["id"].as_str().unwrap();
    for words in [
        event_id,
        event["messageId"].as_str().unwrap(),
        "failed",
        "taken",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let said = answered(&gateway, &["webhooks", "retry", &id, event_id]).await;
    assert_eq!(said, format!("event {event_id} is sent again\n"));
    assert_eq!(receiver.event().await["id"], event["id"]);
    let rows = deliveries(&gateway, &id, &["--json"], "\"delivered\"").await;
    let row: Value = serde_json::from_str(rows.trim()).unwrap();
    assert_eq!(row["attempts"].as_array().unwrap().len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_secret_is_replaced_and_a_wrong_time_is_refused() {
    let peer = Peer::start().await;
    let setup = gateway_of(&peer);
    let gateway = setup.open().await;
    let id = added(&gateway, "http://127.0.0.1:1/").await;
    let rotated = answered(&gateway, &["webhooks", "rotate-secret", &id]).await;
    assert!(
        rotated.contains("whsec_") && rotated.contains("24 hours"),
        "{rotated}"
    );
    for since in ["yesterday", "-1h"] {
        let since = format!("--since={since}");
        let refused = ask(&gateway, &["webhooks", "recover", &id, &since]).await;
        assert_eq!(refused.code, Some(2));
        assert!(
            refused.stderr.contains("how long ago"),
            "{}",
            refused.stderr
        );
    }
    let json = answered(&gateway, &["webhooks", "disable", &id, "--json"]).await;
    let webhook: Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!(webhook["enabled"], json!(false));
    gateway.stop().await;
}
