//! How soon an emergency is on the wire while a campaign waits for the rate of its account.
//!
//! `cargo bench --bench priority` has 100 000 messages wait, posts an emergency to another target
//! every quarter of a second, and prints the time from before its POST to when the server has its
//! request. Without `--bench` the campaign is small: that it runs is all this shows.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the time that passes"
)]

#[path = "samples/gateway.rs"]
mod gateway;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use sipost::app::Gateway;
use sipost::clock::Clock;
use sipost::sandbox::Options;
use sipost::sandbox::ReceivedRequest;
use sipost::sandbox::Sandbox;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::gateway::configuration;
use crate::gateway::post;

/// Messages in one batch.
const BATCH: usize = 1_000;
/// What the contract promises.
const PROMISED: Duration = Duration::from_millis(50);
/// A rate of fifty keeps five a second.
const PAUSE: Duration = Duration::from_millis(250);

type Requests = mpsc::UnboundedReceiver<ReceivedRequest>;

fn main() {
    let measures = std::env::args().any(|argument| argument == "--bench");
    let (batches, rounds) = if measures { (100, 40) } else { (1, 2) };
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let (url, mut requests) = runtime.block_on(server());
    let config = configuration(folder.path(), &account(&url));
    let gateway = runtime.block_on(Gateway::start(&config, Clock::system()));
    let gateway = gateway.expect("the gateway starts");
    let address = gateway.address();

    // The first request shows that the agent is registered.
    accepted(address, "/messages", r#"{"target":"ok","body":"x"}"#);
    arrival(&runtime, &mut requests, "sip:ok@");
    for batch in 0..batches {
        accepted(address, "/messages/batch", &campaign(batch));
    }
    let mut times: Vec<_> = (0..rounds)
        .map(|round| {
            std::thread::sleep(PAUSE);
            let begun = Instant::now();
            let message =
                format!(r#"{{"target":"alarm{round}","body":"x","priority":"emergency"}}"#);
            let posting = std::thread::spawn(move || accepted(address, "/messages", &message));
            arrival(&runtime, &mut requests, &format!("sip:alarm{round}@"));
            let took = begun.elapsed();
            posting.join().expect("the message is posted");
            took
        })
        .collect();
    times.sort_unstable();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{} messages wait for a rate of 50; an emergency is on the wire after {median:.2?} (median), {most:.2?} at most",
        batches * BATCH
    );
    if measures {
        assert!(median < PROMISED, "{median:?}");
    }
    runtime.block_on(gateway.stop());
}

/// A SIP server that shows what reaches it.
async fn server() -> (String, Requests) {
    let (received, requests) = mpsc::unbounded_channel();
    let options = Options {
        received: Some(received),
        ..Options::default()
    };
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let sandbox = Sandbox::bind(local, options).await.expect("a port");
    let url = sandbox.url();
    tokio::spawn(sandbox.run(std::future::pending()));
    (url, requests)
}

fn arrival(runtime: &Runtime, requests: &mut Requests, uri: &str) {
    runtime.block_on(async {
        loop {
            let request = requests.recv().await.expect("the server runs");
            if request.method == "MESSAGE" && request.uri.starts_with(uri) {
                return;
            }
        }
    });
}

fn campaign(batch: usize) -> String {
    let mut messages = String::from(r#"{"messages":["#);
    for number in 0..BATCH {
        let comma = if number == 0 { "" } else { "," };
        let user = batch * BATCH + number;
        let _ = write!(
            messages,
            r#"{comma}{{"target":"user{user}","body":"Hello"}}"#
        );
    }
    messages + "]}"
}

/// Posts something that must be accepted.
fn accepted(address: SocketAddr, path: &str, body: &str) {
    let answer = post(address, path, body);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

/// An account whose rate a campaign waits for.
fn account(server: &str) -> String {
    format!(
        "uri = \"sip:alice@sandbox.invalid\"\npassword = \"alice\"\n\
         servers = [\"{server}\"]\nrate = 50"
    )
}
