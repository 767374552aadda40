//! A disk that is full, slow to be had, read-only or damaged: told clearly, and recovered from.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use serde_json::json;

use crate::harness::Got;
use crate::harness::Peer;
use crate::harness::Program;
use crate::harness::Reply;
use crate::harness::TestGateway;
use crate::harness::WHOLE_LOG;
use crate::harness::id_of;
use crate::harness::soon;
use crate::harness::types_of;

#[tokio::test]
async fn a_disk_that_takes_nothing_refuses_with_503_and_recovers_without_a_restart() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    let open = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    let behind = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "2"}))
        .await;
    peer.wait_for("bob", 1).await;

    gateway.may_write(false);
    let message = json!({"target": "carol", "body": "x"});
    for _ in 0..3 {
        let refused = gateway.http.post_with_key(&message, "k").await;
        assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
        assert!(refused.header("Retry-After").is_some());
    }
    assert_eq!(gateway.http.get("/readyz").await.status, 503);
    assert_eq!(gateway.http.get("/livez").await.status, 200);
    // The answer comes while it cannot be recorded: no reader sees what is not durable.
    peer.release("bob");
    gateway.says("failed to write events").await;
    let shown = gateway.http.get(&format!("/messages/{open}")).await.body;
    assert_eq!(shown["status"], "sending");
    assert_eq!(types_of(&gateway.http.events_of(&open).await), ["sending"]);
    // The next has its turn and an agent with room, and says what keeps it.
    let shown = gateway.http.get(&format!("/messages/{behind}")).await.body;
    assert_eq!(shown["waitingFor"], json!({"kind": "store"}));

    gateway.may_write(true);
    for id in [&open, &behind] {
        let finished = gateway.http.finished(id).await;
        assert_eq!(finished["status"], "succeeded");
        assert_eq!(
            types_of(&gateway.http.events_of(id).await),
            ["sending", "succeeded"]
        );
    }
    assert_eq!(gateway.http.get("/readyz").await.status, 200);
    let taken = gateway.http.post_with_key(&message, "k").await;
    assert_eq!(
        (taken.status, taken.header("Idempotent-Replayed")),
        (202, None)
    );
    gateway
        .http
        .finished(taken.body["id"].as_str().unwrap())
        .await;
    // What was refused was not sent, and the log has no hole where it would have been.
    assert_eq!(peer.got("carol").len(), 1);
    let log = gateway.http.get(WHOLE_LOG).await.body;
    let ids = log["data"].as_array().unwrap().iter();
    let ids: Vec<_> = ids.map(|event| event["id"].as_str().unwrap()).collect();
    // And that the agent is up.
    assert_eq!(ids.len(), 7);
    assert!(ids[6].ends_with("-0000000000000007"), "{ids:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn killed_while_the_disk_takes_nothing_it_knows_what_it_knew() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200), Reply::Status(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    let open = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    peer.wait_for("bob", 1).await;
    gateway.may_write(false);
    peer.release("bob");
    gateway.says("failed to write events").await;
    assert_eq!(setup.check().await.code, Some(0), "while it runs");
    gateway.kill().await;
    assert_eq!(setup.check().await.code, Some(0), "after it was killed");

    let gateway = setup.launch().await;
    assert_eq!(gateway.http.finished(&open).await["status"], "succeeded");
    let events = gateway.http.events_of(&open).await;
    assert_eq!(
        types_of(&events),
        ["sending", "deferred", "sending", "succeeded"]
    );
    let got = peer.got("bob");
    assert_eq!((got.len(), &got[0].call_id), (2, &got[1].call_id));
    gateway.stop().await;
}

#[tokio::test]
async fn a_database_that_another_program_holds_refuses_until_it_lets_go() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "1"}))
        .await;
    let other = Connection::open(setup.store()).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    // Only what may be sent twice is sent before it is durable.
    let refused = gateway
        .http
        .post(&json!({"target": "bob", "body": "2", "onUnknown": "fail"}))
        .await;
    assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
    assert_eq!(refused.header("Retry-After"), Some("1"));
    // What was there can be read meanwhile.
    assert_eq!(
        gateway.http.get("/messages").await.body["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    other.execute_batch("ROLLBACK").unwrap();
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "3"}))
        .await;
    let bodies: Vec<_> = peer.got("bob").into_iter().map(|got| got.body).collect();
    assert_eq!(bodies, ["1", "3"]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_second_gateway_on_the_same_store_does_not_start() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    let exit = setup.refused().await;
    assert_eq!(exit.code, Some(1));
    assert!(
        exit.said.contains("another sipost has it open"),
        "{}",
        exit.said
    );
    gateway
        .http
        .delivered(&json!({"target": "bob", "body": "x"}))
        .await;
    // A lock goes with its process, in whatever way that ends.
    gateway.kill().await;
    setup.launch().await.stop().await;
}

