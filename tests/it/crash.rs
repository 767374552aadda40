//! Kill -9 at any moment, any number of times, under load, with a recipient that counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;

use crate::harness::Client;
use crate::harness::Event;
use crate::harness::Got;
use crate::harness::House;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::Seed;
use crate::harness::id_of;
use crate::harness::soon;

/// How often the gateway is killed.
const ROUNDS: u32 = 10;
/// Who posts at the same time; each writes to targets of its own.
const WRITERS: u64 = 6;
const READERS: u64 = 6;

/// A message that got its 202.
struct Accepted {
    id: String,
    user: String,
    body: String,
    may_resend: bool,
}

/// What writers and readers share.
#[derive(Clone)]
struct Scene {
    /// The gateway that runs now; each has another port.
    gateway: watch::Receiver<Client>,
    accepted: Arc<Mutex<Vec<Accepted>>>,
    /// Grows with each message accepted.
    count: Arc<watch::Sender<u64>>,
    /// Once it is known, the number of the last event.
    last: watch::Receiver<Option<u64>>,
}

impl Scene {
    fn gateway(&self) -> Client {
        self.gateway.borrow().clone()
    }

    /// Posts until the message has its 202, with one key, through however many ends of the gateway.
    async fn post(&self, user: String, body: String, may_resend: bool) {
        let on_unknown = if may_resend { "resend" } else { "fail" };
        let message = json!({
            "target": user, "body": body, "onUnknown": on_unknown, "attempts": 10,
        });
        soon("a message is accepted", async {
            loop {
                let http = self.gateway();
                let request = http.request(Method::POST, "/messages").json(&message);
                let request = request.header("Idempotency-Key", format!("{user} {body}"));
                match http.try_send(request).await {
                    Ok(answer) if answer.status == 202 => {
                        let id = id_of(&answer.body);
                        self.accepted.lock().unwrap().push(Accepted {
                            id,
                            user,
                            body,
                            may_resend,
                        });
                        return self.count.send_modify(|count| *count += 1);
                    }
                    // The one before it was not answered and is still being taken in.
                    Ok(answer) if answer.status == 409 => {}
                    Ok(answer) => panic!("{answer:?}"),
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await;
    }

    async fn write(self, writer: u64, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed ^ writer);
        for number in 0_u64.. {
            let may_resend = rng.random_bool(0.6);
            let kind = if may_resend { "resend" } else { "fail" };
            let user = format!("{kind}{writer}-{}", rng.random_range(0..4));
            self.post(user, number.to_string(), may_resend).await;
        }
    }

    /// Reads the whole log, leaving now and then, and coming back where it was.
    async fn read(self, reader: u64, seed: u64) -> Vec<Event> {
        let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(31) ^ reader);
        let mut seen: Vec<Event> = Vec::new();
        let mut last = self.last.clone();
        loop {
            let known_last = *last.borrow_and_update();
            let place = seen.last().map_or("earliest", |event| &event.id).to_owned();
            if known_last.is_some_and(|last| seen.last().map(number_of) == Some(last)) {
                return seen;
            }
            let http = self.gateway();
            let Some(mut stream) = http.try_stream_after("/events", &place).await else {
                tokio::task::yield_now().await;
                continue;
            };
            for _ in 0..rng.random_range(1..200) {
                tokio::select! {
                    event = stream.try_next() => match event {
                        Some(event) => seen.push(event),
                        None => break,
                    },
                    changed = last.changed() => {
                        changed.unwrap();
                        break;
                    }
                }
            }
        }
    }
}

fn number_of(event: &Event) -> u64 {
    event.id.split_once('-').unwrap().1.parse().unwrap()
}

/// A recipient that is well most of the time. Those who may not get a message twice never ask for
/// a second try.
fn script(peer: &Peer, rng: &mut SmallRng) {
    for writer in 0..WRITERS {
        for target in 0..4 {
            let kinds = ["resend", "fail"];
            for kind in kinds {
                let replies: Vec<_> = (0..300)
                    .map(|_| match rng.random_range(0..100) {
                        0..3 => Reply::Silence,
                        3..5 => Reply::Cut,
                        5..10 if kind == "resend" => Reply::Status(503),
                        10..15 => Reply::After(100, 200),
                        15..20 => Reply::Status(486),
                        _ => Reply::Status(200),
                    })
                    .collect();
                peer.script(&format!("{kind}{writer}-{target}"), replies);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_under_load_it_accounts_for_every_message_it_accepted() {
    let seed = Seed::take("crash::");
    let mut rng = SmallRng::seed_from_u64(seed.0);
    let peer = Peer::start().await;
    script(&peer, &mut rng);
    let house = House::at(&peer)
        .with_agents(3)
        .with("sip.timer_f = '400ms'");
    let mut gateway = house.launch().await;
    let (current, running) = watch::channel(gateway.http.clone());
    let (last_known, last) = watch::channel(None);
    let scene = Scene {
        gateway: running,
        accepted: Arc::default(),
        count: Arc::new(watch::Sender::new(0)),
        last,
    };
    let writing: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(scene.clone().write(writer, seed.0)))
        .collect();
    let reading: Vec<_> = (0..READERS)
        .map(|reader| tokio::spawn(scene.clone().read(reader, seed.0)))
        .collect();

    let mut counted = scene.count.subscribe();
    for _ in 0..ROUNDS {
        let goal = *counted.borrow() + rng.random_range(1..120);
        soon(
            "more messages are accepted",
            counted.wait_for(|count| *count >= goal),
        )
        .await
        .unwrap();
        gateway.kill().await;
        gateway = house.launch().await;
        current.send_replace(gateway.http.clone());
    }
    for writer in &writing {
        writer.abort();
    }
    futures_util::future::join_all(writing).await;

    let accepted = std::mem::take(&mut *scene.accepted.lock().unwrap());
    for one in &accepted {
        gateway.http.finished(&one.id).await;
    }
    // A message whose 202 was lost with its gateway ends too.
    soon("nothing is left open", async {
        for status in ["scheduled", "queued", "sending"] {
            while gateway
                .http
                .get(&format!("/messages?status={status}"))
                .await
                .body["data"]
                != json!([])
            {}
        }
    })
    .await;
    let log = whole_log(&gateway.http).await;
    last_known.send_replace(Some(log.len() as u64));
    for reader in reading {
        let seen = soon("a reader sees everything", reader).await.unwrap();
        let seen: Vec<_> = seen.into_iter().map(|event| event.data).collect();
        assert!(seen == log, "a reader did not see the log as it is");
    }
    for (number, event) in (1_u64..).zip(&log) {
        assert!(
            event["id"]
                .as_str()
                .unwrap()
                .ends_with(&format!("-{number:016}")),
            "{event}"
        );
    }
    account(&accepted, &log, &peer.all());
    let ambiguous = log
        .iter()
        .filter(|event| event["ambiguous"] == true)
        .count();
    let (messages, events) = (accepted.len(), log.len());
    println!("{messages} messages accepted, {events} events, {ambiguous} ambiguous");
    gateway.stop().await;
}

async fn whole_log(http: &Client) -> Vec<Value> {
    let (mut log, mut after) = (Vec::new(), "earliest".to_owned());
    loop {
        let page = http
            .get(&format!("/events?limit=500&after={after}"))
            .await
            .body;
        let events = page["data"].as_array().unwrap();
        if events.is_empty() {
            return log;
        }
        log.extend(events.iter().cloned());
        page["nextCursor"].as_str().unwrap().clone_into(&mut after);
    }
}

/// Every message is accounted for, by what the log says and by what the recipient got.
fn account(accepted: &[Accepted], log: &[Value], got: &[Got]) {
    let mut events: HashMap<&str, Vec<&Value>> = HashMap::new();
    for event in log {
        events
            .entry(event["messageId"].as_str().unwrap())
            .or_default()
            .push(event);
    }
    for (id, events) in &events {
        check_history(id, events);
    }
    let mut received: HashMap<(&str, &str), Vec<&Got>> = HashMap::new();
    for one in got {
        received
            .entry((&one.user, &one.body))
            .or_default()
            .push(one);
    }
    let mut ids = HashMap::new();
    for one in accepted {
        assert!(
            ids.insert(&one.id, one).is_none(),
            "{} was accepted twice",
            one.id
        );
        let end = events[&*one.id].last().unwrap();
        let got = received
            .get(&(&*one.user, &*one.body))
            .map_or(&[][..], |got| got);
        assert!(
            got.iter().all(|again| again.call_id == got[0].call_id),
            "{end}"
        );
        match one.may_resend {
            true => assert!(!got.is_empty(), "never received: {end}"),
            false => check_at_most_once(end, got.len()),
        }
    }
    // Whoever waited longest came first, also through an end of the gateway.
    let mut newest: HashMap<&str, u64> = HashMap::new();
    for one in got {
        let number: u64 = one.body.parse().unwrap();
        let newest = newest.entry(&one.user).or_insert(number);
        assert!(
            number >= *newest,
            "{} overtook {newest} on the way to {}",
            one.body,
            one.user
        );
        *newest = number;
    }
}

/// `sending`, any number of `deferred` and `sending`, and one end.
fn check_history(id: &str, events: &[&Value]) {
    let types: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let (end, before) = types.split_last().unwrap();
    assert!(["succeeded", "failed"].contains(end), "{id}: {types:?}");
    for (at, kind) in before.iter().enumerate() {
        assert_eq!(*kind, ["sending", "deferred"][at % 2], "{id}: {types:?}");
    }
    let begun = types.iter().filter(|kind| **kind == "sending").count();
    assert_eq!(events.last().unwrap()["attempt"], begun, "{id}: {types:?}");
}

fn check_at_most_once(end: &Value, received: usize) {
    let (kind, is_ambiguous) = (end["type"].as_str().unwrap(), end["ambiguous"] == true);
    let expected = match (kind, is_ambiguous, end["response"].is_null()) {
        ("succeeded", ..) | ("failed", false, false) => received == 1,
        // Nobody can tell: that is what the word is for.
        ("failed", true, _) => received <= 1,
        // It was never written.
        _ => received == 0,
    };
    assert!(expected, "received {received} times: {end}");
}
