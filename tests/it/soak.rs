//! Everything at once, for a minute or as long as `SIPOST_SOAK_SECONDS` says: connections that are
//! cut, reloads that move agents, a webhook whose receiver often fails, and readers that hop. It
//! counts what is lost, doubled and late.

use std::collections::HashMap;
use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;
use serde_json::json;
use sipost::message::MessageId;
use sipost::message::Timestamp;
use tokio::time::Instant;

use crate::harness::Load;
use crate::harness::PATIENCE;
use crate::harness::Peer;
use crate::harness::Program;
use crate::harness::Seed;
use crate::harness::TestGateway;
use crate::harness::script;
use crate::webhooks::receiver::Posted;
use crate::webhooks::receiver::Receiver;
use crate::webhooks::receiver::Reply;

const SECONDS: &str = "SIPOST_SOAK_SECONDS";

/// Between two messages of one writer.
const PACE: Duration = Duration::from_millis(200);

/// From the acceptance of a message to its end. Hundreds of times what it takes on a machine that
/// is not busy.
const LATE: Duration = PATIENCE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_late_whatever_goes_on_around_it() {
    let seconds = std::env::var(SECONDS).map_or(60, |text| text.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    let seed = Seed::take("soak::");
    let mut rng = SmallRng::seed_from_u64(seed.0);
    let peer = Peer::start().await;
    script(&peer, &mut rng);
    let receiver = flaky_receiver().await;
    let mut setup = TestGateway::at(&peer)
        .with_agents(3)
        .with("sip.timer_f = '400ms'")
        .with("webhooks.allowed_networks = ['127.0.0.0/8']")
        .with("webhooks.schedule = ['20ms', '20ms', '20ms', '20ms', '20ms']");
    let gateway = setup.launch().await;
    let webhook = gateway.http.request(Method::POST, "/webhooks");
    let webhook = webhook.json(&json!({"url": receiver.url("/")}));
    assert_eq!(gateway.http.send(webhook).await.status, 201);

    let load = Load::begin_paced(vec![gateway.http.clone()], seed.0, PACE);
    while Instant::now() < until {
        load.accepted(rng.random_range(1..60)).await;
        if rng.random_bool(0.5) {
            peer.cut();
        } else {
            setup = setup.with_agents(rng.random_range(1..=4));
            reload(&setup, &gateway);
        }
    }
    assert_eq!(load.refusals(), 0);
    let ledger = load.end().await;

    ledger.account(&peer.all());
    // A webhook is told of agents only when it names their events.
    let log: Vec<_> = ledger.of_messages().collect();
    account_for_posts(&receiver, &log).await;
    for event in log {
        let took = age(event);
        assert!(took < LATE, "late by {took:?}: {event}");
    }
    gateway.stop().await;
}

fn reload(setup: &TestGateway, gateway: &Program) {
    setup.rewrite();
    gateway.signal(Signal::HUP);
}

/// It takes each event at the first, second or third try.
async fn flaky_receiver() -> Receiver {
    let mut tries: HashMap<String, usize> = HashMap::new();
    Receiver::answering(move |posted| {
        let id = posted.header("webhook-id").to_owned();
        let refusals = refusals_of(&id);
        let tried = tries.entry(id).or_default();
        *tried += 1;
        if *tried > refusals {
            Reply::Status(200, "thanks")
        } else {
            Reply::Status(500, "not now")
        }
    })
    .await
}

/// How often this event is refused before it is taken.
fn refusals_of(id: &str) -> usize {
    id.bytes().map(usize::from).sum::<usize>() % 3
}

/// Every event was taken, once, after as many tries as it had to have.
async fn account_for_posts(receiver: &Receiver, log: &[&Value]) {
    let expected = |event: &Value| 1 + refusals_of(event["id"].as_str().unwrap());
    let total = log.iter().copied().map(expected).sum();
    let posts = receiver.posted(total).await;
    let mut tries: HashMap<&str, usize> = HashMap::new();
    for posted in &posts {
        *tries.entry(id_of(posted)).or_default() += 1;
    }
    let count = |is: fn(usize, usize) -> bool| {
        let wrong = log.iter().filter(|event| {
            let tried = tries.get(event["id"].as_str().unwrap()).copied();
            is(tried.unwrap_or_default(), expected(event))
        });
        wrong.count()
    };
    let lost = count(|tried, expected| tried < expected);
    let doubled = count(|tried, expected| tried > expected);
    println!(
        "{} events posted, {lost} lost, {doubled} doubled",
        log.len()
    );
    assert_eq!((lost, doubled, tries.len()), (0, 0, log.len()));
}

fn id_of(posted: &Posted) -> &str {
    posted.header("webhook-id")
}

/// From the acceptance of an event's message, which its id tells (RFC 9562 §5.7), to the event.
fn age(event: &Value) -> Duration {
    let id: MessageId = event["messageId"].as_str().unwrap().parse().unwrap();
    let time: Timestamp = event["time"].as_str().unwrap().parse().unwrap();
    time.since(id.made_at())
}
