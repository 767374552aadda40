//! The sandbox as a stranger uses it: `sipost sandbox`, and JsSIP, which reads challenges in its
//! own way.

use serde_json::json;

use crate::gateway::Gateway;
use crate::process::Process;
use crate::recipient::Place;
use crate::recipient::Recipient;
use crate::sender;

/// A running `sipost sandbox`.
pub(crate) struct Sandbox {
    url: String,
    _process: Process,
}

impl Sandbox {
    async fn start() -> Self {
        let arguments = ["sandbox", "--listen", "127.0.0.1:0"].map(str::to_owned);
        let program = env!("CARGO_BIN_EXE_sipost");
        let mut process = Process::start("sandbox", "sipost", program, &arguments);
        let told = "a sandbox for sandbox.invalid at ";
        let url = process
            .line(|line| line.strip_prefix(told).map(str::to_owned))
            .await;
        Self {
            url,
            _process: process,
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::new(self.url.clone(), "sandbox.invalid")
    }
}

#[tokio::test]
async fn a_message_reaches_jssip_through_the_sandbox() {
    let sandbox = Sandbox::start().await;
    let mut bob = Recipient::jssip_of_sandbox(&sandbox, &["bob"]).await;
    let (uri, password) = ("sip:alice@sandbox.invalid", "alice");
    let gateway = Gateway::start_at(&sandbox.url, uri, password, 2).await;

    let message = gateway
        .send(&json!({ "target": "bob", "body": "Grüße 🎉", "extraHeaders": ["X-Foo: foo"] }))
        .await;

    assert_eq!(message["status"], "succeeded", "{message}");
    let received = bob.received().await;
    assert_eq!(received.body, "Grüße 🎉");
    assert_eq!(received.from, uri);
    assert_eq!(received.headers["X-Foo"], ["foo"]);
    assert_eq!(received.headers["Max-Forwards"], ["69"]);
}

/// Two JsSIP users and no gateway: the sandbox is a server like another.
#[tokio::test]
async fn jssip_reaches_jssip_through_the_sandbox_without_the_gateway() {
    let sandbox = Sandbox::start().await;
    let mut bob = Recipient::jssip_of_sandbox(&sandbox, &["bob"]).await;

    let verdict = sender::jssip(&sandbox, "carol", "bob", "Hello!").await;

    assert_eq!(verdict["event"], "succeeded", "{verdict}");
    assert_eq!(bob.received().await.body, "Hello!");
}

#[tokio::test]
async fn the_users_that_always_answer_the_same_answer_jssip_so() {
    let sandbox = Sandbox::start().await;
    for (user, code, cause) in [
        ("ok", 200, None),
        ("accepted", 202, None),
        ("busy", 486, Some("Busy")),
        ("decline", 603, Some("Rejected")),
        ("notfound", 404, Some("Not Found")),
        ("offline", 480, Some("Unavailable")),
        ("moved", 302, Some("Redirected")),
        ("error", 500, Some("SIP Failure Code")),
        ("overload", 503, Some("SIP Failure Code")),
        ("nobody-registered-so", 404, Some("Not Found")),
    ] {
        let verdict = sender::jssip(&sandbox, "carol", user, "Hello!").await;
        let event = match cause {
            None => "succeeded",
            Some(_) => "failed",
        };
        let told = json!({ "event": event, "statusCode": code, "cause": cause });
        assert_eq!(verdict, told, "{user}");
    }
}
