//! Webhooks, from both ends: who manages them over HTTP, and who receives what is posted.

mod addresses;
mod crash;
mod delivering;
mod managing;
pub(crate) mod receiver;
#[expect(
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "it is an example for a program that has nothing of ours"
)]
mod receiving;
mod restoring;
mod secrets;
mod verifying;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use super::operating::PATIENCE;
use super::operating::Running;
use super::operating::json_of;
use receiver::Receiver;

/// Signs what goes to the webhooks that messages name.
const OWN_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A gateway with its sandbox that may post to this machine, with whatever else `[webhooks]` says.
fn configuration(more: &str) -> String {
    format!("[webhooks]\nallowed_networks = [\"127.0.0.0/8\"]\nsecret = \"{OWN_SECRET}\"\n{more}\n")
}

/// Waits that are short enough for a test.
const SOON: &str = "schedule = [\"20ms\", \"20ms\", \"20ms\", \"20ms\", \"20ms\", \"20ms\"]";

async fn create(gateway: &Running, webhook: Value) -> Value {
    let (status, created) = json_of(gateway.post("/webhooks").json(&webhook)).await;
    assert_eq!(status, 201, "{created}");
    created
}

fn path_of(webhook: &Value) -> String {
    format!("/webhooks/{}", webhook["id"].as_str().unwrap())
}

/// Sends a message and waits for its end; its id.
async fn finish(gateway: &Running, message: &Value) -> String {
    let request = gateway.post("/messages").header("prefer", "wait=30");
    let (status, ended) = json_of(request.json(message)).await;
    assert_eq!(status, 200, "{ended}");
    ended["id"].as_str().unwrap().to_owned()
}

async fn show(gateway: &Running, webhook: &Value) -> Value {
    let (status, shown) = json_of(gateway.get(&path_of(webhook))).await;
    assert_eq!(status, 200, "{shown}");
    shown
}

async fn change(gateway: &Running, webhook: &Value, change: Value) -> (u16, Value) {
    let request = gateway.request(Method::PATCH, &path_of(webhook));
    json_of(request.json(&change)).await
}

async fn deliveries(gateway: &Running, webhook: &Value, query: &str) -> Vec<Value> {
    let path = format!("{}/deliveries{query}", path_of(webhook));
    let (status, page) = json_of(gateway.get(&path)).await;
    assert_eq!(status, 200, "{page}");
    page["data"].as_array().unwrap().clone()
}

/// Waits until what is asked again and again is as the test wants it.
async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, asked).await;
    found.unwrap_or_else(|_| panic!("never: {what}"))
}

fn message(target: &str) -> Value {
    json!({"target": target, "body": "Hello", "metadata": {"order": "42"}})
}