#[tokio::test]
async fn a_damaged_store_is_refused_and_left_as_it_is() {
    let peer = Peer::start().await;
    let setup = TestGateway::at(&peer);
    let garbage = "no database at all; ".repeat(1_000);
    fs::write(setup.store(), &garbage).unwrap();
    let exit = setup.refused().await;
    assert_eq!(exit.code, Some(1));
    let path = setup.store().display().to_string();
    assert!(exit.said.contains("the store is damaged"), "{}", exit.said);
    assert!(exit.said.contains(&path), "{}", exit.said);
    assert_eq!(fs::read_to_string(setup.store()).unwrap(), garbage);
    assert_eq!(peer.all().len(), 0);
}

#[tokio::test]
async fn a_store_that_may_only_be_read_is_refused_until_it_may_be_written() {
    let peer = Peer::start().await;
    peer.answer_registers(503);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x"}))
        .await;
    gateway.stop().await;
    fs::set_permissions(setup.store(), Permissions::from_mode(0o444)).unwrap();
    let exit = setup.refused().await;
    // To root, who may write everything, only the store says so.
    assert!(matches!(exit.code, Some(1 | 78)), "{:?}", exit.code);
    assert!(exit.said.contains("cannot be written"), "{}", exit.said);

    fs::set_permissions(setup.store(), Permissions::from_mode(0o644)).unwrap();
    peer.answer_registers(200);
    let gateway = setup.launch().await;
    assert_eq!(gateway.http.finished(&id).await["status"], "succeeded");
    gateway.stop().await;
}

#[tokio::test]
async fn a_disk_that_stays_full_is_told_of_once_in_the_log() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    let id = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "1"}))
        .await;
    peer.wait_for("bob", 1).await;
    gateway.may_write(false);
    peer.release("bob");
    gateway.says("failed to write events").await;
    // Several tries later there is still one line.
    soon("more tries", async {
        for _ in 0..5 {
            assert_eq!(gateway.http.get("/readyz").await.status, 503);
        }
    })
    .await;
    gateway.may_write(true);
    gateway.http.finished(&id).await;
    gateway.says("the store can be written again").await;
    let said = gateway.said();
    assert_eq!(said.matches("failed to write events").count(), 1, "{said}");
    assert_eq!(
        said.matches("the store can be written again").count(),
        1,
        "{said}"
    );
    gateway.stop().await;
}

/// Takes messages as large as [`large`].
fn roomy(setup: TestGateway) -> TestGateway {
    setup.with("sip.max_message = 65536")
}

/// A message that takes sixteen pages of the store.
fn large(number: u32) -> Value {
    let body = format!("{number} {}", "x".repeat(60_000));
    json!({"target": format!("user{number}"), "body": body})
}

/// Posts until the store takes no more for long: what was accepted, and the key of what was not.
async fn fill_the_store(gateway: &Program) -> (Vec<String>, u32) {
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for number in 0..500 {
        let answer = gateway
            .http
            .post_with_key(&large(number), &number.to_string())
            .await;
        match answer.status {
            202 => {
                // Room in the log of the database is used again, so a few still go in.
                refused = 0;
                accepted.push(id_of(&answer.body));
            }
            _ => {
                assert_eq!((answer.status, answer.problem()), (503, "unavailable"));
                assert_eq!(answer.header("Retry-After"), Some("30"), "{answer:?}");
                refused += 1;
            }
        }
        if refused == 5 {
            return (accepted, number);
        }
    }
    panic!("the disk never becomes full");
}

