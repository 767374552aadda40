//! Clients that post and read without a pause, at whichever gateways there are just now.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::Answer;
use super::Client;
use super::Event;
use super::Peer;
use super::Reply;
use super::WHOLE_LOG;
use super::ledger::Accepted;
use super::ledger::Ledger;
use super::soon;

/// Who posts at the same time; each writes to targets of its own.
const WRITERS: u64 = 6;
const TARGETS: u64 = 4;
const READERS: u64 = 6;

/// Who only wants to know how its messages end, and who does not want them twice.
const KINDS: [&str; 2] = ["resend", "fail"];

/// Writers and readers at work.
pub(crate) struct Load {
    scene: Scene,
    gateways: watch::Sender<Vec<Client>>,
    /// The number of the last event there will be, once it is known.
    last: watch::Sender<Option<u64>>,
    writing: Vec<JoinHandle<()>>,
    reading: Vec<JoinHandle<Vec<Event>>>,
}

impl Load {
    /// Begins to post and to read. Chance decides who posts what where, and when readers go
    /// elsewhere.
    pub(crate) fn begin(gateways: Vec<Client>, seed: u64) -> Self {
        Self::begin_paced(gateways, seed, Duration::from_millis(1))
    }

    /// Begins as [`Self::begin`] does; no writer posts more than one message in this time.
    pub(crate) fn begin_paced(gateways: Vec<Client>, seed: u64, pace: Duration) -> Self {
        let (gateways, running) = watch::channel(gateways);
        let (last, last_known) = watch::channel(None);
        let scene = Scene {
            gateways: running,
            accepted: Arc::default(),
            count: Arc::new(watch::Sender::new(0)),
            refused: Arc::new(watch::Sender::new(0)),
            last: last_known,
            pace,
        };
        let rng = |number: u64| SmallRng::seed_from_u64(seed.wrapping_mul(31) ^ number);
        let writing = (0..WRITERS)
            .map(|writer| tokio::spawn(scene.clone().write(writer, rng(writer))))
            .collect();
        let reading = (WRITERS..WRITERS + READERS)
            .map(|reader| tokio::spawn(scene.clone().read(rng(reader))))
            .collect();
        Self {
            scene,
            gateways,
            last,
            writing,
            reading,
        }
    }

    /// The gateways there are from now on.
    pub(crate) fn go_to(&self, gateways: Vec<Client>) {
        self.gateways.send_replace(gateways);
    }

    /// Waits until so many more messages have got their 202.
    pub(crate) async fn accepted(&self, more: u64) {
        let mut counted = self.scene.count.subscribe();
        let goal = *counted.borrow() + more;
        soon(
            "more messages are accepted",
            counted.wait_for(|count| *count >= goal),
        )
        .await
        .unwrap();
    }

    /// Waits until so many more messages were refused for a while.
    #[allow(
        dead_code,
        reason = "not every test binary that shares this file needs it"
    )]
    pub(crate) async fn refused(&self, more: u64) {
        let mut counted = self.scene.refused.subscribe();
        let goal = *counted.borrow() + more;
        soon(
            "more messages are refused",
            counted.wait_for(|count| *count >= goal),
        )
        .await
        .unwrap();
    }

    /// How many messages were refused for a while.
    pub(crate) fn refusals(&self) -> u64 {
        *self.scene.refused.borrow()
    }

    /// Posts no more, waits until every message has ended and every reader has seen all there is,
    /// the same as every other.
    pub(crate) async fn end(self) -> Ledger {
        for writer in &self.writing {
            writer.abort();
        }
        futures_util::future::join_all(self.writing).await;
        let accepted = std::mem::take(&mut *self.scene.accepted.lock().unwrap());
        let gateway = self.gateways.borrow()[0].clone();
        for one in &accepted {
            gateway.finished(&one.id).await;
        }
        // A message whose 202 was lost with its gateway ends too.
        soon("nothing is left open", async {
            for status in ["scheduled", "queued", "sending"] {
                let path = format!("/messages?status={status}");
                while gateway.get(&path).await.body["data"] != json!([]) {}
            }
        })
        .await;
        // What is seen of this one is behind everything else, wherever that was written.
        let end = json!({"target": "the-end", "body": "1"});
        gateway.delivered(&end).await;
        let log = whole_log(&gateway).await;
        self.last.send_replace(Some(log.len() as u64));
        for reader in self.reading {
            let seen = soon("a reader sees everything", reader).await.unwrap();
            let seen: Vec<_> = seen.into_iter().map(|event| event.data).collect();
            check_same(&seen, &log);
        }
        Ledger { accepted, log }
    }
}

