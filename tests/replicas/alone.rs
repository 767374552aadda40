//! One replica alone, which sends while its commits run, and another one that comes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::fleet::Fleet;
use crate::harness::Load;
use crate::harness::Peer;
use crate::harness::Reply;
use crate::harness::Seed;
use crate::harness::TestGateway;
use crate::harness::script;
use crate::harness::soon;
use crate::postgres;

/// A session that holds the row of the log: nothing is appended before it is released.
struct HeldLog {
    session: Child,
}

impl HeldLog {
    fn begin(database: &str) -> Self {
        let mut session = postgres::program("psql")
            .args(["-X", "-q", "-A", "-t", database])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let sql = b"BEGIN; SELECT last FROM log FOR UPDATE;\n";
        session.stdin.as_mut().unwrap().write_all(sql).unwrap();
        let mut line = String::new();
        let mut shown = BufReader::new(session.stdout.as_mut().unwrap());
        shown.read_line(&mut line).unwrap();
        line.trim().parse::<u64>().unwrap();
        Self { session }
    }

    fn release(mut self) {
        drop(self.session.stdin.take());
        assert!(self.session.wait().unwrap().success());
    }
}

/// How many replicas work on this database, or wait to.
fn replicas(database: &str) -> u64 {
    let sql = "SELECT count(*) FROM replicas WHERE NOT fenced";
    let mut psql = postgres::program("psql");
    let shown = psql.args(["-X", "-q", "-A", "-t", "-c", sql, database]);
    let shown = String::from_utf8(shown.output().unwrap().stdout).unwrap();
    shown.trim().parse().unwrap()
}

/// The first of two replicas, while the second one is stopped.
async fn first_of_two(
    database: &str,
    peer: &Peer,
    setting: impl Fn(TestGateway) -> TestGateway,
) -> Fleet {
    let mut fleet = Fleet::start(2, database, peer, setting).await;
    assert_eq!(fleet.stop(1).await.code, Some(0));
    is_alone(database, peer, &fleet).await;
    fleet
}

fn impatient(setup: TestGateway) -> TestGateway {
    setup.with("sip.timer_f = '400ms'")
}

/// The same under load, which it has taken a hundred messages of. Its peer does as the seed says.
async fn first_under_load(database: &str, peer: &Peer, seed: &Seed) -> (Fleet, Load) {
    let fleet = first_of_two(database, peer, impatient).await;
    script(peer, &mut SmallRng::seed_from_u64(seed.0));
    let load = Load::begin(fleet.gateways(), seed.0);
    load.accepted(100).await;
    (fleet, load)
}

/// Waits until the first replica sends requests whose records are not durable.
async fn is_alone(database: &str, peer: &Peer, fleet: &Fleet) {
    let http = fleet.gateway(0);
    soon("a request is sent before its record is durable", async {
        for number in 0.. {
            let user = format!("probe{number}");
            let held = HeldLog::begin(database);
            let message = json!({"target": user, "body": "1"});
            let posted = http.post(&message);
            let sent = timeout(Duration::from_millis(250), peer.wait_for(&user, 1));
            let (_, is_alone) = futures_util::future::join(posted, async {
                let is_alone = sent.await.is_ok();
                held.release();
                is_alone
            })
            .await;
            if is_alone {
                return;
            }
        }
    })
    .await;
}

/// Never were two requests to one target open at once.
fn check_targets(peer: &Peer) {
    for got in peer.all() {
        assert_eq!(peer.most_open(&got.user), 1, "{}", got.user);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_begins_only_when_what_was_sent_early_is_durable() {
    let peer = Peer::start().await;
    let database = postgres::database();
    let mut fleet = first_of_two(&database, &peer, |setup| setup).await;
    let first = fleet.gateway(0).clone();
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);

    let held = HeldLog::begin(&database);
    let message = json!({"target": "bob", "body": "1"});
    let early = {
        let (first, message) = (first.clone(), message.clone());
        tokio::spawn(async move { first.accepted(&message).await })
    };
    peer.wait_for("bob", 1).await;
    {
        let mut coming = std::pin::pin!(fleet.launch(1));
        soon("the other one has come", async {
            while replicas(&database) < 2 {
                assert!((&mut coming).now_or_never().is_none());
                tokio::task::yield_now().await;
            }
        })
        .await;
        // It would have found the target free.
        assert!((&mut coming).now_or_never().is_none());
        held.release();
        coming.await;
    }
    let next = fleet.gateway(1).accepted(&message).await;
    let early = early.await.unwrap();
    peer.release("bob");
    for id in [early, next] {
        assert_eq!(first.finished(&id).await["status"], "succeeded");
    }
    assert_eq!(peer.got("bob").len(), 2);
    check_targets(&peer);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_one_joins_it_under_load_and_leaves_and_no_target_has_two_in_flight() {
    let seed = Seed::take("alone::");
    let peer = Peer::start().await;
    let database = postgres::database();
    let mut fleet = first_of_two(&database, &peer, |setup| setup).await;
    let load = Load::begin(fleet.gateways(), seed.0);
    for _ in 0..2 {
        load.accepted(80).await;
        fleet.launch(1).await;
        load.go_to(fleet.gateways());
        load.accepted(80).await;
        assert_eq!(fleet.stop(1).await.code, Some(0));
        load.go_to(fleet.gateways());
    }
    load.accepted(80).await;
    let ledger = load.end().await;
    ledger.account(&peer.all());
    check_targets(&peer);
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_killed_under_load_and_another_one_goes_on() {
    let seed = Seed::take("alone_killed::");
    let peer = Peer::start().await;
    let database = postgres::database();
    let (mut fleet, load) = first_under_load(&database, &peer, &seed).await;
    fleet.kill(0).await;
    fleet.launch(1).await;
    load.go_to(fleet.gateways());
    load.accepted(100).await;
    let ledger = load.end().await;
    ledger.account(&peer.all());
    fleet.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stands_still_under_load_while_another_one_joins_and_goes_on_beside_it() {
    let seed = Seed::take("alone_still::");
    let peer = Peer::start().await;
    let database = postgres::database();
    let (mut fleet, load) = first_under_load(&database, &peer, &seed).await;
    fleet.signal(0, Signal::STOP);
    fleet.launch(1).await;
    let second = fleet.gateway(1).clone();
    for number in 0..10 {
        let message = json!({"target": format!("late{number}"), "body": "1", "onUnknown": "fail"});
        assert_eq!(second.delivered(&message).await["status"], "succeeded");
        assert_eq!(peer.got(&format!("late{number}")).len(), 1);
    }
    fleet.signal(0, Signal::CONT);
    load.go_to(fleet.gateways());
    load.accepted(100).await;
    let ledger = load.end().await;
    ledger.account(&peer.all());
    fleet.end().await;
}