/// What this peer got of large messages: the number of each, in order.
fn numbers_got(peer: &Peer) -> Vec<u32> {
    let number = |got: &Got| got.body.split_once(' ')?.0.parse().ok();
    let mut numbers: Vec<u32> = peer.all().iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_and_loses_nothing_and_recovers_when_there_is_room() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = roomy(TestGateway::at(&peer))
        .with_disk(8 * 1024 * 1024)
        .await;
    let gateway = setup.launch().await;
    let bob = json!({"target": "bob", "body": "x"});
    let open = gateway.http.accepted(&bob).await;
    peer.wait_for("bob", 1).await;

    setup.disk().fill();
    let (accepted, last_refused) = fill_the_store(&gateway).await;
    assert!(
        gateway.said().contains("the store is full: "),
        "{}",
        gateway.said()
    );
    assert_eq!(gateway.http.get("/livez").await.status, 200);
    // What ends meanwhile may find no room for its end; it is told when there is.
    peer.release("bob");

    setup.disk().make_room();
    assert_eq!(gateway.http.finished(&open).await["status"], "succeeded");
    for id in &accepted {
        assert_eq!(gateway.http.finished(id).await["status"], "succeeded");
    }
    assert_eq!(gateway.http.get("/readyz").await.status, 200);
    // What was refused was not taken in: the same request is a new one.
    let again = large(last_refused);
    let taken = gateway
        .http
        .post_with_key(&again, &last_refused.to_string())
        .await;
    assert_eq!(
        (taken.status, taken.header("Idempotent-Replayed")),
        (202, None)
    );
    gateway.http.finished(&id_of(&taken.body)).await;
    let got = numbers_got(&peer);
    assert_eq!(got.len(), accepted.len() + 1, "each once: {got:?}");
    assert_eq!(got.last(), Some(&last_refused));
    assert_eq!(gateway.stop().await.code, Some(0));
}

#[tokio::test]
async fn killed_while_the_disk_is_full_it_has_what_it_accepted() {
    let peer = Peer::start().await;
    peer.answer_registers(503);
    let setup = roomy(TestGateway::at(&peer))
        .with_disk(8 * 1024 * 1024)
        .await;
    let gateway = setup.launch().await;
    setup.disk().fill();
    let (accepted, _) = fill_the_store(&gateway).await;
    gateway.kill().await;
    let checked = setup.check().await;
    assert_eq!(checked.code, Some(0), "{}", checked.said);

    setup.disk().make_room();
    peer.answer_registers(200);
    let gateway = setup.launch().await;
    for id in &accepted {
        assert_eq!(gateway.http.finished(id).await["status"], "succeeded");
    }
    assert_eq!(numbers_got(&peer).len(), accepted.len());
    gateway.stop().await;
}

/// Makes the gateway that has the database open read its file again: everything is in the file
/// then, and nothing in its log. Before that it waits for the last thing that the gateway writes by
/// itself, how far the log was planned.
async fn checkpoint(database: &Path) {
    let other = Connection::open(database).unwrap();
    let is_planned = || -> bool {
        let planned = "SELECT (SELECT value FROM facts WHERE name = 'planned_to') = \
             (SELECT max(seq) FROM events)";
        other.query_row(planned, [], |row| row.get(0)).unwrap()
    };
    soon("the log is planned", async {
        while !is_planned() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    let busy: i64 = other
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(busy, 0, "another connection kept the log in use");
}

#[tokio::test]
async fn pages_that_go_bad_while_it_runs_are_told_of_and_nothing_is_taken_in() {
    let peer = Peer::start().await;
    peer.script("bob", [Reply::Held(200)]);
    let setup = TestGateway::at(&peer);
    let gateway = setup.launch().await;
    let open = gateway
        .http
        .accepted(&json!({"target": "bob", "body": "x"}))
        .await;
    peer.wait_for("bob", 1).await;
    checkpoint(&setup.store()).await;
    let well = fs::read(setup.store()).unwrap();

    // All but the first page, by which a program knows that it is a database at all.
    let mut bad = well.clone();
    bad[4_096..].fill(0xa5);
    overwrite(&setup.store(), &bad);
    let message = json!({"target": "carol", "body": "x"});
    for _ in 0..3 {
        let refused = gateway.http.post_with_key(&message, "k").await;
        assert_eq!((refused.status, refused.problem()), (503, "unavailable"));
        assert_eq!(refused.header("Retry-After"), Some("30"));
    }
    assert_eq!(gateway.http.get("/readyz").await.status, 503);
    assert_eq!(gateway.http.get("/livez").await.status, 200);
    peer.release("bob");
    gateway.says("failed to write events").await;
    assert!(
        gateway.said().contains("the store is damaged: "),
        "{}",
        gateway.said()
    );

    // As when its operator puts back what was there.
    overwrite(&setup.store(), &well);
    assert_eq!(gateway.http.finished(&open).await["status"], "succeeded");
    let taken = gateway.http.post_with_key(&message, "k").await;
    assert_eq!(
        (taken.status, taken.header("Idempotent-Replayed")),
        (202, None)
    );
    gateway.http.finished(&id_of(&taken.body)).await;
    assert_eq!(peer.got("carol").len(), 1);
    gateway.stop().await;
}

/// Writes into the file that is there, also while it is open.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}