/// A recipient that is well most of the time. Those who may not get a message twice never ask for
/// a second try.
pub(crate) fn script(peer: &Peer, rng: &mut SmallRng) {
    for writer in 0..WRITERS {
        for target in 0..TARGETS {
            for kind in KINDS {
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

/// What writers and readers share.
#[derive(Clone)]
struct Scene {
    gateways: watch::Receiver<Vec<Client>>,
    accepted: Arc<Mutex<Vec<Accepted>>>,
    /// Grows with each message accepted.
    count: Arc<watch::Sender<u64>>,
    /// Grows with each message that is to be posted again later.
    refused: Arc<watch::Sender<u64>>,
    last: watch::Receiver<Option<u64>>,
    pace: Duration,
}

impl Scene {
    fn gateway(&self, rng: &mut SmallRng) -> Client {
        let gateways = self.gateways.borrow();
        gateways[rng.random_range(0..gateways.len())].clone()
    }

    async fn write(self, writer: u64, mut rng: SmallRng) {
        let mut pace = tokio::time::interval(self.pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0_u64.. {
            pace.tick().await;
            let may_resend = rng.random_bool(0.6);
            let kind = if may_resend { KINDS[0] } else { KINDS[1] };
            let user = format!("{kind}{writer}-{}", rng.random_range(0..TARGETS));
            if may_resend && rng.random_bool(0.5) {
                self.post_once(user, number.to_string(), &mut rng).await;
            } else {
                self.post(user, number.to_string(), may_resend, &mut rng)
                    .await;
            }
        }
    }

    /// Posts without a key, so that the message may be sent at once, and so only once: whether one
    /// was taken in that was not answered is not known.
    async fn post_once(&self, user: String, body: String, rng: &mut SmallRng) {
        let message = json!({"target": user, "body": body, "attempts": 10});
        let http = self.gateway(rng);
        let request = http.request(Method::POST, "/messages").json(&message);
        match http.try_send(request).await {
            Ok(answer) if answer.status == 202 => self.taken_in(&answer, user, body, true),
            Ok(answer) if answer.status == 503 => {
                assert!(answer.header("Retry-After").is_some(), "{answer:?}");
                self.refused.send_modify(|count| *count += 1);
            }
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }

    fn taken_in(&self, answer: &Answer, user: String, body: String, may_resend: bool) {
        self.accepted.lock().unwrap().push(Accepted {
            id: super::id_of(&answer.body),
            user,
            body,
            may_resend,
        });
        self.count.send_modify(|count| *count += 1);
    }

    /// Posts until the message has its 202, with one key, through however many ends of a gateway.
    async fn post(&self, user: String, body: String, may_resend: bool, rng: &mut SmallRng) {
        let on_unknown = if may_resend { "resend" } else { "fail" };
        let message = json!({
            "target": user, "body": body, "onUnknown": on_unknown, "attempts": 10,
        });
        soon("a message is accepted", async {
            loop {
                let http = self.gateway(rng);
                let request = http.request(Method::POST, "/messages").json(&message);
                let request = request.header("Idempotency-Key", format!("{user} {body}"));
                match http.try_send(request).await {
                    Ok(answer) if answer.status == 202 => {
                        return self.taken_in(&answer, user, body, may_resend);
                    }
                    Ok(answer) if answer.status == 503 => {
                        assert!(answer.header("Retry-After").is_some(), "{answer:?}");
                        self.refused.send_modify(|count| *count += 1);
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

    /// Reads the whole log, leaving now and then, and coming back where it was, be it elsewhere.
    async fn read(self, mut rng: SmallRng) -> Vec<Event> {
        let mut seen: Vec<Event> = Vec::new();
        let mut last = self.last.clone();
        loop {
            let known_last = *last.borrow_and_update();
            let place = seen.last().map_or("earliest", |event| &event.id).to_owned();
            if let Some(last) = known_last
                && seen.last().map(number_of) >= Some(last)
            {
                // An agent may have come or gone after the end.
                seen.retain(|event| number_of(event) <= last);
                return seen;
            }
            let http = self.gateway(&mut rng);
            let Some(mut stream) = http.try_stream_after(WHOLE_LOG, &place).await else {
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

async fn whole_log(http: &Client) -> Vec<Value> {
    let (mut log, mut after) = (Vec::new(), "earliest".to_owned());
    loop {
        let page = http
            .get(&format!("{WHOLE_LOG}&limit=500&after={after}"))
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

/// A reader saw the log as it is; where it did not, that place is shown.
fn check_same(seen: &[Value], log: &[Value]) {
    let differs = seen.iter().zip(log).position(|(seen, is)| seen != is);
    if let Some(at) = differs {
        panic!("a reader saw {} instead of {}", seen[at], log[at]);
    }
    assert_eq!(seen.len(), log.len());
}
